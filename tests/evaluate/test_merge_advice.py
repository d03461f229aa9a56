"""Does a training source help on other sources? Trainings are only pretended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.split.source_folds import SourceFold, plan_source_folds
from cxresnet.evaluate import merge_advice as module
from cxresnet.evaluate.generalisation_gap import EvaluatedSide
from cxresnet.evaluate.merge_advice import (
    MERGE_ADVICE_NAME,
    advise_merge,
    plan_merge_comparisons,
    read_merge_advice,
)
from cxresnet.evaluate.source_tasks import FoldPredictions
from cxresnet.metrics.classification import ClassifiedImages

CLASSES = ("normal", "covid-19")
IMAGES = 80


def _build_manifest() -> pd.DataFrame:
    rows = [
        (source, name, split)
        for source, names in {"a": CLASSES, "b": CLASSES, "c": CLASSES, "d": CLASSES[:1]}.items()
        for name in names
        for split in ("train", "val", "test")
    ]
    frame = pd.DataFrame(rows, columns=["source", "class_name", "split"])
    return frame.assign(group_id=range(len(rows)))


def _plan(manifest: pd.DataFrame, *sets: tuple[str, ...]) -> tuple[SourceFold, ...]:
    return plan_source_folds(manifest, class_names=CLASSES, sets=sets, min_images=3)


def test_each_source_is_compared_on_the_sets_that_it_is_not_in() -> None:
    manifest = _build_manifest()
    comparisons = plan_merge_comparisons(manifest, _plan(manifest, ("a",), ("b",)))
    assert [(one.source, one.without) for one in comparisons] == [
        ("a", ("b", "a")), ("b", ("a", "b")), ("c", ("a", "c")), ("c", ("b", "c")),
        ("d", ("a", "d")), ("d", ("b", "d")),
    ]  # fmt: skip


def test_a_source_that_alone_teaches_a_class_cannot_be_compared() -> None:
    manifest = _build_manifest()
    kept = manifest[~((manifest["source"] == "c") & (manifest["class_name"] == "covid-19"))]
    comparisons = plan_merge_comparisons(kept, _plan(kept, ("a",)))
    assert [one.source for one in comparisons] == ["c", "d"]


def _predict(skill: float, fold: SourceFold, seeds: int) -> FoldPredictions:
    generator = np.random.default_rng(1)
    truth = np.arange(IMAGES) % 2
    score = generator.normal(size=IMAGES) + skill * (2 * truth - 1)
    shares = 1 / (1 + np.exp(-score))
    side = EvaluatedSide(
        evaluated=ClassifiedImages(
            class_names=CLASSES,
            truth=truth,
            predicted=truth,
            probabilities=np.stack([1 - shares, shares], axis=1),
        ),
        image_ids=tuple(f"{fold.name} {number}" for number in range(IMAGES)),
        group_ids=tuple(f"{fold.name} {number}" for number in range(IMAGES)),
    )
    return FoldPredictions(
        fold=fold,
        sources=np.repeat(fold.sources, IMAGES),
        networks=(side,) * seeds,
        baselines={},
    )


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_what_helps_what_harms_and_what_makes_no_difference_is_found(
    run: RunFolder,
    config: EvaluateConfig,
    monkeypatch: pytest.MonkeyPatch,
    seeds: tuple[int, ...],
) -> None:
    """Without b the networks are worse on a, without c better, without d the same."""
    skills = {("a",): 0.7, ("a", "b"): 0.0, ("a", "c"): 2.0, ("a", "d"): 0.7}

    def predict(_: RunFolder, fold: SourceFold, left_out: tuple[str, ...], *rest: Any) -> Any:
        return _predict(skills[left_out], fold, len(rest[1]))

    monkeypatch.setattr(module, "_predict", predict)
    manifest = _build_manifest()
    dataset: Any = SimpleNamespace(manifest=manifest, dataset_hash="d" * 64, select=str)
    comparisons = plan_merge_comparisons(manifest, _plan(manifest, ("a",)))
    found = advise_merge(run, dataset, comparisons, seeds=seeds, config=config)
    assert {one.source: one.verdict for one in found.sources} == {
        "a": "not tested", "b": "helps", "c": "harms", "d": "inconclusive",
    }  # fmt: skip
    b = found.sources[1]
    assert b.sets == ("a",)
    assert b.difference is not None
    assert b.with_source is not None
    assert b.without_source is not None
    assert b.difference.value == pytest.approx(b.with_source.value - b.without_source.value)
    assert b.by_seed == pytest.approx(len(seeds) * (b.difference.value,))
    assert ("one seed" in found.note) == (len(seeds) == 1)
    path = run.evaluate / MERGE_ADVICE_NAME
    assert read_merge_advice(path) == found
    path.write_text("{}")
    with pytest.raises(RunFolderError, match="--advise-merge"):
        read_merge_advice(path)
