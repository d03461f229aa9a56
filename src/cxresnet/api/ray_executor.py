"""Work on the machines of a Ray cluster that is running; the only module that imports Ray.

Each task is a chunk of items, and its results come back in order. Plain tasks do all that is
needed: Ray starts those of a lost machine again on another one. Ray Data would add pandas and
pyarrow on every machine and blocks of tables, for images that are not in a table.

Ray keeps no secret: its logs and its table of jobs can be read by whoever reaches the cluster. So
nothing that names a file goes there: no command line, no message and no traceback.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import socket
import threading
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxresnet.core.errors import ClusterError, ConfigError, MissingExtraError, SourceError
from cxresnet.core.executor import (
    CHUNKS_AHEAD,
    AbstractExecutor,
    AbstractWork,
    Item,
    Result,
    cut_into_chunks,
)
from cxresnet.data.dataset.dataset_record import list_versions

_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to the maker
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else a warning about the next version
}
_RETRIES = 2
"""How often a task is started again whose worker died; then its items are tried one by one."""
_CONNECT_SECONDS = 5.0
_HOW_TO_START = (
    "Start one with 'ray start --head --disable-usage-stats --include-dashboard=false', and add "
    "the other machines with the line that it shows; or name a cluster with --ray-address "
    "HOST:PORT."
)


@contextlib.contextmanager
def connecting_to_ray(address: str = "") -> Iterator[AbstractExecutor]:
    """Use a Ray cluster inside the block.

    Args:
        address: HOST:PORT of the cluster; "" for that of $RAY_ADDRESS, and without it for the one
            that runs on this machine. A connection that is there already is used and kept.

    Yields:
        The executor over all machines of the cluster.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: There is no such cluster, or it does not fit; the message says how to start
            one.
    """
    ray = _import_ray()
    if ray.is_initialized():
        yield _RayExecutor(ray)
        return
    found = _find_address(address)
    with _keeping_silent(ray):
        _connect(ray, found)
        try:
            yield _RayExecutor(ray)
        finally:
            ray.shutdown()


def _import_ray() -> Any:
    for name, value in _VARIABLES.items():
        os.environ[name] = value
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MissingExtraError("ray", needed_for="Working on a Ray cluster") from error
    return ray


def _find_address(given: str) -> str:
    """Find out which cluster is meant, and whether anything answers there."""
    address = given or os.environ.get("RAY_ADDRESS", "") or "auto"
    if address == "auto":
        return address
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise ConfigError(
            f"'{address}' is not the address of a Ray cluster. Give HOST:PORT, as 'ray start' "
            "shows it."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"No Ray cluster answers at '{address}'. {_HOW_TO_START}") from error
    return address


def _connect(ray: Any, address: str) -> None:
    """Connect, and leave this process as it was.

    Ray lets its workers import from the current folder, which may be one of images that somebody
    sent: it is shown another one meanwhile.
    """
    try:
        with _keeping_sigterm(), contextlib.chdir(os.sep):
            ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except ConnectionError as error:
        raise ConfigError(f"No Ray cluster runs on this machine. {_HOW_TO_START}") from error
    except RuntimeError as error:
        raise ConfigError(f"The Ray cluster cannot be used: {error}") from error


@contextlib.contextmanager
def _keeping_sigterm() -> Iterator[None]:
    """Keep what SIGTERM does; Ray would have it end the process as if all was well."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _keeping_silent(ray: Any) -> Iterator[None]:
    """Keep the command line out of the cluster's table of jobs, and its messages out of our output.

    The first names files, and the others would come between the rows of a table. Ray has no option
    for either.
    """
    parts = ray._private  # noqa: SLF001
    changes = (
        (parts.utils, "get_entrypoint_name", lambda: "cxresnet"),
        (parts.worker, "print_to_stdstream", lambda *_, **__: None),
    )
    before = [getattr(module, name) for module, name, _ in changes]
    try:
        for module, name, stand_in in changes:
            setattr(module, name, stand_in)
        yield
    finally:
        for (module, name, _), original in zip(changes, before, strict=True):
            setattr(module, name, original)


@dataclass(frozen=True)
class _Order:
    """What the tasks of one run have in common.

    Attributes:
        work: Reference to the work; each worker fetches it once.
        folder: Where relative paths begin.
        versions: As of `list_versions`, on the machine of the command.
    """

    work: Any
    folder: str
    versions: Mapping[str, str]


class _RayExecutor(AbstractExecutor):
    """Works on all machines of the cluster that this process is connected to."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._submit = ray.remote(num_cpus=1, max_retries=_RETRIES)(_do_chunk).remote

    def run(self, work: AbstractWork[Item, Result], items: Iterable[Item]) -> Generator[Result]:
        """Work on items; see `AbstractExecutor`.

        Raises:
            ConfigError: A machine of the cluster has other versions of what the results depend on.
            SourceError: A machine of the cluster does not see what this one sees.
            ClusterError: The cluster has no processors, or fails as a whole.
        """
        processors = int(self._ray.cluster_resources().get("CPU", 0))
        if processors < 1:
            raise ClusterError(
                "The Ray cluster has no processors to work with. Add a machine with 'ray start'."
            )
        order = _Order(self._ray.put(work), str(Path.cwd()), list_versions())
        chunks = cut_into_chunks(items)
        ahead: deque[tuple[Any, list[Item]]] = deque()
        try:
            while True:
                for chunk in itertools.islice(chunks, processors * CHUNKS_AHEAD - len(ahead)):
                    ahead.append((self._submit(order, chunk), chunk))
                if not ahead:
                    return
                results = self._collect(work, order, *ahead[0])
                ahead.popleft()
                yield from results
        finally:
            for future, _ in ahead:
                self._ray.cancel(future, force=True)

    def _collect(
        self, work: AbstractWork[Item, Result], order: _Order, future: Any, chunk: list[Item]
    ) -> list[Result]:
        """Wait for the results of a chunk; one that kills its workers is taken apart."""
        errors = self._ray.exceptions
        try:
            results = self._ray.get(future)
        except (errors.WorkerCrashedError, errors.ObjectLostError, errors.OutOfMemoryError):
            if len(chunk) == 1:
                return [work.give_up(chunk[0])]
            alone = ((self._submit(order, [item]), [item]) for item in chunk)
            return [one for each in alone for one in self._collect(work, order, *each)]
        except errors.RayError as error:
            raise ClusterError(
                f"The Ray cluster failed ({type(error).__name__}). Repeat the command when it "
                "works again; 'prepare' continues where it stopped."
            ) from error
        if isinstance(results, Exception):
            raise results
        return [_confirm(work, *pair) for pair in zip(chunk, results, strict=True)]


def _confirm(work: AbstractWork[Item, Result], item: Item, result: Result) -> Result:
    """Try here what may have failed for what a machine lacks.

    Else images that one machine does not see would be left out, and nobody would notice.
    """
    if not work.may_be_local(result):
        return result
    here = work.do(item)
    if work.may_be_local(here):
        return here
    raise SourceError(
        "A machine of the Ray cluster cannot read an image that this machine can read. All "
        "machines need the images under the same path, for example on a shared disk, and the same "
        "extras of cxresnet."
    )


# From here on: what runs on the workers.

_kept: dict[str, AbstractWork[Any, Any]] = {}
"""The work of the present run, by its reference."""


def _do_chunk(order: _Order, items: Sequence[Any]) -> list[Any] | Exception:
    """Work on items; an error is handed back, because Ray would write its text into logs."""
    try:
        work = _find_work(order)
        return [work.do(item) for item in items]
    except Exception as error:  # noqa: BLE001  it is raised again where the command runs
        return error


def _find_work(order: _Order) -> AbstractWork[Any, Any]:
    key = order.work.hex()
    if key not in _kept:
        logging.disable()
        warnings.simplefilter("ignore")
        _require_same_versions(order.versions)
        with contextlib.suppress(OSError):  # it is needed for relative paths alone
            os.chdir(order.folder)
        _kept.clear()
        _kept[key] = _import_ray().get(order.work)
    return _kept[key]


def _require_same_versions(wanted: Mapping[str, str]) -> None:
    here = list_versions()
    other = [
        f"{name} {here.get(name, 'not installed')} instead of {wanted.get(name, 'none')}"
        for name in sorted({*wanted, *here} - {"python"})
        if here.get(name) != wanted.get(name)
    ]
    if other:
        raise ConfigError(
            f"A machine of the Ray cluster has other versions than this one: {', '.join(other)}. "
            "Install the same versions on all machines."
        )
