"""A lane: bounded, in order, several at once; one bad job costs nobody else the answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from cxresnet.serve.errors import RequestError
from cxresnet.serve.lanes import Lane

PATIENCE = 30


class Worker:
    """Doubles numbers, once it may; notes what came at once."""

    def __init__(self) -> None:
        self.may_go, self.is_at_work = threading.Event(), threading.Event()
        self.batches: list[list[int]] = []

    def work(self, jobs: Sequence[int]) -> list[int]:
        self.batches.append(list(jobs))
        self.is_at_work.set()
        assert self.may_go.wait(PATIENCE)
        if -1 in jobs:
            raise ValueError("minus one")
        return [2 * job for job in jobs]


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def lane(worker: Worker) -> Iterator[Lane[int, int]]:
    lane = Lane("test", worker.work, capacity=5, batch=3)
    yield lane
    worker.may_go.set()
    lane.close()


def _hold(lane: Lane[int, int], worker: Worker) -> None:
    """Give it one job, so that others wait."""
    lane.submit([0])
    assert worker.is_at_work.wait(PATIENCE)


def test_what_comes_while_a_batch_is_at_work_makes_the_next_one(
    lane: Lane[int, int], worker: Worker
) -> None:
    _hold(lane, worker)
    futures = [*lane.submit([1, 2]), *lane.submit([3, 4])]
    worker.may_go.set()
    assert [future.result(PATIENCE) for future in futures] == [2, 4, 6, 8]
    assert worker.batches == [[0], [1, 2, 3], [4]]


def test_a_full_lane_takes_all_or_none_and_says_when_to_come_again(
    lane: Lane[int, int], worker: Worker
) -> None:
    _hold(lane, worker)
    lane.submit([1, 2, 3])
    with pytest.raises(RequestError, match="busy") as caught:
        lane.submit([4, 5, 6])
    assert (caught.value.status, caught.value.retry_seconds) == (429, 1)
    assert lane.waiting == 3
    lane.submit([4, 5])


def test_a_job_that_fails_costs_no_other_its_answer(lane: Lane[int, int], worker: Worker) -> None:
    _hold(lane, worker)
    good, bad, other = lane.submit([1, -1, 2])
    worker.may_go.set()
    assert (good.result(PATIENCE), other.result(PATIENCE)) == (2, 4)
    with pytest.raises(ValueError, match="minus one"):
        bad.result(PATIENCE)
    assert worker.batches == [[0], [1, -1, 2], [1], [-1], [2]]


def test_what_nobody_waits_for_is_not_done(lane: Lane[int, int], worker: Worker) -> None:
    _hold(lane, worker)
    first, second = lane.submit([1, 2])
    first.cancel()
    worker.may_go.set()
    assert second.result(PATIENCE) == 4
    assert worker.batches == [[0], [2]]


def test_a_lane_that_is_closed_does_what_waits_and_takes_no_more() -> None:
    lane = Lane("test", lambda jobs: [job + 1 for job in jobs], capacity=9)
    futures = lane.submit([1, 2, 3])
    lane.close()
    assert [future.result(0) for future in futures] == [2, 3, 4]
    with pytest.raises(RequestError):
        lane.submit([1])
