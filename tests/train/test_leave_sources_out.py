"""One training a source, and nothing of the source in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cxresnet.core.config import Config
from cxresnet.core.run_folder import RunFolder
from cxresnet.model.checkpoint import read_model
from cxresnet.train import leave_sources_out as module
from cxresnet.train.inputs import gather_training_inputs
from cxresnet.train.leave_sources_out import train_without_sources


@pytest.fixture
def sealed(squares: Any) -> Any:
    """Squares of which every sixth image is in a test split, in both sources."""
    numbers = np.arange(len(squares.manifest))
    squares.manifest.loc[numbers % 12 < 2, "split"] = "test"
    return squares


def test_nothing_of_the_source_is_learnt_or_chosen_by(squares: Any) -> None:
    manifest = squares.manifest
    # A patient of the east who was also seen in the west.
    shared, other = (manifest["source"].eq(name).idxmax() for name in ("east", "west"))
    manifest.loc[other, "group_id"] = manifest.loc[shared, "group_id"]
    inputs = gather_training_inputs(squares, without_sources=["east"])
    for images in (inputs.train, inputs.val):
        assert set(images.manifest["source"]) == {"west"}
        assert manifest.loc[other, "image_id"] not in set(images.manifest["image_id"])
    assert len(inputs.train) + len(inputs.val) == (manifest["source"] == "west").sum() - 1


def test_mean_and_sd_are_those_of_the_images_that_are_left(squares: Any) -> None:
    inputs = gather_training_inputs(squares, without_sources=["east"])
    levels = inputs.train.images / 255
    assert inputs.preprocessing.mean == pytest.approx(levels.mean())
    assert inputs.preprocessing.sd == pytest.approx(levels.std())
    assert gather_training_inputs(squares).preprocessing == squares.preprocessing


@pytest.mark.slow
def test_every_source_gets_a_network_that_never_saw_it_and_resuming_changes_nothing(
    sealed: Any, tiny_config: Callable[..., Config], run: RunFolder
) -> None:
    config = tiny_config(epochs=1)
    sets = [("east",), ("west",)]
    train_without_sources(sealed, sets, config=config, run=run, seeds=[0])
    weights = []
    for sources in sets:
        folder = RunFolder(run.get_source_fold(sources, seed=0))
        _, record = read_model(folder.checkpoint)
        inputs = gather_training_inputs(sealed, without_sources=sources)
        assert record.notes["train_images"] == len(inputs.train)
        assert record.preprocessing["mean"] == pytest.approx(inputs.preprocessing.mean)
        weights.append((folder.checkpoint / "weights.safetensors").read_bytes())
    assert weights[0] != weights[1]
    train_without_sources(sealed, sets, config=config, run=run, seeds=[0], resume=True)
    folder = RunFolder(run.get_source_fold(["east"], seed=0))
    assert (folder.checkpoint / "weights.safetensors").read_bytes() == weights[0]


def test_each_set_is_trained_without_once_a_seed(
    sealed: Any,
    tiny_config: Callable[..., Config],
    run: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = []

    def record(_: Any, *, config: Config, run: RunFolder, **rest: Any) -> None:
        trained.append((rest["without_sources"], config.train.seed, run.path))

    monkeypatch.setattr(module, "run_train", record)
    sets = [("b", "a"), ("c",), ("a", "b")]
    train_without_sources(sealed, sets, config=tiny_config(epochs=1), run=run, seeds=[3, 5])
    assert [one[:2] for one in trained] == [
        (("a", "b"), 3), (("a", "b"), 5), (("c",), 3), (("c",), 5),
    ]  # fmt: skip
    assert len({path for *_, path in trained}) == 4
