"""Sources: where films come from, one file each, all yielding the same rows."""
