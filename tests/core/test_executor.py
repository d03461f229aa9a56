"""Work on many items: every item once, in order, whatever happens to the processes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from cxresnet.core import executor
from cxresnet.core.executor import AbstractWork, Processes, ThisProcess, cut_into_chunks


class Doubling(AbstractWork[int, int]):
    """Doubles numbers; -1 stands for one that was given up."""

    def do(self, item: int) -> int:
        return 2 * item

    def give_up(self, item: int) -> int:
        return -1

    def may_be_local(self, result: int) -> bool:
        return False


def test_items_are_cut_into_chunks_and_none_is_lost() -> None:
    assert [len(chunk) for chunk in cut_into_chunks(range(19))] == [8, 8, 3]
    assert [item for chunk in cut_into_chunks(range(19)) for item in chunk] == list(range(19))
    assert list(cut_into_chunks([])) == []


@pytest.mark.parametrize("where", [ThisProcess(), Processes(1), Processes(2)])
def test_few_items_are_done_in_this_process_and_in_order(where: executor.AbstractExecutor) -> None:
    assert list(where.run(Doubling(), iter(range(20)))) == list(range(0, 40, 2))


class _BreakingPool:
    """Stands for a pool of processes; it works at once, and breaks where it is told to."""

    def __init__(self, breaks: dict[int, str], calls: list[Sequence[int]]) -> None:
        self._breaks = breaks
        self._calls = calls

    def submit(self, _: Any, items: Sequence[int]) -> Future[list[int]]:
        number = len(self._calls)
        self._calls.append(items)
        how = self._breaks.get(number)
        if how == "at submission":
            raise BrokenProcessPool
        future: Future[list[int]] = Future()
        if how == "at work":
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result([2 * item for item in items])
        return future

    def shutdown(self, **_: object) -> None:
        """There is nothing to end."""

    def __enter__(self) -> _BreakingPool:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to end."""


@pytest.mark.parametrize("how", ["at submission", "at work"])
@pytest.mark.parametrize("call", [1, 3, 7])
def test_a_pool_that_breaks_loses_no_item_and_does_none_twice(
    how: str, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Sequence[int]] = []
    pool = _BreakingPool({call: how}, calls)
    monkeypatch.setattr(executor._Pool, "_build_pool", lambda *_: pool)
    monkeypatch.setattr(executor, "_MIN_ITEMS_FOR_PROCESSES", 10)
    assert list(Processes(2).run(Doubling(), range(50))) == list(range(0, 100, 2))
    assert len(calls) > 1 + 50 / 8


def test_an_item_that_kills_its_process_is_given_up_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Call 0 starts the pool. Calls 1 to 6 are the chunks 0 to 5; the first of them breaks the
    # pool, so that its items are tried one by one: calls 7 and following. Item 2 breaks again.
    calls: list[Sequence[int]] = []
    pool = _BreakingPool({1: "at work", 9: "at work"}, calls)
    monkeypatch.setattr(executor._Pool, "_build_pool", lambda *_: pool)
    monkeypatch.setattr(executor, "_MIN_ITEMS_FOR_PROCESSES", 10)
    expected = [2 * item if item != 2 else -1 for item in range(50)]
    assert list(Processes(2).run(Doubling(), range(50))) == expected
    assert calls[9] == (2,)
