"""What a training borrows from the process, and gives back as it was."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

import torch

__all__ = ["quiet_lightning", "reproducible"]

_HARMLESS = (
    # Batches are cut from a memory map in this process; workers would make it slower.
    ("The '.*dataloader' does not have many workers", UserWarning),
    # A data set of a few batches is shorter than Lightning's interval; the history is our own.
    ("The number of training batches", UserWarning),
    # Whoever trains on a CPU though there is a GPU asked for it.
    ("GPU available but not used", UserWarning),
    # Lightning calls PyTorch's old tree functions.
    (".*LeafSpec.*", FutureWarning),
    # The state may be written over the one before; `sealed_folder.py` keeps both whole.
    ("Checkpoint directory .* exists and is not empty", UserWarning),
)


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's tips and the warnings that do not concern a user out of the way."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message, category in _HARMLESS:
            warnings.filterwarnings("ignore", message=message, category=category)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed PyTorch and ask for repeatable arithmetic; all of it is put back after the block.

    On a CPU the same seed gives the same bits. On a GPU some operations have no repeatable form;
    there only the convolutions are held to one.
    """
    strict = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)
    with torch.random.fork_rng():
        try:
            torch.manual_seed(seed)
            torch.use_deterministic_algorithms(not torch.cuda.is_available())
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=warn_only)
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
