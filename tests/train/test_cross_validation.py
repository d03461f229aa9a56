"""Every film is judged once by a network that never saw it and did not choose its epoch by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cxresnet.core.config import Config
from cxresnet.core.errors import ConfigError, SplitError
from cxresnet.core.run_folder import RunFolder
from cxresnet.predict.predictions import read_predictions
from cxresnet.train.cross_validation import run_cross_validation
from cxresnet.train.material import gather_material


@pytest.mark.slow
def test_every_film_gets_one_answer_a_seed_and_the_spread_is_written(
    squares: Any, tiny_config: Callable[..., Config], run: RunFolder
) -> None:
    result = run_cross_validation(
        squares, config=tiny_config(epochs=1), run=run, folds=4, seeds=(0, 1)
    )

    everyone = sorted(squares.films.manifest["image_id"])
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
    together = result.together["accuracy"]
    assert together.value == pytest.approx((mean.argmax(axis=1) == first.truth).mean())
    assert together.low is not None
    assert together.n == len(first)


@pytest.mark.parametrize("fold", [0, 1, 2, 3])
def test_held_out_choosing_and_learning_films_are_three_different_sets(
    squares: Any, fold: int
) -> None:
    material = gather_material(squares, fold=fold)
    held_out, val, train = (
        set(films.manifest["image_id"])
        for films in (squares.select_fold(fold, "val"), material.val, material.train)
    )

    assert not held_out & val
    assert not held_out & train
    assert not val & train
    assert held_out | val | train == set(squares.films.manifest["image_id"])
    assert not set(material.val.manifest["group_id"]) & set(material.train.manifest["group_id"])
    assert 0.05 < len(val) / (len(val) + len(train)) < 0.25
    assert material.train.films.shape[0] == len(material.train.labels) == len(train)


def test_the_films_that_choose_are_the_same_at_every_call(squares: Any) -> None:
    first, second = (gather_material(squares, fold=1) for _ in range(2))

    assert list(first.val.manifest["image_id"]) == list(second.val.manifest["image_id"])


def test_where_nothing_is_chosen_all_other_folds_are_learned_from(squares: Any) -> None:
    material = gather_material(squares, fold=2, val_chooses=False)

    assert set(material.train.manifest["fold"]) == {0, 1, 3}
    assert set(material.val.manifest["fold"]) == {2}


def test_one_fold_or_too_few_patients_are_refused(
    squares: Any, tiny_config: Callable[..., Config], run: RunFolder
) -> None:
    with pytest.raises(ConfigError, match="at least 2 folds, not 1"):
        run_cross_validation(squares, config=tiny_config(), run=run, folds=1)
    squares.films.manifest["group_id"] = "one patient"
    with pytest.raises(SplitError, match=r"train\.monitor=last"):
        gather_material(squares, fold=0)


def test_several_devices_are_refused(
    squares: Any, tiny_config: Callable[..., Config], run: RunFolder
) -> None:
    with pytest.raises(ConfigError, match=r"train\.devices=1"):
        run_cross_validation(squares, config=tiny_config(devices=2), run=run, folds=4)
