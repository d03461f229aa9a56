"""A prepared dataset on disk, its held-out test set, and its verification."""
