"""Decoding on all cores: bounded memory, and a film that kills its process is only one film.

Workers are started afresh (`spawn`), not forked: the parent may hold threads. They ignore Ctrl-C;
the parent stops them.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from cxresnet.data.decode import PreparedFilm, decode_record, reject
from cxresnet.data.preprocess import Preprocessing
from cxresnet.data.record import ImageRecord
from cxresnet.data.sources.source import AbstractSource, Rejection

__all__ = ["Outcome", "Task", "decode_records"]

_logger = logging.getLogger(__name__)

Task = tuple[int, ImageRecord]
Outcome = tuple[int, PreparedFilm | Rejection]

_CHUNK_FILMS = 8
_CHUNKS_AHEAD = 3
_FEW_FILMS = 256


def decode_records(
    source: AbstractSource,
    tasks: Sequence[Task],
    preprocessing: Preprocessing,
    *,
    workers: int = 0,
) -> Generator[Outcome]:
    """Decode films, on several cores where that pays.

    Args:
        source: Reads the films; is pickled once a worker.
        tasks: Slot and record of each film.
        preprocessing: The road.
        workers: Processes; 0 means one a core, 1 means this one.

    Yields:
        Slot and prepared film or rejection, every task once; at most a few dozen are in memory.
    """
    count = workers or os.cpu_count() or 1
    crew = _Crew(source, preprocessing, count=count)
    if count == 1 or len(tasks) < _FEW_FILMS or not crew.start():
        for slot, record in tasks:
            yield slot, decode_record(source, record, preprocessing)
        return
    waiting = deque(
        tasks[start : start + _CHUNK_FILMS] for start in range(0, len(tasks), _CHUNK_FILMS)
    )
    try:
        while waiting:
            yield from crew.work(waiting)
            yield from crew.work_alone(crew.suspects)
    finally:
        crew.stop()


class _Crew:
    """Starts worker processes as they are needed.

    Attributes:
        suspects: Tasks that were on their way when a worker died; one of them killed it.
    """

    def __init__(self, source: AbstractSource, preprocessing: Preprocessing, *, count: int) -> None:
        self._source = source
        self._preprocessing = preprocessing
        self._count = count
        self._pool: ProcessPoolExecutor | None = None
        self.suspects: list[Task] = []

    def start(self) -> bool:
        """Start, and tell whether a worker runs: none does in a script without a main guard."""
        self._pool = self._build_pool(self._count)
        try:
            return self._pool.submit(_decode_chunk, ()).result() == []
        except BrokenProcessPool:
            _logger.warning("No worker process starts; decoding goes on in this one alone.")
            self.stop()
            return False

    def stop(self) -> None:
        """Send everybody home; what was not begun is left."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def work(self, waiting: deque[Sequence[Task]]) -> Iterator[Outcome]:
        """Decode waiting chunks until none is left or a worker dies; then see `suspects`."""
        self.suspects = []
        ahead: deque[tuple[Future[list[Outcome]], Sequence[Task]]] = deque()
        if self._pool is None:
            self._pool = self._build_pool(self._count)
        try:
            while waiting or ahead:
                while waiting and len(ahead) < self._count * _CHUNKS_AHEAD:
                    ahead.append((self._pool.submit(_decode_chunk, waiting[0]), waiting[0]))
                    waiting.popleft()
                outcomes = ahead[0][0].result()
                ahead.popleft()
                yield from outcomes
        except BrokenProcessPool:
            self.suspects = [task for _, chunk in ahead for task in chunk]
            self.stop()

    def work_alone(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Decode film by film in a process of its own; who kills it is rejected."""
        left = deque(tasks)
        while left:
            with self._build_pool(1) as pool:
                try:
                    while left:
                        yield from pool.submit(_decode_chunk, (left[0],)).result()
                        left.popleft()
                except BrokenProcessPool:
                    slot, record = left.popleft()
                    yield slot, reject(record, "decoder-crash", "The decoder died of this film.")

    def _build_pool(self, count: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            count,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(self._source, self._preprocessing),
        )


_tools: list[tuple[AbstractSource, Preprocessing]] = []
"""What a worker process was started with; empty in the parent."""


def _start_worker(source: AbstractSource, preprocessing: Preprocessing) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _tools[:] = [(source, preprocessing)]


def _decode_chunk(tasks: Sequence[Task]) -> list[Outcome]:
    ((source, preprocessing),) = _tools
    return [(slot, decode_record(source, record, preprocessing)) for slot, record in tasks]
