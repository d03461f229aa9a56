"""Run the cases of a part in worker processes that may crash or hang, and write down each."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path

from faults.context import Context, Outcome, Part, stop_group

_STATE = struct.Struct("qd")
_NOTHING = -1


@dataclass
class _Worker:
    """A process that works on every `stride`-th case; it tells in shared memory which one."""

    child: int
    state: mmap
    log: Path

    def read(self) -> tuple[int, float]:
        number, began = _STATE.unpack_from(self.state)
        return int(number), float(began)


def read_done(results: Path, part: Part, seed: int) -> dict[int, Outcome]:
    """Read the cases that earlier calls have done."""
    done = {}
    if results.is_file():
        for line in results.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["part"] == part.name and row["seed"] == seed:
                done[row["case"]] = Outcome(row["word"], row["fault"])
    return done


def run_part(
    part: Part, numbers: list[int], *, folder: Path, results: Path, seed: int, workers: int
) -> None:
    """Run cases of a part; each is a line of the results when it is done."""
    shared = folder / "shared"
    if not (folder / f"{part.name}-prepared").exists():
        shared.mkdir(parents=True, exist_ok=True)
        part.prepare(shared)
        (folder / f"{part.name}-prepared").touch()
    queues = [numbers[one::workers] for one in range(workers)]
    living = [
        _start_worker(part, queue, Context(shared, folder / f"{part.name}-{one}", seed), results)
        for one, queue in enumerate(queues)
    ]
    while any(worker is not None for worker in living):
        time.sleep(0.1)
        for one, worker in enumerate(living):
            if worker is None:
                continue
            fault = _find_end(worker, part)
            if fault is None:
                continue
            number, _ = worker.read()
            if number == _NOTHING:
                living[one] = None
                continue
            _write(results, part, seed, number, Outcome("fault", fault))
            queues[one] = queues[one][queues[one].index(number) + 1 :]
            context = Context(shared, folder / f"{part.name}-{one}", seed)
            living[one] = _start_worker(part, queues[one], context, results)


def _find_end(worker: _Worker, part: Part) -> str | None:
    """Say how a worker ended, "" in peace; None while it works. One that hangs is ended."""
    done, status = os.waitpid(worker.child, os.WNOHANG)
    if done:
        code = os.waitstatus_to_exitcode(status)
        stop_group(worker.child)
        return f"the process ended with {code}: {worker.log.read_text()[-300:]}"
    number, began = worker.read()
    if number == _NOTHING or time.monotonic() - began < part.limit_seconds:
        return None
    time.sleep(0.2)
    if worker.read() != (number, began):  # read while it was being written
        return None
    stop_group(worker.child)
    os.waitpid(worker.child, 0)
    return f"a hang of more than {part.limit_seconds} s"


def _start_worker(part: Part, numbers: list[int], context: Context, results: Path) -> _Worker:
    state = mmap(-1, _STATE.size)
    _STATE.pack_into(state, 0, _NOTHING, time.monotonic())
    log = context.shared.parent / f"{context.scratch.name}.log"
    child = os.fork()
    if child:
        return _Worker(child, state, log)
    code = 1
    try:
        os.setsid()
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 2)
        for number, outcome in _run_cases(part, numbers, context, state):
            _write(results, part, context.seed, number, outcome)
        _STATE.pack_into(state, 0, _NOTHING, time.monotonic())
        code = 0
    except BaseException as error:  # noqa: BLE001  a fork never returns
        os.write(2, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(code)


def _run_cases(
    part: Part, numbers: list[int], context: Context, state: mmap
) -> Iterator[tuple[int, Outcome]]:
    for number in numbers:
        shutil.rmtree(context.scratch, ignore_errors=True)
        context.scratch.mkdir(parents=True)
        _STATE.pack_into(state, 0, number, time.monotonic())
        yield number, part.check(context, number)
    shutil.rmtree(context.scratch, ignore_errors=True)


def _write(results: Path, part: Part, seed: int, number: int, outcome: Outcome) -> None:
    row = {"part": part.name, "seed": seed, "case": number} | vars(outcome)
    with results.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    if outcome.fault:
        way = f"scripts/chaos --part {part.name} --seed {seed} --case {number}"
        print(f"FAULT {outcome.fault}\n      again: {way}", flush=True)


def end_softly(_signal: int, _frame: object) -> None:
    """End on SIGTERM as on Ctrl-C; the workers are in groups of their own."""
    raise KeyboardInterrupt


signal.signal(signal.SIGTERM, end_softly)
