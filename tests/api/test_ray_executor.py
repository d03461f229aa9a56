"""What is done where Ray hands back results, errors or dead workers; Ray itself is a stand-in.

The real one is in `test_ray_cluster.py`.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from cxresnet.api import ray_executor
from cxresnet.core.errors import ClusterError, ConfigError, MissingExtraError, SourceError
from cxresnet.core.executor import AbstractWork


class _RayError(Exception):
    """Stands for the base class of Ray's errors."""


class _WorkerCrashedError(_RayError):
    """Stands for the error of a task whose worker died too often."""


class _Reference(str):
    """Stands for a reference to an object."""

    __slots__ = ()

    def hex(self) -> str:
        return str(self)


class FakeRay:
    """Does tasks at once, in this process.

    Attributes:
        killers: Items that kill every worker.
        submitted: The items of each task.
        cancelled: Number of tasks that were cancelled.
    """

    exceptions = SimpleNamespace(
        RayError=_RayError,
        WorkerCrashedError=_WorkerCrashedError,
        ObjectLostError=type("ObjectLostError", (_RayError,), {}),
        OutOfMemoryError=type("OutOfMemoryError", (_RayError,), {}),
    )

    def __init__(self, *, killers: Sequence[int] = (), processors: float = 2.0) -> None:
        self.killers = killers
        self.processors = processors
        self.submitted: list[list[int]] = []
        self.cancelled = 0
        self._objects: dict[str, Any] = {}

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self.processors}

    def put(self, value: object) -> _Reference:
        name = _Reference(f"object-{id(self)}-{len(self._objects)}")
        self._objects[name] = value
        return name

    def get(self, reference: object) -> Any:
        found = self._objects[reference] if isinstance(reference, str) else reference
        if isinstance(found, _RayError):
            raise found
        return found

    def cancel(self, _: object, *, force: bool) -> None:
        assert force
        self.cancelled += 1

    def remote(self, **options: object) -> Callable[..., Any]:
        assert options["max_retries"] == 2

        def submit(function: Callable[..., Any], order: Any, items: list[int]) -> object:
            self.submitted.append(list(items))
            if any(item in self.killers for item in items):
                return _WorkerCrashedError()
            return function(order, items)

        return lambda function: SimpleNamespace(remote=lambda *words: submit(function, *words))


class Doubling(AbstractWork[int, int]):
    """Doubles numbers; -1 is given up, and -2 means that something was not there."""

    def __init__(self, *, unseen: Sequence[int] = (), unseen_here: Sequence[int] = ()) -> None:
        self.unseen = list(unseen)
        self.unseen_here = unseen_here

    def do(self, item: int) -> int:
        if item in self.unseen:
            self.unseen.remove(item)  # the second time is on the machine of the command
            return -2
        return -2 if item in self.unseen_here else 2 * item

    def give_up(self, item: int) -> int:
        return -1

    def may_be_local(self, result: int) -> bool:
        return result == -2


@pytest.fixture(autouse=True)
def _as_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep from this process what a worker does to its own."""
    monkeypatch.setattr(ray_executor, "_kept", {})
    monkeypatch.setattr(ray_executor.logging, "disable", lambda: None)
    monkeypatch.setattr(ray_executor.warnings, "simplefilter", lambda *_: None)


def _run(
    ray: FakeRay, work: AbstractWork[int, int], count: int, monkeypatch: pytest.MonkeyPatch
) -> list[int]:
    monkeypatch.setattr(ray_executor, "_import_ray", lambda: ray)
    return list(ray_executor._RayExecutor(ray).run(work, range(count)))


@pytest.mark.parametrize("count", [0, 1, 8, 60, 100])
def test_results_come_in_order_and_each_item_is_sent_once(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay()
    assert _run(ray, Doubling(), count, monkeypatch) == [2 * item for item in range(count)]
    assert [item for items in ray.submitted for item in items] == list(range(count))
    assert ray.cancelled == 0


def test_an_item_that_kills_its_workers_is_given_up_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay(killers=[11])
    expected = [2 * item if item != 11 else -1 for item in range(40)]
    assert _run(ray, Doubling(), 40, monkeypatch) == expected
    assert [items for items in ray.submitted if len(items) == 1] == [[n] for n in range(8, 16)]


def test_no_more_is_sent_than_the_cluster_can_do_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay()
    monkeypatch.setattr(ray_executor, "_import_ray", lambda: ray)
    taken = []
    results = ray_executor._RayExecutor(ray).run(
        Doubling(), (taken.append(item) or item for item in range(1000))
    )
    assert next(results) == 0
    assert len(taken) == 2 * 3 * 8  # processors, chunks for each, items
    results.close()
    assert ray.cancelled == 2 * 3 - 1


def test_what_only_another_machine_lacks_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="the images under the same path"):
        _run(FakeRay(), Doubling(unseen=[5]), 20, monkeypatch)


def test_what_every_machine_lacks_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [2 * item if item != 5 else -2 for item in range(20)]
    assert _run(FakeRay(), Doubling(unseen_here=[5]), 20, monkeypatch) == expected


def test_an_error_of_the_work_is_raised_where_the_command_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Failing(Doubling):
        def do(self, item: int) -> int:
            raise ConfigError("The limit is wrong.")

    with pytest.raises(ConfigError, match="The limit is wrong"):
        _run(FakeRay(), Failing(), 3, monkeypatch)


def test_a_machine_with_other_versions_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = iter([{"numpy": "2.0", "python": "3.11.1"}, {"pydicom": "3.0", "python": "3.11.2"}])
    monkeypatch.setattr(ray_executor, "list_versions", lambda: next(lists))
    with pytest.raises(
        ConfigError, match=r"numpy not installed instead of 2\.0, pydicom 3\.0 instead of none"
    ):
        _run(FakeRay(), Doubling(), 3, monkeypatch)


def test_a_cluster_without_processors_or_that_fails_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ClusterError, match="no processors"):
        _run(FakeRay(processors=0), Doubling(), 3, monkeypatch)
    ray = FakeRay()
    ray.get = lambda _: (_ for _ in ()).throw(_RayError())  # type: ignore[method-assign]
    monkeypatch.setattr(ray_executor, "_do_chunk", lambda *_: [])
    with pytest.raises(ClusterError, match=r"failed \(_RayError\)"):
        _run(ray, Doubling(), 3, monkeypatch)


def test_ray_that_is_not_installed_is_told_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in ray_executor._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with (
        pytest.raises(MissingExtraError, match=r'pip install "cxresnet\[ray\]"'),
        ray_executor.connecting_to_ray(),
    ):
        pass
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.parametrize(
    "address", ["ray://host:10001", "http://127.0.0.1:8265", "local", "host", ":6379", "host:x"]
)
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(ConfigError, match="Give HOST:PORT"):
        ray_executor._find_address(address)


def test_an_address_where_nothing_answers_is_told_with_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ConfigError, match="ray start --head --disable-usage-stats"):
        ray_executor._find_address(address)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConfigError, match=address):
        ray_executor._find_address("")
    monkeypatch.delenv("RAY_ADDRESS")
    assert ray_executor._find_address("") == "auto"
