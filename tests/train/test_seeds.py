"""The same network from several seeds: one checkpoint that averages them, and their spread."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cxresnet.core.config import Config
from cxresnet.core.errors import ConfigError
from cxresnet.core.run_folder import RunFolder
from cxresnet.model.checkpoint import read_model
from cxresnet.train.module import TrainingModule
from cxresnet.train.seeds import run_seeds


@pytest.mark.slow
def test_the_networks_of_all_seeds_answer_together(
    squares: Any,
    tiny_config: Callable[..., Config],
    run: RunFolder,
    read_history: Callable[[RunFolder], list[dict[str, str]]],
) -> None:
    result = run_seeds(squares, config=tiny_config(epochs=2), run=run, seeds=(3, 5))

    together, record = read_model(run.checkpoint)
    alone = [read_model(result.trainings[seed].checkpoint)[0] for seed in (3, 5)]
    images = torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(together(images), (alone[0](images) + alone[1](images)) / 2)
    assert record.notes["seeds"] == [3, 5]
    assert not torch.equal(alone[0](images), alone[1](images))

    losses = [
        float(read_history(RunFolder(run.train / "rounds" / f"seed-{seed}"))[-1]["train_loss"])
        for seed in (3, 5)
    ]
    history = read_history(run)
    assert len(history) == 2
    assert float(history[-1]["train_loss"]) == pytest.approx(np.mean(losses), rel=1e-5)

    written = json.loads((run.train / "seeds.json").read_text())
    values = [one["metrics"]["val_accuracy"] for one in written["seeds"]]
    assert written["spread"]["val_accuracy"]["mean"] == pytest.approx(np.mean(values))
    assert "±" in result.describe()
    assert (run.train / "config.json").is_file()


@pytest.mark.slow
def test_seeds_that_are_done_stay_as_they_are_where_a_training_goes_on(
    uneven: Any,
    tiny_config: Callable[..., Config],
    run: RunFolder,
    read_history: Callable[[RunFolder], list[dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = run_seeds(uneven, config=tiny_config(epochs=1), run=run, seeds=(4, 2))
    folders = [RunFolder(run.train / "rounds" / f"seed-{seed}") for seed in (4, 2)]
    seconds = [float(read_history(folder)[0]["seconds"]) for folder in folders]
    assert float(read_history(run)[0]["seconds"]) == pytest.approx(sum(seconds), rel=1e-4)
    monkeypatch.setattr(TrainingModule, "training_step", lambda *_: 1 / 0)

    again = run_seeds(uneven, config=tiny_config(epochs=1), run=run, seeds=(4, 2), resume=True)

    assert again.trainings == first.trainings
    assert again.spread == first.spread
    record = read_model(run.checkpoint)[1]
    assert record.notes["seeds"] == [4, 2]
    assert record.metrics == {}  # those of one member would be taken for those of all
    assert (run.train / "environment.json").is_file()


@pytest.mark.parametrize("seeds", [(), (1,), (1, 1)])
def test_one_seed_or_the_same_twice_is_refused(
    squares: Any, tiny_config: Callable[..., Config], run: RunFolder, seeds: tuple[int, ...]
) -> None:
    with pytest.raises(ConfigError, match="two or more different numbers"):
        run_seeds(squares, config=tiny_config(), run=run, seeds=seeds)


def test_several_devices_are_refused(
    squares: Any, tiny_config: Callable[..., Config], run: RunFolder
) -> None:
    with pytest.raises(ConfigError, match=r"train\.devices=1"):
        run_seeds(squares, config=tiny_config(devices=2), run=run, seeds=(0, 1))
