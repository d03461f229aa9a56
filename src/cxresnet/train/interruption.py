"""Asked to stop: the batch at hand is finished and the state saved before the process goes.

SIGTERM is how a cluster says that a machine is needed; SIGINT is Ctrl-C. A second Ctrl-C stops at
once; then what stands on the disk is the state last saved, and `--resume` goes on from there.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["Interruption", "TrainingStoppedError", "watching_signals"]

_logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_EXIT_TERMINATED = 128 + signal.SIGTERM


class TrainingStoppedError(Exception):
    """Training stopped because somebody asked; the state is saved. Never reaches a user."""


class Interruption:
    """Whether somebody asked this process to stop, and how."""

    def __init__(self) -> None:
        self._signal: int | None = None

    @property
    def is_asked(self) -> bool:
        """Whether to finish the batch, save the state and stop."""
        return self._signal is not None

    def listen(self) -> None:
        """Become the handler of both signals; only in the main thread, as Python wants it."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, self.ask)

    def ask(self, number: int, _frame: FrameType | None = None) -> None:
        """Note a signal; this is its handler.

        Raises:
            KeyboardInterrupt: It is the second Ctrl-C.
        """
        if self._signal == number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = number
        _logger.info("Asked to stop: finishing the batch and saving. Ctrl-C again stops at once.")

    def build_exit(self) -> BaseException:
        """Build what ends the process as the signal would have: codes 143, or 130 for Ctrl-C."""
        if self._signal == signal.SIGTERM:
            return SystemExit(_EXIT_TERMINATED)
        return KeyboardInterrupt()


@contextlib.contextmanager
def watching_signals(interruption: Interruption) -> Iterator[None]:
    """Send SIGTERM and SIGINT to `interruption`; the handlers before come back after the block.

    Does nothing outside of the main thread, where Python lets nobody set handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    interruption.listen()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
