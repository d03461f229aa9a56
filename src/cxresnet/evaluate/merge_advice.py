"""Merge adviser: does it help on unseen sources that a source is among the training sources?

For each source, networks trained without a set of other sources are compared with networks trained
without that set and without the source as well, on the same images of the set. Only training and
validation images of the left-out sources are scored: which sources to train on is a choice, and the
held-out test set stays closed for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from cxresnet import DISCLAIMER
from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.progress import track
from cxresnet.core.record import Record, read_record, write_record
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import PreparedDataset
from cxresnet.data.split.source_folds import SourceFold, SourceTask, find_taught_classes
from cxresnet.evaluate.generalisation_gap import ImageUniverse
from cxresnet.evaluate.leave_sources_out import LEAVE_SOURCES_OUT_COMMAND
from cxresnet.evaluate.left_out_networks import (
    OpenedSplits,
    build_side,
    load_predictor_without,
    predict_sets,
)
from cxresnet.evaluate.source_tasks import (
    FoldPredictions,
    ScoredTask,
    average_by_classes,
    average_tasks,
    score_tasks,
)
from cxresnet.evaluate.topic import Estimates, build_difference, estimate
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import Statistic, compute_value
from cxresnet.predict.decision import build_plain_decision

MERGE_ADVICE_NAME = "merge_advice.json"
"""Name of the file in `RUN/evaluate`."""

MergeVerdict = Literal["helps", "harms", "inconclusive", "not tested"]


@dataclass(frozen=True)
class MergeComparison:
    """Two trainings to compare: without a set of sources, and without one source more.

    Attributes:
        source: That is in the first training and not in the second.
        fold: The set that is left out of both.
        tasks: Tasks of the set whose classes are taught without the source, too.
    """

    source: str
    fold: SourceFold
    tasks: tuple[SourceTask, ...]

    @property
    def without(self) -> tuple[str, ...]:
        """The sources that the second training leaves out."""
        return (*self.fold.sources, self.source)


def plan_merge_comparisons(
    manifest: pd.DataFrame, source_folds: Sequence[SourceFold]
) -> tuple[MergeComparison, ...]:
    """Plan which trainings to compare: each source with each set that it is not in.

    Args:
        manifest: Of the dataset.
        source_folds: The sets of sources, as planned; those with a reason are not used.
    """
    comparisons = []
    for source in sorted(manifest["source"].unique()):
        for fold in source_folds:
            if source in fold.sources or fold.reason:
                continue
            taught = find_taught_classes(manifest, (*fold.sources, source))
            tasks = tuple(task for task in fold.tasks if set(task.classes) <= taught)
            if tasks:
                comparisons.append(MergeComparison(source, fold, tasks))
    return tuple(comparisons)


class SourceAdvice(Record):
    """What a source does for the scores on other, unseen sources.

    Attributes:
        source: Its name.
        images: Of it, in all splits.
        verdict: "helps" or "harms" if the interval of the difference lies above or below 0,
            "inconclusive" if it covers 0 or there is none, "not tested" if no training could be
            compared.
        sets: The sets of left-out sources that were scored, by name.
        with_source: Mean area on them of networks that were trained with the source: mean over the
            pairs of classes of the mean over tasks.
        without_source: The same of networks that were trained without it.
        difference: With minus without, on the same resamples.
        by_seed: The difference of each seed, in order.
    """

    source: str
    images: int
    verdict: MergeVerdict
    sets: tuple[str, ...]
    with_source: Estimate | None
    without_source: Estimate | None
    difference: Estimate | None
    by_seed: tuple[float, ...]


class MergeAdvice(Record):
    """`merge_advice.json`.

    Attributes:
        format: Version of this file.
        disclaimer: Part of every output.
        dataset_hash: Of the images.
        seeds: Of the trainings.
        sources: One a source, by name.
        note: What the intervals hold and what they do not, in plain words.
        seed: Of the bootstrap.
        resamples: Number of bootstrap resamples.
        confidence: Nominal coverage of every interval.
    """

    format: Literal[1] = 1
    disclaimer: str = DISCLAIMER
    dataset_hash: str
    seeds: tuple[int, ...]
    sources: tuple[SourceAdvice, ...]
    note: str
    seed: int
    resamples: int
    confidence: float


def read_merge_advice(path: Path) -> MergeAdvice:
    """Read `merge_advice.json`.

    Raises:
        RunFolderError: It is missing, or not of this version.
    """
    return read_record(path, MergeAdvice, command=f"{LEAVE_SOURCES_OUT_COMMAND} --advise-merge")


def advise_merge(
    run: RunFolder,
    dataset: PreparedDataset,
    comparisons: Sequence[MergeComparison],
    *,
    seeds: Sequence[int],
    config: EvaluateConfig,
) -> MergeAdvice:
    """Compare trainings with and without each source, and write the advice.

    Args:
        run: Its networks without the sources of the comparisons are trained.
        dataset: That they were trained on; its test set stays closed.
        comparisons: As planned.
        seeds: Of the trainings; differences are averaged over them.
        config: Of the intervals.

    Raises:
        CheckpointError: A network is not trained, or damaged.
        DatasetError: A network was trained on another dataset.
        StorageError: The advice cannot be written.
    """
    opened = OpenedSplits(dataset, {split: dataset.select(split) for split in ("train", "val")})
    scored = _score_comparisons(run, opened, comparisons, seeds=seeds, config=config)
    result = MergeAdvice(
        dataset_hash=dataset.dataset_hash,
        seeds=tuple(seeds),
        sources=_advise(dataset.manifest, comparisons, scored, config=config),
        note=_describe_intervals(len(seeds)),
        seed=config.seed,
        resamples=config.bootstrap_resamples,
        confidence=config.confidence_level,
    )
    write_record(run.evaluate / MERGE_ADVICE_NAME, result)
    return result


@dataclass(frozen=True)
class _Scored:
    """The predictions of one comparison, with and without the source."""

    with_source: FoldPredictions
    without_source: FoldPredictions


def _score_comparisons(
    run: RunFolder,
    opened: OpenedSplits,
    comparisons: Sequence[MergeComparison],
    *,
    seeds: Sequence[int],
    config: EvaluateConfig,
) -> list[_Scored]:
    known: dict[tuple[str, ...], FoldPredictions] = {}
    scored = []
    for one in track(comparisons, "Comparing with and without each source"):
        fold = one.fold
        if fold.sources not in known:
            known[fold.sources] = _predict(run, fold, fold.sources, opened, seeds, config)
        without = _predict(run, fold, one.without, opened, seeds, config)
        scored.append(_Scored(known[fold.sources], without))
    return scored


def _predict(
    run: RunFolder,
    fold: SourceFold,
    left_out: tuple[str, ...],
    opened: OpenedSplits,
    seeds: Sequence[int],
    config: EvaluateConfig,
) -> FoldPredictions:
    """Predict the images of a fold with the networks that were trained without some sources."""
    own = opened.take_sources(fold.sources)
    decision = build_plain_decision(opened.dataset.class_names)
    tables = [
        predict_sets(
            load_predictor_without(
                RunFolder(run.get_source_fold(left_out, seed=seed)),
                " and ".join(left_out),
                opened.dataset,
            ),
            own,
            config=config,
        )
        for seed in seeds
    ]
    return FoldPredictions(
        fold=fold,
        sources=np.array(tables[0].sources),
        networks=tuple(build_side(table, decision) for table in tables),
        baselines={},
    )


def _advise(
    manifest: pd.DataFrame,
    comparisons: Sequence[MergeComparison],
    scored: Sequence[_Scored],
    *,
    config: EvaluateConfig,
) -> tuple[SourceAdvice, ...]:
    universe = ImageUniverse((one.with_source.networks[0],) for one in scored)
    images = manifest["source"].value_counts()
    sets: dict[str, tuple[str, ...]] = {}
    sides: dict[str, tuple[ScoredTask, ScoredTask]] = {}
    for source in sorted(images.index):
        own = [
            (comparison, one)
            for comparison, one in zip(comparisons, scored, strict=True)
            if comparison.source == source
        ]
        sets[source] = tuple(comparison.fold.name for comparison, _ in own)
        if own:
            sides[source] = (
                _average([(one.tasks, found.with_source) for one, found in own], universe),
                _average([(one.tasks, found.without_source) for one, found in own], universe),
            )
    statistics = [
        one for source, (ours, theirs) in sides.items() for one in _list(source, ours, theirs)
    ]
    estimates: Estimates = (
        estimate(statistics, group_ids=universe.group_ids, config=config, strata=universe.strata)
        if statistics
        else {}
    )
    return tuple(
        SourceAdvice(
            source=source,
            images=int(images[source]),
            verdict=interpret_difference(estimates.get((source, "difference"))),
            sets=sets[source],
            with_source=estimates.get((source, "with")),
            without_source=estimates.get((source, "without")),
            difference=estimates.get((source, "difference")),
            by_seed=_list_by_seed(*sides[source]) if source in sides else (),
        )
        for source in sorted(images.index)
    )


def _average(
    parts: Sequence[tuple[tuple[SourceTask, ...], FoldPredictions]], universe: ImageUniverse
) -> ScoredTask:
    """Average the areas of several sets: first over tasks, then over pairs of classes."""
    scored = [
        pair
        for tasks, predictions in parts
        for pair in zip(tasks, score_tasks(predictions, tasks, universe), strict=True)
    ]
    return average_tasks(list(average_by_classes(scored).values()))


def _list(source: str, ours: ScoredTask, theirs: ScoredTask) -> list[Statistic]:
    return [
        replace(ours.network, name=(source, "with")),
        replace(theirs.network, name=(source, "without")),
        build_difference((source, "difference"), ours=ours.network, theirs=theirs.network),
    ]


def _list_by_seed(ours: ScoredTask, theirs: ScoredTask) -> tuple[float, ...]:
    values = [
        tuple(map(compute_value, pair)) for pair in zip(ours.by_seed, theirs.by_seed, strict=True)
    ]
    return tuple(one - other for one, other in values if one is not None and other is not None)


def interpret_difference(difference: Estimate | None) -> MergeVerdict:
    """Interpret a source by the interval of the difference that it makes.

    >>> interpret_difference(Estimate(value=0.03, low=0.01, high=0.05, n=80, groups=60))
    'helps'
    >>> interpret_difference(Estimate(value=0.03, low=-0.01, high=0.07, n=80, groups=60))
    'inconclusive'
    """
    if difference is None:
        return "not tested"
    if difference.low is not None and difference.low > 0:
        return "helps"
    if difference.high is not None and difference.high < 0:
        return "harms"
    return "inconclusive"


def _describe_intervals(seeds: int) -> str:
    begin = "Intervals are over patients of the sources left out, for these networks"
    if seeds == 1:
        return (
            f"{begin}: each was trained from one seed, and how much a score changes from seed to "
            "seed is not in the interval. Several seeds (--seeds 0,1,2) average over it."
        )
    return (
        f"{begin}: scores are means over {seeds} seeds, and what is left of the change from seed "
        "to seed is not in the interval; the difference of each seed is given beside it."
    )
