"""CXResnet: classify chest X-rays with our own residual network, and say whether to believe it.

Research and teaching only, not a medical device.
"""

__all__ = ["DISCLAIMER", "__version__"]

__version__ = "0.1.0"

DISCLAIMER = "Research and teaching only, not a medical device."
"""Stands on every output: terminal, report, pictures, tables."""
