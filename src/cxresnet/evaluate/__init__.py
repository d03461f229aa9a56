"""Evaluate: what the network is worth on images that it never saw."""
