"""A training that was stopped or killed goes on to the very bits of an undisturbed one."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cxresnet.core.config import Config
from cxresnet.core.errors import CheckpointError
from cxresnet.core.run_folder import RunFolder
from cxresnet.train.checkpointing import Interruption
from cxresnet.train.fit import run_train
from cxresnet.train.module import TrainingModule

BuildConfig = Callable[..., Config]


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Makes this process get a signal in its n-th training step; undone after it came."""

    def prepare(steps: int, number: int) -> None:
        original = TrainingModule.training_step
        done = 0

        def step(module: TrainingModule, *batch: Any) -> Any:
            nonlocal done
            done += 1
            if done == steps:
                monkeypatch.setattr(TrainingModule, "training_step", original)
                os.kill(os.getpid(), number)
            return original(module, *batch)

        monkeypatch.setattr(TrainingModule, "training_step", step)

    return prepare


@pytest.mark.slow
@pytest.mark.parametrize(  # six steps make an epoch: within one, at an end, in the last one
    ("steps", "number"),
    [(3, signal.SIGTERM), (6, signal.SIGINT), (12, signal.SIGTERM), (16, signal.SIGINT)],
)
def test_a_stopped_training_goes_on_to_the_bits_of_an_undisturbed_one(
    steps: int,
    number: int,
    squares: Any,
    tiny_config: BuildConfig,
    tmp_path: Path,
    stop_after: Callable[[int, int], None],
    compute_digest: Callable[[RunFolder], str],
) -> None:
    whole, stopped = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "stopped")
    run_train(squares, config=tiny_config(), run=whole)
    stop_after(steps, number)

    with pytest.raises((SystemExit, KeyboardInterrupt)) as stop:
        run_train(squares, config=tiny_config(), run=stopped)
    run_train(squares, config=tiny_config(), run=stopped, resume=True)

    assert getattr(stop.value, "code", None) == (143 if number == signal.SIGTERM else None)
    assert compute_digest(stopped) == compute_digest(whole)


@pytest.mark.slow
def test_resuming_a_finished_training_changes_nothing_and_says_the_same(
    squares: Any,
    tiny_config: BuildConfig,
    run: RunFolder,
    compute_digest: Callable[[RunFolder], str],
) -> None:
    first = run_train(squares, config=tiny_config(), run=run)
    before = compute_digest(run)

    again = run_train(squares, config=tiny_config(), run=run, resume=True)

    assert again == first
    assert compute_digest(run) == before


@pytest.mark.slow
def test_a_training_that_stopped_early_stays_stopped(
    squares: Any, tiny_config: BuildConfig, run: RunFolder
) -> None:
    config = tiny_config(epochs=30, learning_rate=1e-9, patience_epochs=2)
    first = run_train(squares, config=config, run=run)

    again = run_train(squares, config=config, run=run, resume=True)

    assert first.epochs == first.best_epoch + 2 < 30
    assert again.epochs == first.epochs


@pytest.mark.slow
def test_resuming_where_nothing_was_saved_begins_and_says_so(
    squares: Any, tiny_config: BuildConfig, run: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="cxresnet"):
        result = run_train(squares, config=tiny_config(epochs=1), run=run, resume=True)

    assert result.epochs == 1
    assert "no state to resume from" in caplog.text


@pytest.mark.slow
def test_a_changed_config_is_refused_with_the_difference(
    squares: Any, tiny_config: BuildConfig, run: RunFolder
) -> None:
    run_train(squares, config=tiny_config(epochs=1), run=run)

    with pytest.raises(CheckpointError, match=r"train\.batch_size was 8 and is 4"):
        run_train(squares, config=tiny_config(epochs=1, batch_size=4), run=run, resume=True)


def test_a_second_ctrl_c_stops_at_once() -> None:
    interruption = Interruption()
    interruption.handle_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        interruption.handle_signal(signal.SIGINT)


@pytest.mark.slow
def test_a_state_is_saved_within_an_epoch_when_it_is_time(
    squares: Any, tiny_config: BuildConfig, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[float] = []
    original = TrainingModule.on_save_checkpoint
    monkeypatch.setattr(
        TrainingModule,
        "on_save_checkpoint",
        lambda module, state: (saved.append(time.monotonic()), original(module, state))[1],
    )

    run_train(squares, config=tiny_config(epochs=1, save_minutes=0), run=run)

    assert len(saved) == 6  # five within the epoch, and its end
