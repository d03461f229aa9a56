"""Seeds: one integer in the config, one independent random stream for each purpose."""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(seed: int, *purpose: object) -> int:
    """Derive a seed of its own for one purpose, so that no two share a stream.

    Args:
        seed: The run's seed.
        purpose: Words or numbers that name what the stream is for.

    Returns:
        An integer from 0 to 2**31 - 1, the same on every machine.

    >>> derive_seed(7, "split") == derive_seed(7, "split") != derive_seed(7, "phantom", 0)
    True
    """
    text = "\x1f".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def build_generator(seed: int, *purpose: object) -> np.random.Generator:
    """Build a NumPy generator for one purpose; see `derive_seed`."""
    return np.random.default_rng(derive_seed(seed, *purpose))
