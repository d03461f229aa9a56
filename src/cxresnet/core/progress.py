"""Progress without printing: library code reports it, and the command line draws the bar."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sized
from contextvars import ContextVar
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Reporter(Protocol):
    """Draws progress, for example as a bar on a terminal."""

    def start(self, description: str, total: int | None) -> object:
        """Begin a step of `total` items (None: unknown); returns a handle for it."""

    def advance(self, handle: object, count: int) -> None:
        """Say that `count` more items are done."""

    def finish(self, handle: object) -> None:
        """End the step."""


_current: ContextVar[Reporter | None] = ContextVar("progress_reporter", default=None)


@contextlib.contextmanager
def reporting_to(reporter: Reporter) -> Iterator[None]:
    """Send the progress of everything inside the block to `reporter`."""
    token = _current.set(reporter)
    try:
        yield
    finally:
        _current.reset(token)


@contextlib.contextmanager
def reporting_nothing() -> Iterator[None]:
    """Report no progress inside the block: the steps of one item, where the items have a bar."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def track(items: Iterable[Item], description: str, *, total: int | None = None) -> Iterator[Item]:
    """Pass items through, and report how many are done.

    Args:
        items: Anything iterable.
        description: A few words for the bar, for example "Decoding images".
        total: How many there will be; taken from `len(items)` where that works.

    Yields:
        The items, unchanged.
    """
    reporter = _current.get()
    if reporter is None:
        yield from items
        return
    if total is None:
        total = len(items) if isinstance(items, Sized) else None
    handle = reporter.start(description, total)
    try:
        for item in items:
            yield item
            reporter.advance(handle, 1)
    finally:
        reporter.finish(handle)
