"""Predict: the one way from a film to logits, and the table that everyone else reads."""
