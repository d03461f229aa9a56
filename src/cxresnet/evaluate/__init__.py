"""Evaluate: what the network is worth on films that it never saw."""
