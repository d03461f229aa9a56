"""Chance from a seed of one's own: the state of everybody else's stays as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch

__all__ = ["drawn_from_seed"]


@contextlib.contextmanager
def drawn_from_seed(seed: int) -> Iterator[None]:
    """Draw everything inside the block from a seed, and put back the states of before.

    Captum draws from the global states of torch and NumPy, and takes no generator.
    """
    numpy_state = np.random.get_state()  # noqa: NPY002  the state that Captum draws from
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
