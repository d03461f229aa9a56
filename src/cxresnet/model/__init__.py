"""Model: our own residual network, its presets, and its checkpoints. No data, no training."""
