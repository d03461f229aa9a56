"""Work on many items, with the results in order: here, over the cores, or over machines.

A room says what is done with one item (`AbstractWork`) and takes whatever executor it is given.
`ThisProcess` and `Processes` are here; the one over the machines of a Ray cluster is
`api/ray_executor.py`. Whichever it is, each item gives one result, and the same one: an item that
kills its process costs itself alone.
"""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import signal
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cxresnet.core.child_processes import starting_safely

_logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK_ITEMS = 8
"""Items that a worker gets at once."""
CHUNKS_AHEAD = 3
"""Chunks on their way for each worker, so that none waits and memory is bounded."""
_MIN_ITEMS_FOR_PROCESSES = 256


class AbstractWork(ABC, Generic[Item, Result]):
    """What is done with each of many items. Instances can be pickled, once for a worker."""

    @abstractmethod
    def do(self, item: Item) -> Result:
        """Work on one item; the result depends on the work and the item alone."""

    @abstractmethod
    def give_up(self, item: Item) -> Result:
        """Build the result of an item that kills every process that works on it."""

    @abstractmethod
    def may_be_local(self, result: Result) -> bool:
        """Tell whether a result may be due to the machine: a file or a package that it lacks."""


class AbstractExecutor(ABC):
    """Where work is done."""

    @abstractmethod
    def run(self, work: AbstractWork[Item, Result], items: Iterable[Item]) -> Generator[Result]:
        """Work on items.

        Args:
            work: What is done with each.
            items: Any number; they are taken as they are needed.

        Yields:
            One result an item, in order; a bounded number of them is in memory. Close the generator
            to stop the work.
        """


class ThisProcess(AbstractExecutor):
    """Works in this process, on one item after another."""

    def run(self, work: AbstractWork[Item, Result], items: Iterable[Item]) -> Generator[Result]:
        """Work on items; see `AbstractExecutor`."""
        for item in items:
            yield work.do(item)


@dataclass(frozen=True)
class Processes(AbstractExecutor):
    """Works in worker processes on this machine, where there are enough items for that to pay.

    Workers are started afresh (`spawn`), not forked, because the parent may hold threads. They
    ignore Ctrl-C; the parent stops them.

    Attributes:
        count: Processes; 0 means one a core, 1 means this one.
    """

    count: int = 0

    def run(self, work: AbstractWork[Item, Result], items: Iterable[Item]) -> Generator[Result]:
        """Work on items; see `AbstractExecutor`."""
        rest = iter(items)
        first = list(itertools.islice(rest, _MIN_ITEMS_FOR_PROCESSES))
        rest = itertools.chain(first, rest)
        count = self.count or os.cpu_count() or 1
        pool = _Pool(work, count=count)
        if count == 1 or len(first) < _MIN_ITEMS_FOR_PROCESSES or not pool.start():
            yield from ThisProcess().run(work, rest)
            return
        chunks = cut_into_chunks(rest)
        try:
            while True:
                yield from pool.work(chunks)
                if not pool.suspects:
                    return
                yield from pool.work_isolated(pool.suspects)
        finally:
            pool.stop()


def cut_into_chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Cut items into lists of `CHUNK_ITEMS`; the last one may be shorter."""
    rest = iter(items)
    while chunk := list(itertools.islice(rest, CHUNK_ITEMS)):
        yield chunk


class _Pool(Generic[Item, Result]):
    """Starts worker processes as they are needed.

    Attributes:
        suspects: Items that were on their way when a worker died; one of them killed it.
    """

    def __init__(self, work: AbstractWork[Item, Result], *, count: int) -> None:
        self._work = work
        self._count = count
        self._pool: ProcessPoolExecutor | None = None
        self.suspects: list[Item] = []

    def start(self) -> bool:
        """Start, and return whether a worker runs: none does in a script without a main guard."""
        self._pool = self._build_pool(self._count)
        try:
            return self._submit(self._pool, ()).result() == []
        except BrokenProcessPool:
            _logger.warning("No worker process starts; the work continues in this process alone.")
            self.stop()
            return False

    def stop(self) -> None:
        """Send everybody home; what was not begun is left."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def work(self, chunks: Iterator[list[Item]]) -> Iterator[Result]:
        """Work on chunks until none is left or a worker dies; then see `suspects`."""
        self.suspects = []
        ahead: deque[Future[list[Result]]] = deque()
        sent: deque[list[Item]] = deque()
        if self._pool is None:
            self._pool = self._build_pool(self._count)
        try:
            while True:
                for chunk in itertools.islice(chunks, self._count * CHUNKS_AHEAD - len(ahead)):
                    sent.append(chunk)  # first: a pool that is broken by now takes nothing
                    ahead.append(self._submit(self._pool, chunk))
                if not ahead:
                    return
                results = ahead[0].result()
                ahead.popleft()
                sent.popleft()
                yield from results
        except BrokenProcessPool:
            self.suspects = [item for chunk in sent for item in chunk]
            self.stop()

    def work_isolated(self, items: Sequence[Item]) -> Iterator[Result]:
        """Work on item by item in a process of its own; what kills it is given up."""
        left = deque(items)
        while left:
            with self._build_pool(1) as pool:
                try:
                    while left:
                        yield from self._submit(pool, (left[0],)).result()
                        left.popleft()
                except BrokenProcessPool:
                    yield self._work.give_up(left.popleft())

    def _build_pool(self, count: int) -> ProcessPoolExecutor:
        with starting_safely():
            return ProcessPoolExecutor(
                count,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
                initargs=(self._work,),
            )

    def _submit(self, pool: ProcessPoolExecutor, items: Sequence[Item]) -> Future[list[Result]]:
        """Give a chunk to a pool, which may start a process for it."""
        with starting_safely():
            return pool.submit(_do_chunk, items)


_worker_state: list[AbstractWork[Any, Any]] = []
"""What a worker process was started with; empty in the parent."""


def _start_worker(work: AbstractWork[Any, Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker_state[:] = [work]


def _do_chunk(items: Sequence[Any]) -> list[Any]:
    (work,) = _worker_state
    return [work.do(item) for item in items]
