"""Every image is judged once by a network that never saw it and did not choose its epoch by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cxresnet.core.config import Config
from cxresnet.core.errors import ConfigError, SplitError
from cxresnet.core.run_folder import RunFolder
from cxresnet.predict.predictions import read_predictions
from cxresnet.predict.predictor import load_predictor
from cxresnet.train.cross_validation import run_cross_validation
from cxresnet.train.inputs import gather_training_inputs


@pytest.mark.slow
def test_every_image_gets_one_answer_a_seed_and_the_spread_is_written(
    squares: Any, tiny_config: Callable[..., Config], run: RunFolder
) -> None:
    result = run_cross_validation(
        squares, config=tiny_config(epochs=1), run=run, folds=4, seeds=(0, 1)
    )

    everyone = sorted(squares.images.manifest["image_id"])
    assert [(one.seed, one.fold) for one in result.rounds] == [
        (seed, fold) for seed in (0, 1) for fold in range(4)
    ]
    for path in result.predictions:
        assert sorted(read_predictions(path).image_ids) == everyone
    spread = result.spread["accuracy"]
    values = [one.scores["accuracy"] for one in result.rounds]
    assert spread.mean == pytest.approx(sum(values) / 8)  # type: ignore[arg-type]
    assert spread.n == 8
    written = json.loads((run.train / "cross_validation.json").read_text())
    assert len(written["rounds"]) == 8
    assert "±" in result.describe()
    pooled = [written["pooled"][seed]["accuracy"] for seed in ("0", "1")]
    assert written["pooled_spread"]["accuracy"]["mean"] == pytest.approx(sum(pooled) / 2)
    assert written["pooled_spread"]["accuracy"]["n"] == 2


@pytest.mark.slow
def test_all_seeds_together_are_the_mean_of_their_logits_with_an_interval(
    squares: Any, tiny_config: Callable[..., Config], run: RunFolder
) -> None:
    result = run_cross_validation(
        squares, config=tiny_config(epochs=1), run=run, folds=2, seeds=(0, 1)
    )

    first, second = (read_predictions(path) for path in result.predictions)
    assert first.image_ids == second.image_ids
    mean = (first.logits + second.logits) / 2
    ensemble = result.ensemble["accuracy"]
    assert ensemble.value == pytest.approx((mean.argmax(axis=1) == first.truth).mean())
    assert ensemble.low is not None
    assert ensemble.n == len(first)


@pytest.mark.slow
def test_each_round_of_an_uneven_dataset_answers_with_its_own_network_and_counts_patients(
    uneven: Any, tiny_config: Callable[..., Config], run: RunFolder
) -> None:
    config = tiny_config(epochs=1, monitor="last", seed=7)

    result = run_cross_validation(uneven, config=config, run=run, folds=2)

    assert [path.name for path in result.predictions] == ["predictions_seed-7.csv"]
    table = read_predictions(result.predictions[0])
    rows = {name: row for row, name in enumerate(table.image_ids)}
    for fold in (0, 1):
        folder = RunFolder(run.train / "rounds" / f"seed-7-fold-{fold}")
        predictor = load_predictor(folder.checkpoint)
        held_out = uneven.select_fold(fold, "val")
        assert predictor.record.notes["train_images"] == len(rows) - len(held_out)
        assert result.rounds[fold].images == len(held_out)
        places = [rows[name] for name in held_out.manifest["image_id"]]
        expected = predictor.predict_images(held_out.images)
        np.testing.assert_allclose(table.logits[places], expected, atol=1e-4)
    ensemble = result.ensemble["accuracy"]
    assert ensemble.n == len(rows)
    assert ensemble.groups == uneven.manifest["patient_id"].nunique() < len(rows)


@pytest.mark.parametrize("fold", [0, 1, 2, 3])
def test_held_out_choosing_and_learning_images_are_three_different_sets(
    squares: Any, fold: int
) -> None:
    inputs = gather_training_inputs(squares, fold=fold)
    held_out, val, train = (
        set(images.manifest["image_id"])
        for images in (squares.select_fold(fold, "val"), inputs.val, inputs.train)
    )

    assert not held_out & val
    assert not held_out & train
    assert not val & train
    assert held_out | val | train == set(squares.images.manifest["image_id"])
    assert not set(inputs.val.manifest["group_id"]) & set(inputs.train.manifest["group_id"])
    assert 0.05 < len(val) / (len(val) + len(train)) < 0.25
    assert inputs.train.images.shape[0] == len(inputs.train.labels) == len(train)


def test_the_images_that_choose_are_the_same_at_every_call(squares: Any) -> None:
    first, second = (gather_training_inputs(squares, fold=1) for _ in range(2))

    assert list(first.val.manifest["image_id"]) == list(second.val.manifest["image_id"])


def test_where_nothing_is_chosen_all_other_folds_are_learned_from(squares: Any) -> None:
    inputs = gather_training_inputs(squares, fold=2, val_chooses=False)

    assert set(inputs.train.manifest["fold"]) == {0, 1, 3}
    assert set(inputs.val.manifest["fold"]) == {2}


def test_one_fold_or_too_few_patients_are_refused(
    squares: Any, tiny_config: Callable[..., Config], run: RunFolder
) -> None:
    with pytest.raises(ConfigError, match="at least 2 folds, not 1"):
        run_cross_validation(squares, config=tiny_config(), run=run, folds=1)
    squares.images.manifest["group_id"] = "one patient"
    with pytest.raises(SplitError, match=r"train\.monitor=last"):
        gather_training_inputs(squares, fold=0)


def test_several_devices_are_refused(
    squares: Any, tiny_config: Callable[..., Config], run: RunFolder
) -> None:
    with pytest.raises(ConfigError, match=r"train\.devices=1"):
        run_cross_validation(squares, config=tiny_config(devices=2), run=run, folds=4)
