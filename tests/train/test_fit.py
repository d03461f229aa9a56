"""A training from dataset to checkpoint: it learns, repeats itself, goes on, and refuses."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxresnet.core.config import Config
from cxresnet.core.errors import ConfigError, RunFolderError, TrainingError
from cxresnet.core.progress import reporting_to
from cxresnet.core.run_folder import RunFolder
from cxresnet.predict.predictor import load_predictor
from cxresnet.train.fit import run_train
from cxresnet.train.history import HISTORY_COLUMNS
from cxresnet.train.module import TrainingModule

BuildConfig = Callable[..., Config]


@pytest.mark.slow
def test_a_network_that_can_learn_the_squares_does(
    squares: Any, tiny_config: BuildConfig, run: RunFolder
) -> None:
    config = tiny_config(epochs=12, learning_rate=0.02, ema_decay=0.8)

    result = run_train(squares, config=config, run=run)

    assert result.metrics["val_macro_auroc"] > 0.9
    assert 1 <= result.best_epoch <= result.epochs == 12
    assert f"validation selected epoch {result.best_epoch}" in result.describe()
    assert "n=24 images" in result.describe()


@pytest.mark.slow
def test_the_checkpoint_answers_as_validation_did(
    squares: Any, tiny_config: BuildConfig, run: RunFolder
) -> None:
    result = run_train(squares, config=tiny_config(class_weights="none"), run=run)
    predictor = load_predictor(run.checkpoint)
    val = squares.select("val")

    logits = torch.from_numpy(predictor.predict_images(val.images))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(val.labels))

    assert float(loss) == pytest.approx(result.metrics["val_loss"], abs=1e-5)
    assert predictor.class_names == squares.class_names
    assert predictor.preprocessing == squares.preprocessing
    assert predictor.record.dataset_hash == squares.dataset_hash
    assert predictor.record.metrics["epoch"] == result.best_epoch
    assert predictor.record.versions["torch"] == str(torch.__version__)


@pytest.mark.slow
def test_the_run_folder_says_how_and_on_what_it_was_trained(
    squares: Any, tiny_config: BuildConfig, run: RunFolder, read_history: Any
) -> None:
    config = tiny_config()

    run_train(squares, config=config, run=run)

    rows = read_history(run)
    assert tuple(rows[0]) == HISTORY_COLUMNS
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert Config.model_validate_json((run.train / "config.json").read_text()) == config
    environment = json.loads((run.train / "environment.json").read_text())
    assert environment["same_seed_same_bits"] is not torch.cuda.is_available()
    assert os.uname().nodename not in (run.train / "environment.json").read_text().split('"')


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_and_another_gives_others(
    squares: Any, tiny_config: BuildConfig, tmp_path: Path, compute_digest: Any
) -> None:
    runs = [RunFolder(tmp_path / name) for name in ("first", "again", "other")]
    for number, run in enumerate(runs):
        torch.manual_seed(number)  # what the caller did before must not matter
        run_train(squares, config=tiny_config(seed=int(run.path.name == "other")), run=run)

    first, again, other = map(compute_digest, runs)

    assert first == again
    assert first != other


@pytest.mark.slow
def test_nothing_of_the_process_is_left_changed_also_after_an_error(
    squares: Any, tiny_config: BuildConfig, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> tuple[object, ...]:
        return (
            torch.random.get_rng_state().sum(),
            np.random.get_state()[1].sum(),  # noqa: NPY002  the global state is the point
            torch.are_deterministic_algorithms_enabled(),
            torch.is_grad_enabled(),
            signal.getsignal(signal.SIGTERM),
            signal.getsignal(signal.SIGINT),
            logging.getLogger("lightning.pytorch").level,
        )

    before = look()
    run_train(squares, config=tiny_config(epochs=1), run=run)
    assert look() == before

    monkeypatch.setattr(TrainingModule, "validation_step", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_train(squares, config=tiny_config(epochs=1), run=run)
    assert look() == before


@pytest.mark.slow
def test_a_new_training_in_the_same_folder_leaves_nothing_of_the_old_one(
    squares: Any, tiny_config: BuildConfig, run: RunFolder, read_history: Any
) -> None:
    run_train(squares, config=tiny_config(epochs=3), run=run)

    run_train(squares, config=tiny_config(epochs=1), run=run)

    assert len(read_history(run)) == 1
    assert not list(run.train.glob("*.previous"))


@pytest.mark.slow
def test_a_loss_that_is_no_number_names_epoch_batch_and_images(
    squares: Any, tiny_config: BuildConfig, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TrainingModule.training_step

    def poison(module: TrainingModule, batch: Any, batch_idx: int) -> Any:
        if (module.current_epoch, batch_idx) == (1, 2):
            with torch.no_grad():
                module.network.head.bias.fill_(float("nan"))
        return original(module, batch, batch_idx)

    monkeypatch.setattr(TrainingModule, "training_step", poison)
    with pytest.raises(
        TrainingError, match=r"epoch 2, batch 3, images 'image-\d+', .* learning rate"
    ):
        run_train(squares, config=tiny_config(), run=run)

    saved = load_predictor(run.checkpoint).model.state_dict()
    assert all(bool(torch.isfinite(tensor).all()) for tensor in saved.values())


def test_running_out_of_memory_proposes_half_the_batch(
    squares: Any, tiny_config: BuildConfig, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 10 bytes")

    monkeypatch.setattr(TrainingModule, "training_step", refuse)
    with pytest.raises(TrainingError, match=r"batches of 8 images.*--set train\.batch_size=4"):
        run_train(squares, config=tiny_config(), run=run)


def test_a_strategy_that_nobody_knows_is_refused(
    squares: Any, tiny_config: BuildConfig, run: RunFolder
) -> None:
    with pytest.raises(ConfigError, match="strategy together"):
        run_train(squares, config=tiny_config(strategy="together"), run=run)


@pytest.mark.slow
def test_progress_counts_every_step_once_and_ends(
    squares: Any, tiny_config: BuildConfig, run: RunFolder
) -> None:
    events: list[tuple[str, int | None]] = []

    class Recorder:
        def start(self, description: str, total: int | None) -> object:
            events.append((description, total))
            return None

        def advance(self, handle: object, count: int) -> None:
            events.append(("step", count))

        def finish(self, handle: object) -> None:
            events.append(("end", None))

    with reporting_to(Recorder()):
        run_train(squares, config=tiny_config(), run=run)

    assert events[0] == ("Training", 18)
    assert events.count(("step", 1)) == 18
    assert events[-1] == ("end", None)


@pytest.mark.slow
def test_outside_of_the_main_thread_training_works_without_signals(
    squares: Any, tiny_config: BuildConfig, run: RunFolder
) -> None:
    results: list[int] = []
    thread = threading.Thread(
        target=lambda: results.append(
            run_train(squares, config=tiny_config(epochs=1), run=run).epochs
        )
    )

    thread.start()
    thread.join(60)

    assert results == [1]


@pytest.mark.slow
def test_last_keeps_the_last_epoch_whatever_validation_says(
    squares: Any, tiny_config: Callable[..., Config], run: RunFolder
) -> None:
    # A learning rate that ruins the network at once: the first epoch is better than the last.
    config = tiny_config(epochs=3, monitor="last", learning_rate=3.0, ema_decay=0.0)

    result = run_train(squares, config=config, run=run)

    assert result.best_epoch == 3
    assert "the config takes the last, epoch 3" in result.describe()


@pytest.mark.slow
def test_the_seed_draws_the_first_weights(
    squares: Any, tiny_config: BuildConfig, tmp_path: Path
) -> None:
    # One epoch that hardly moves: what differs was drawn before it.
    heads = []
    for seed in (0, 1):
        run = RunFolder(tmp_path / str(seed))
        config = tiny_config(epochs=1, learning_rate=1e-9, ema_decay=0, seed=seed)
        run_train(squares, config=config, run=run)
        heads.append(load_predictor(run.checkpoint).model.state_dict()["head.weight"])

    assert float((heads[0] - heads[1]).abs().max()) > 0.01


@pytest.mark.slow
def test_a_round_that_takes_the_last_epoch_learns_from_all_other_folds_and_says_so(
    uneven: Any, tiny_config: BuildConfig, run: RunFolder
) -> None:
    config = tiny_config(epochs=1, monitor="last", seed=3)

    result = run_train(uneven, config=config, run=run, fold=1)

    is_held_out = (uneven.manifest["fold"] == 1).to_numpy()
    record = load_predictor(run.checkpoint).record
    assert record.class_names == ("left", "middle", "right")
    assert record.dataset_hash == "uneven"
    assert record.notes["train_images"] == (~is_held_out).sum()
    assert record.notes["val_images"] == result.val_images == is_held_out.sum()
    assert record.notes["data_verdict"] == uneven.verdict
    assert record.notes["train"]["seed"] == 3  # type: ignore[index, call-overload]


def test_more_processes_than_cores_are_refused(
    squares: Any, tiny_config: BuildConfig, run: RunFolder
) -> None:
    with pytest.raises(ConfigError, match=r"devices=99 asks for 99 processes.*cores"):
        run_train(squares, config=tiny_config(devices=99), run=run)


def test_a_run_folder_that_is_removed_while_training_is_told(
    squares: Any, tiny_config: BuildConfig, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = TrainingModule.training_step

    def remove_and_step(*arguments: Any) -> Any:
        shutil.rmtree(run.path, ignore_errors=True)
        return step(*arguments)

    monkeypatch.setattr(TrainingModule, "training_step", remove_and_step)
    with pytest.raises(RunFolderError, match="was removed while the network was trained"):
        run_train(squares, config=tiny_config(), run=run)
