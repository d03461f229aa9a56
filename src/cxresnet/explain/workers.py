"""Images over the cores: worker processes with one thread each, once the work is long enough.

PyTorch shares the work on one small image badly between threads, so that several images, each in a
process of its own, are done sooner. Starting processes takes seconds, so that they are started only
after the work has taken some. Whatever prevents it, the work goes on in this process, with the same
results.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxresnet.core.child_processes import starting_safely
from cxresnet.core.progress import track

_START_AFTER_S = 8.0
"""Seconds of the processor: shorter work is done before worker processes have started."""

_MOST_PROCESSES = 8
"""Each takes about 400 MB, most of it PyTorch."""

_logger = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class _TensorParcel:
    """A tensor as it is sent to another process: as an array, because tensors take shared memory.

    Attributes:
        array: Its values.
        channels_last: It lies channels last.
    """

    array: NDArray[Any]
    channels_last: bool

    def unpack(self) -> Tensor:
        """Rebuild the tensor."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return torch.from_numpy(self.array).contiguous(memory_format=layout)


@dataclass(frozen=True, eq=False)
class _NetworkParcel:
    """A network as it is sent to another process.

    Attributes:
        skeleton: The network with empty tensors.
        tensors: Parameters and buffers, in order.
    """

    skeleton: nn.Module
    tensors: tuple[_TensorParcel, ...]

    def unpack(self) -> nn.Module:
        """Rebuild the network; the parcel is used up."""
        for tensor, parcel in zip(_list_tensors(self.skeleton), self.tensors, strict=True):
            tensor.data = parcel.unpack()
        return self.skeleton


def _pack(argument: object) -> object:
    """Pack a tensor or a network of the CPU; anything else is sent as it is."""
    if isinstance(argument, Tensor):
        return _pack_tensor(argument)
    if not isinstance(argument, nn.Module):
        return argument
    skeleton = copy.deepcopy(argument)
    for tensor in _list_tensors(skeleton):
        tensor.data = tensor.new_empty(0)
    return _NetworkParcel(skeleton, tuple(_pack_tensor(one) for one in _list_tensors(argument)))


def _pack_tensor(tensor: Tensor) -> _TensorParcel:
    last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return _TensorParcel(tensor.detach().numpy(), last)


def _list_tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def _call_packed(function: Callable[..., Result], packed: tuple[object, ...]) -> Result:
    """Call a function in a worker process."""
    return function(
        *(
            each.unpack() if isinstance(each, _TensorParcel | _NetworkParcel) else each
            for each in packed
        )
    )


class _Workers:
    """Worker processes, which are started when that pays, and not again after a failure."""

    def __init__(self, *, count: int, start_after_s: float) -> None:
        self.count = count
        self._start_after_s = start_after_s
        self._spent_s = 0.0
        self._pool: ProcessPoolExecutor | None = None
        self._failed = count < 2

    @property
    def are_due(self) -> bool:
        """Whether the work has taken long enough."""
        return not self._failed and self._spent_s >= self._start_after_s

    def call_here(self, function: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
        """Call a function in this process, and note how long it takes."""
        start = time.process_time()
        result = function(*arguments)
        self._spent_s += time.process_time() - start
        return result

    def call_there(
        self, function: Callable[..., Result], calls: Sequence[tuple[Any, ...]]
    ) -> Iterator[Result]:
        """Call a function in worker processes; yields in order, and ends early where they fail."""
        try:
            # Once each: a network is the same in many calls.
            parcels = {id(each): each for arguments in calls for each in arguments}
            parcels = {key: _pack(each) for key, each in parcels.items()}
            futures = [
                self._submit(function, tuple(parcels[id(each)] for each in arguments))
                for arguments in calls
            ]
            for future in futures:
                yield future.result()
        except Exception as error:  # noqa: BLE001  an error of the function itself comes again here
            _logger.warning(
                "The worker processes failed (%s); the work goes on in this process alone.",
                type(error).__name__,
            )
            self._failed = True
            # A pool that could not send something may wait forever for itself to end.
            self.stop(at_once=True)

    def _submit(
        self, function: Callable[..., Result], packed: tuple[object, ...]
    ) -> Future[Result]:
        with starting_safely(), _leaving_main_alone():
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    self.count,
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=_start_worker,
                )
            return self._pool.submit(_call_packed, function, packed)

    def stop(self, *, at_once: bool = False) -> None:
        """End the processes; `at_once` does not wait for the calls that they are busy with."""
        if self._pool is None:
            return
        if at_once:
            for process in list((self._pool._processes or {}).values()):  # noqa: SLF001  no public way yet
                process.terminate()
        self._pool.shutdown(cancel_futures=True)
        self._pool = None


_current: ContextVar[_Workers | None] = ContextVar("workers", default=None)


@contextlib.contextmanager
def working_on_all_cores(
    *, count: int | None = None, start_after_s: float = _START_AFTER_S
) -> Iterator[None]:
    """Let `map_calls` use worker processes inside the block.

    Args:
        count: Processes; None: one a core, but no more than there is memory for.
        start_after_s: Seconds of the processor in this process before they are started.
    """
    workers = _Workers(
        count=count or min(_count_cores(), _MOST_PROCESSES), start_after_s=start_after_s
    )
    token = _current.set(workers)
    try:
        yield
    except BaseException:
        workers.stop(at_once=True)
        raise
    finally:
        _current.reset(token)
        workers.stop()


def map_calls(
    function: Callable[..., Result], calls: Sequence[tuple[Any, ...]], description: str
) -> list[Result]:
    """Call a function with each of several arguments, in worker processes where that pays.

    Args:
        function: Of a module, so that a worker process finds it; its results depend on its
            arguments alone. It may be called a second time where a worker process has failed.
        calls: The arguments of each call; networks and tensors are on the CPU and stay unchanged.
        description: For the progress bar.

    Returns:
        The results, in order.
    """
    return list(track(_iterate(function, calls), description, total=len(calls)))


def _iterate(function: Callable[..., Result], calls: Sequence[tuple[Any, ...]]) -> Iterator[Result]:
    workers, done = _current.get() or _Workers(count=1, start_after_s=0), 0
    while done < len(calls):
        if workers.are_due and len(calls) - done > 1:
            for result in workers.call_there(function, calls[done:]):
                done += 1
                yield result
        else:
            yield workers.call_here(function, calls[done])
            done += 1


def _count_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@contextlib.contextmanager
def _leaving_main_alone() -> Iterator[None]:
    """Start processes that do not run the user's script again, which has perhaps no main guard."""
    main = sys.modules["__main__"]
    kept: dict[str, Any] = {
        name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in vars(main)
    }
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.pop("__spec__")
        main.__dict__.update(kept)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and all other cores to the other workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
