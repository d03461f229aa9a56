"""Command line: one file a command; each reads a config, calls rooms, says where it wrote."""
