"""Metrics: pure functions of arrays, each checked by hand and against a stranger."""
