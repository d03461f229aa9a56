"""Scores on sources left out: two classes told apart, by networks and by shortcut baselines.

The score is the ratio p(a) / (p(a) + p(b)) for every pair of classes a and b, so that what a
network gives to a third class does not matter. Of several seeds the mean of their scores is taken.
All numbers are computed on the same resamples of all left-out images, means in each resample.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.record import Record
from cxresnet.data.split.source_folds import SourceFold, SourceTask
from cxresnet.evaluate.generalisation_gap import EvaluatedSide, ImageUniverse
from cxresnet.evaluate.topic import Estimates, build_difference, estimate
from cxresnet.metrics.classification import build_mean_statistic, build_share
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.paired import build_pair_statistic
from cxresnet.metrics.statistic import Statistic, compute_value

ABSTAINED = -1
"""Stands for a class where none was decided on."""


class TaskScore(Record):
    """How well two classes are told apart on sources left out.

    Attributes:
        classes: The class that the score argues for, and the class that it argues against.
        sources: Where the images of each class come from; empty for a mean over sets.
        sets: Sets of sources that it was measured on.
        auroc: Of the network; of several seeds, the mean of their areas.
        by_seed: The area of each seed, in order.
        baseline: Title of the shortcut baseline with the highest area, which is chosen after the
            fact in the baselines' favour; "" where none was tried.
        baseline_auroc: Its area on the same images; None where none was tried.
        difference: Area of the network minus that of this baseline, on the same resamples.
    """

    classes: tuple[str, str]
    sources: tuple[str, ...]
    sets: int
    auroc: Estimate
    by_seed: tuple[float, ...]
    baseline: str
    baseline_auroc: Estimate | None
    difference: Estimate | None

    @property
    def title(self) -> str:
        """The classes for people."""
        return " against ".join(self.classes)


class DecisionShares(Record):
    """What was decided on images of sources left out.

    Attributes:
        wrong: Share of all left-out images that were given one class, and the wrong one.
        abstained: Share of all left-out images for which no class was decided on.
    """

    wrong: Estimate
    abstained: Estimate


@dataclass(frozen=True, kw_only=True)
class FoldPredictions:
    """The images of one set of sources, as those who never saw these sources classified them.

    Attributes:
        fold: The set and its tasks.
        sources: Of each image, (images,).
        networks: One a seed, all on the same images.
        decided: One a seed: the class decided on for each image, or `ABSTAINED`, (images,).
        baselines: From the title of a baseline to its probabilities, (images, classes).
    """

    fold: SourceFold
    sources: NDArray[np.str_]
    networks: tuple[EvaluatedSide, ...]
    decided: tuple[NDArray[np.int64], ...] = ()
    baselines: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class MeasuredTasks:
    """What `measure_tasks` found.

    Attributes:
        scores: For each fold, one a task.
        decisions: For each fold.
        mean_scores: One a pair of classes.
        mean_decisions: Mean over the folds.
    """

    scores: tuple[tuple[TaskScore, ...], ...]
    decisions: tuple[DecisionShares, ...]
    mean_scores: tuple[TaskScore, ...]
    mean_decisions: DecisionShares


@dataclass(frozen=True)
class ScoredTask:
    """The areas of one task, or their means over several.

    Attributes:
        by_seed: Of the networks, one a seed.
        baselines: From title to its area.
    """

    by_seed: tuple[Statistic, ...]
    baselines: Mapping[str, Statistic]

    @cached_property
    def network(self) -> Statistic:
        """Mean over the seeds."""
        return _average(self.by_seed)

    @cached_property
    def best_baseline(self) -> str:
        """The title of the baseline with the highest area; "" without any."""
        values = {name: compute_value(one) for name, one in self.baselines.items()}
        return max(values, key=lambda name: values[name] or 0.0, default="")


def score_tasks(
    predictions: FoldPredictions, tasks: Iterable[SourceTask], universe: ImageUniverse
) -> list[ScoredTask]:
    """Build the areas of tasks of one fold, as numbers of all images of a universe."""
    first = predictions.networks[0]
    baselines = {
        title: replace(first, evaluated=replace(first.evaluated, probabilities=probabilities))
        for title, probabilities in predictions.baselines.items()
    }

    def build(side: EvaluatedSide, task: SourceTask) -> Statistic:
        numbers = [side.evaluated.class_names.index(name) for name in task.classes]
        chosen = np.zeros(len(side.image_ids), dtype=bool)
        for number, source in zip(numbers, task.sources, strict=True):
            chosen |= (side.evaluated.truth == number) & (predictions.sources == source)
        own = side.select(chosen)
        argued_for, against = numbers
        return universe.place(own, build_pair_statistic(own.evaluated, against, argued_for))

    return [
        ScoredTask(
            by_seed=tuple(build(side, task) for side in predictions.networks),
            baselines={title: build(side, task) for title, side in baselines.items()},
        )
        for task in tasks
    ]


def average_by_classes(
    scored: Sequence[tuple[SourceTask, ScoredTask]],
) -> dict[tuple[str, str], ScoredTask]:
    """Average the tasks of each pair of classes.

    A task that several sets of sources allow, in the same sources, counts once: with the mean over
    these sets.
    """
    by_classes: dict[tuple[str, str], dict[tuple[str, str], list[ScoredTask]]] = {}
    for task, one in scored:
        by_classes.setdefault(task.classes, {}).setdefault(task.sources, []).append(one)
    return {
        classes: average_tasks([average_tasks(same) for same in by_sources.values()])
        for classes, by_sources in by_classes.items()
    }


def average_tasks(scored: Sequence[ScoredTask]) -> ScoredTask:
    """Average seed by seed, and each baseline that all have."""
    seeds = zip(*(one.by_seed for one in scored), strict=True)
    titles = [
        title for title in scored[0].baselines if all(title in one.baselines for one in scored)
    ]
    return ScoredTask(
        by_seed=tuple(_average(same) for same in seeds),
        baselines={title: _average([one.baselines[title] for one in scored]) for title in titles},
    )


def _average(statistics: Sequence[Statistic]) -> Statistic:
    return statistics[0] if len(statistics) == 1 else build_mean_statistic("mean", statistics)


def measure_tasks(folds: Sequence[FoldPredictions], *, config: EvaluateConfig) -> MeasuredTasks:
    """Measure all tasks, decisions and their means on the same resamples.

    Args:
        folds: At least one; each has a task.
        config: Of the intervals.
    """
    universe = ImageUniverse((one.networks[0],) for one in folds)
    scored = [score_tasks(one, one.fold.tasks, universe) for one in folds]
    tasks = [
        (task, own)
        for one, scores in zip(folds, scored, strict=True)
        for task, own in zip(one.fold.tasks, scores, strict=True)
    ]
    means = average_by_classes(tasks)
    shares = [_build_shares(one, universe) for one in folds]
    mean_shares = {name: _average([one[name] for one in shares]) for name in shares[0]}
    statistics = [
        *(one for number, scores in enumerate(scored) for place, own in enumerate(scores)
          for one in _list_of_task((number, place), own)),
        *(one for classes, own in means.items() for one in _list_of_task(classes, own)),
        *(replace(own[name], name=(number, name)) for number, own in enumerate(shares)
          for name in own),
        *(replace(one, name=("mean", name)) for name, one in mean_shares.items()),
    ]  # fmt: skip
    estimates = estimate(
        statistics, group_ids=universe.group_ids, config=config, strata=universe.strata
    )
    return MeasuredTasks(
        scores=tuple(
            tuple(
                _collect((number, place), own, estimates, task=task)
                for place, (task, own) in enumerate(zip(one.fold.tasks, scores, strict=True))
            )
            for number, (one, scores) in enumerate(zip(folds, scored, strict=True))
        ),
        decisions=tuple(_collect_shares(number, estimates) for number in range(len(folds))),
        mean_scores=tuple(
            _collect(
                classes,
                own,
                estimates,
                task=SourceTask(classes, ("", "")),
                sets=sum(any(task.classes == classes for task in one.fold.tasks) for one in folds),
            )
            for classes, own in means.items()
        ),
        mean_decisions=_collect_shares("mean", estimates),
    )


def _list_of_task(key: tuple[str | int, ...], own: ScoredTask) -> list[Statistic]:
    """List the areas of the network and of the best baseline, and their difference."""
    found = [replace(own.network, name=(*key, "network"))]
    if own.best_baseline:
        theirs = own.baselines[own.best_baseline]
        found += [
            replace(theirs, name=(*key, "baseline")),
            build_difference((*key, "difference"), ours=own.network, theirs=theirs),
        ]
    return found


def _collect(
    key: tuple[str | int, ...],
    own: ScoredTask,
    estimates: Estimates,
    *,
    task: SourceTask,
    sets: int = 1,
) -> TaskScore:
    return TaskScore(
        classes=task.classes,
        sources=tuple(filter(None, task.sources)),
        sets=sets,
        auroc=estimates[*key, "network"],
        by_seed=tuple(compute_value(one) or 0.0 for one in own.by_seed),
        baseline=own.best_baseline,
        baseline_auroc=estimates.get((*key, "baseline")),
        difference=estimates.get((*key, "difference")),
    )


def _build_shares(one: FoldPredictions, universe: ImageUniverse) -> dict[str, Statistic]:
    """Build the share of wrong definite answers and of abstentions, means over the seeds."""
    side = one.networks[0]
    truth = side.evaluated.truth
    everyone = np.ones(len(truth), dtype=bool)
    parts = {
        "wrong": [(decided != ABSTAINED) & (decided != truth) for decided in one.decided],
        "abstained": [decided == ABSTAINED for decided in one.decided],
    }

    def build(part: NDArray[np.bool_]) -> Statistic:
        share = build_share("share", part=part, whole=everyone, undefined="There is no image.")
        return universe.place(side, share)

    return {name: _average([build(part) for part in masks]) for name, masks in parts.items()}


def _collect_shares(number: int | str, estimates: Estimates) -> DecisionShares:
    return DecisionShares(
        wrong=estimates[number, "wrong"], abstained=estimates[number, "abstained"]
    )
