"""Metrics: pure functions of arrays, each tested by hand and against another library."""
