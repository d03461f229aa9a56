"""Lanes: a bounded queue, and one thread that takes from it as many at once as there are."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from cxresnet.serve.errors import build_busy_error

Job = TypeVar("Job")
Answer = TypeVar("Answer")

_MAX_RETRY_SECONDS = 60
_WEIGHT_OF_THE_LAST = 0.3


@dataclass(frozen=True)
class _Waiting(Generic[Job, Answer]):
    """A job in the queue."""

    job: Job
    future: Future[Answer]


class Lane(Generic[Job, Answer]):
    """Does jobs in the order in which they came, several at once.

    While one batch is at work the next one gathers, so that nobody waits for a batch to fill.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Job]], Sequence[Answer]],
        *,
        capacity: int,
        batch: int = 1,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        """Start the thread.

        Args:
            name: Of the thread.
            work: Answers to jobs, in order. Where it raises, each job is tried alone.
            capacity: Jobs that wait at most.
            batch: Jobs that are done at once at most.
            on_batch: Is told how many jobs each batch has.
        """
        self._work = work
        self._capacity = capacity
        self._batch = batch
        self._on_batch = on_batch
        self._waiting: deque[_Waiting[Job, Answer]] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._seconds_per_job = 0.1
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    def submit(self, jobs: Sequence[Job]) -> list[Future[Answer]]:
        """Queue jobs, all or none.

        Raises:
            RequestError: 429; there is no room for all of them.
        """
        with self._changed:
            if self._is_closed or len(self._waiting) + len(jobs) > self._capacity:
                raise build_busy_error(self._estimate_seconds())
            waiting = [_Waiting[Job, Answer](job, Future()) for job in jobs]
            self._waiting.extend(waiting)
            self._changed.notify()
        return [one.future for one in waiting]

    def close(self) -> None:
        """Do what waits, take nothing more, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _estimate_seconds(self) -> int:
        seconds = math.ceil(len(self._waiting) * self._seconds_per_job)
        return min(max(seconds, 1), _MAX_RETRY_SECONDS)

    def _run(self) -> None:
        while batch := self._take():
            if self._on_batch is not None:
                self._on_batch(len(batch))
            start = time.monotonic()
            self._answer(batch)
            seconds = (time.monotonic() - start) / len(batch)
            self._seconds_per_job += _WEIGHT_OF_THE_LAST * (seconds - self._seconds_per_job)

    def _take(self) -> list[_Waiting[Job, Answer]]:
        """Take the next batch, without jobs that nobody waits for; none when the lane is closed."""
        with self._changed:
            while True:
                while not self._waiting and not self._is_closed:
                    self._changed.wait()
                batch: list[_Waiting[Job, Answer]] = []
                while self._waiting and len(batch) < self._batch:
                    one = self._waiting.popleft()
                    if one.future.set_running_or_notify_cancel():
                        batch.append(one)
                if batch or self._is_closed:
                    return batch

    def _answer(self, batch: Sequence[_Waiting[Job, Answer]]) -> None:
        try:
            answers = self._work([one.job for one in batch])
        except Exception as error:  # noqa: BLE001  one job must not cost the others their answer
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            for one in batch:
                self._answer([one])
            return
        for one, answer in zip(batch, answers, strict=True):
            one.future.set_result(answer)
