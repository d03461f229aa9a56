"""Shortcuts: what predicts the class without the lungs, in the data alone and beside a model."""
