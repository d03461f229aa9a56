"""Sources: where images come from, one file each, all yielding the same rows."""
