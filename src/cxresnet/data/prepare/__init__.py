"""From a source to a prepared dataset: the preprocessing pipeline and its caches."""
