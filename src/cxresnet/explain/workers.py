"""Images over the cores: worker processes with one thread each, once the work is long enough.

PyTorch shares the work on one small image badly between threads, so that several images, each in a
process of its own, are done sooner. Starting processes takes seconds, so that they are started only
after the work has taken some. Whatever prevents it, the work goes on in this process, with the same
results.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from cxresnet.core.child_processes import starting_safely
from cxresnet.core.progress import track

_START_AFTER_S = 5.0
"""Seconds of the processor: shorter work is done before worker processes have started."""
_MOST_PROCESSES = 8
"""Each takes about 400 MB."""
_IDLE_S = 20
"""After so long without work, a process ends."""

_logger = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass
class _Cores:
    """What `map_calls` may use, and what it has used.

    Attributes:
        count: Processes; 1 means this one alone.
        start_after_s: Seconds of the processor in this process before others are started.
        spent_s: Seconds of the processor so far.
    """

    count: int
    start_after_s: float = _START_AFTER_S
    spent_s: float = 0.0

    @property
    def are_due(self) -> bool:
        """Whether the work has taken long enough."""
        return self.count > 1 and self.spent_s >= self.start_after_s


_current: ContextVar[_Cores | None] = ContextVar("cores", default=None)


@contextlib.contextmanager
def working_on_all_cores(
    *, count: int | None = None, start_after_s: float = _START_AFTER_S
) -> Iterator[None]:
    """Let `map_calls` use worker processes inside the block.

    Args:
        count: Processes; None: one a core, but no more than there is memory for.
        start_after_s: Seconds of the processor in this process before they are started.
    """
    token = _current.set(_Cores(count or min(_count_cores(), _MOST_PROCESSES), start_after_s))
    try:
        yield
    finally:
        _current.reset(token)


def _count_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def map_calls(
    function: Callable[..., Result], calls: Sequence[tuple[Any, ...]], description: str
) -> list[Result]:
    """Call a function with each of several arguments, in worker processes where that pays.

    Args:
        function: Its results depend on its arguments alone. It may be called a second time where
            a worker process has failed.
        calls: The arguments of each call; they stay unchanged. Work on a GPU stays in this process.
        description: For the progress bar.

    Returns:
        The results, in order.
    """
    return list(track(_iterate(function, calls), description, total=len(calls)))


def _iterate(function: Callable[..., Result], calls: Sequence[tuple[Any, ...]]) -> Iterator[Result]:
    cores = _current.get() or _Cores(1)
    done = 0
    while done < len(calls):
        if cores.are_due and len(calls) - done > 1 and _is_on_cpu(calls[done]):
            for result in _call_elsewhere(function, calls[done:], cores):
                done += 1
                yield result
        else:
            start = time.process_time()
            result = function(*calls[done])
            cores.spent_s += time.process_time() - start
            done += 1
            yield result


def _is_on_cpu(arguments: tuple[Any, ...]) -> bool:
    return all(each.device.type == "cpu" for each in arguments if isinstance(each, Tensor))


def _call_elsewhere(
    function: Callable[..., Result], calls: Sequence[tuple[Any, ...]], cores: _Cores
) -> Iterator[Result]:
    """Call a function in worker processes; yields in order, and ends early where they fail."""
    from joblib import Parallel, delayed  # noqa: PLC0415  not needed by short work

    parallel = Parallel(
        cores.count,
        backend="loky",  # needs no main guard, and keeps its processes from call to call
        return_as="generator",
        batch_size=1,
        max_nbytes=None,  # nothing is left in shared memory
        initializer=_start_worker,
        idle_worker_timeout=_IDLE_S,
    )
    try:
        with starting_safely():
            yield from parallel(delayed(function)(*arguments) for arguments in calls)
    except Exception as error:  # noqa: BLE001  an error of the function itself comes again here
        _logger.warning(
            "The worker processes failed (%s); the work goes on in this process alone.",
            type(error).__name__,
        )
        cores.count = 1
    except BaseException:
        # Ctrl-C: joblib may be about to send work, and would wait at the end for what it has sent.
        _kill_workers()
        raise


def _kill_workers() -> None:
    from joblib.externals.loky import reusable_executor  # noqa: PLC0415  loaded by now

    executor = reusable_executor._executor  # noqa: SLF001  there is no other way to the present one
    if executor is not None:
        executor.shutdown(wait=False, kill_workers=True)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and all other cores to the other workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
