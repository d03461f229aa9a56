"""Sanity checks of attribution maps: tests on the network at hand that a method can fail."""
