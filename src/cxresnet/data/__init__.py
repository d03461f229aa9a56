"""Data: films as people have them become a dataset that nothing leaks out of."""
