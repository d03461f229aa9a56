"""Train: fit a network on a prepared dataset, on Lightning."""
