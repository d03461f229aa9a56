"""Leave sources out: evaluate each set of sources with networks that were trained without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cxresnet import DISCLAIMER
from cxresnet.core.config.evaluate import CalibrationImages, EvaluateConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.core.progress import track
from cxresnet.core.record import Record, read_record, write_record
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import ImageSet, PreparedDataset
from cxresnet.data.split.source_folds import SourceFold
from cxresnet.evaluate.generalisation_gap import (
    EvaluatedSide,
    MeasuredGeneralisationGaps,
    choose_headline_score,
    describe_generalisation_gap,
    measure_generalisation_gaps,
)
from cxresnet.evaluate.left_out_networks import (
    LEFT_OUT_PREDICTIONS_NAME,
    OpenedSplits,
    PredictedFold,
    build_side,
    decide_side,
    gather_calibration,
    open_splits,
    predict_fold,
)
from cxresnet.evaluate.operating_point import choose_decision
from cxresnet.evaluate.results import GeneralisationGap
from cxresnet.evaluate.source_tasks import (
    DecisionShares,
    FoldPredictions,
    MeasuredTasks,
    TaskScore,
    measure_tasks,
)
from cxresnet.metrics.estimate import format_estimate
from cxresnet.predict.predictions import (
    Predictions,
    read_predictions,
    write_predictions,
)
from cxresnet.shortcuts.baseline import predict_baselines

LEAVE_SOURCES_OUT_NAME = "leave_sources_out.json"
"""Name of the file in `RUN/evaluate`."""

LEAVE_SOURCES_OUT_COMMAND = "cxresnet evaluate RUN --leave-sources-out"


class LeftOutSet(Record):
    """One set of sources that were left out of training together.

    Attributes:
        sources: Their names.
        images: Of them, in all splits; all are evaluated where something can be tested.
        patients: Independent groups among them.
        classes: Classes of their images.
        compared: Of these, those that the other sources have too; only these are compared.
        reason: Why nothing can be tested, one sentence; "" where something was.
        internal_images: Test images of the other sources, of the classes compared.
        external_images: Images of the sources left out, of the classes compared.
        tasks: Each pair of classes that can be told apart here; empty where nothing can be tested.
        decisions: What was decided on the images; None where nothing can be tested.
        scores: Internal (test images of the other sources), external (the sources left out) and
            gap, of the network trained without them; empty where nothing can be tested.
        sentence: Interpretation in plain words.
    """

    sources: tuple[str, ...]
    images: int
    patients: int
    classes: tuple[str, ...]
    compared: tuple[str, ...]
    reason: str
    internal_images: int
    external_images: int
    tasks: tuple[TaskScore, ...]
    decisions: DecisionShares | None
    scores: tuple[GeneralisationGap, ...]
    sentence: str

    @property
    def name(self) -> str:
        """The sources for people."""
        return " + ".join(self.sources)


class LeaveSourcesOut(Record):
    """`leave_sources_out.json`.

    Attributes:
        format: Version of this file.
        disclaimer: Part of every output.
        dataset_hash: Of the images.
        class_names: In order.
        seeds: Of the trainings; each set of sources was left out once a seed.
        calibrate_on: As of the config: what the decisions on each set were chosen on.
        test_time_augmentation: Whether the logits are averaged over several views.
        min_images: A source with fewer images of a class is not scored on it.
        sets: One a set of sources, in the order of the plan.
        mean_tasks: One a pair of classes: mean over the sets that allow it. Sources that are in
            several sets count once.
        mean_decisions: Mean over the sets that were tested; None where none was.
        mean: Internal, external and gap, mean over the sets that were tested; empty for fewer than
            two of them.
        sentence: Interpretation of the whole in plain words.
        seed: Of the bootstrap.
        resamples: Number of bootstrap resamples.
        confidence: Nominal coverage of every interval.
    """

    format: Literal[3] = 3
    disclaimer: str = DISCLAIMER
    dataset_hash: str
    class_names: tuple[str, ...]
    seeds: tuple[int, ...]
    calibrate_on: CalibrationImages
    test_time_augmentation: bool
    min_images: int
    sets: tuple[LeftOutSet, ...]
    mean_tasks: tuple[TaskScore, ...]
    mean_decisions: DecisionShares | None
    mean: tuple[GeneralisationGap, ...]
    sentence: str
    seed: int
    resamples: int
    confidence: float

    @property
    def tested(self) -> tuple[LeftOutSet, ...]:
        """The sets on which something was tested."""
        return tuple(one for one in self.sets if one.scores)

    @property
    def headline(self) -> GeneralisationGap | None:
        """The gap that stands for the whole; None where nothing was tested."""
        if self.mean:
            return choose_headline_score(self.mean)
        return choose_headline_score(self.tested[0].scores) if self.tested else None


def write_leave_sources_out(path: Path, result: LeaveSourcesOut) -> Path:
    """Write `leave_sources_out.json` whole or not at all; returns the path."""
    return write_record(path, result)


def read_leave_sources_out(path: Path) -> LeaveSourcesOut:
    """Read `leave_sources_out.json`.

    Raises:
        RunFolderError: It is missing, or not of this version.
    """
    return read_record(path, LeaveSourcesOut, command=LEAVE_SOURCES_OUT_COMMAND)


def read_left_out_predictions(
    run: RunFolder, dataset: PreparedDataset, *, config: EvaluateConfig
) -> Predictions:
    """Read what a decision for a hospital that is not among the sources is chosen on.

    Held-out test images are not among them.

    Raises:
        RunFolderError: The sources of this dataset were not left out, or with other views.
    """
    path = run.evaluate / LEAVE_SOURCES_OUT_NAME
    found = read_leave_sources_out(path) if path.is_file() else None
    if (
        found is None
        or not found.tested
        or found.dataset_hash != dataset.dataset_hash
        or found.test_time_augmentation != config.test_time_augmentation
    ):
        raise RunFolderError(
            "evaluate.calibrate_on is 'left-out sources', but these images were not yet predicted "
            f"by networks without them, or not with this config. Run '{LEAVE_SOURCES_OUT_COMMAND}' "
            "with the same config first, or set evaluate.calibrate_on to 'validation'."
        )
    return read_predictions(run.evaluate / LEFT_OUT_PREDICTIONS_NAME)


def evaluate_left_out_sources(
    run: RunFolder,
    dataset: PreparedDataset,
    source_folds: Sequence[SourceFold],
    *,
    seeds: Sequence[int],
    config: EvaluateConfig,
) -> LeaveSourcesOut:
    """Evaluate each set of sources with the networks trained without it, and write the results.

    Opens the held-out test set once, for all sets, and only if something can be tested. Writes
    `predictions.csv` into each training's folder, and `left_out_predictions.csv` and
    `leave_sources_out.json` into `run.evaluate`.

    Args:
        run: Its networks without these sources are trained.
        dataset: That they were trained on.
        source_folds: As planned; those with a reason are not evaluated.
        seeds: Of the trainings.
        config: Of the operating point, the baselines and the intervals.

    Raises:
        CheckpointError: A network is not trained, or damaged.
        DatasetError: A network was trained on another dataset, or the access log was altered.
        StorageError: The results cannot be written.
    """
    testable = [one for one in source_folds if not one.reason]
    evaluated: list[_EvaluatedFold] = []
    if testable:
        opened = open_splits(run, dataset, config=config)
        predicted = [
            predict_fold(run, one, opened, seeds=seeds, config=config)
            for one in track(testable, "Predicting images of left-out sources")
        ]
        write_predictions(
            run.evaluate / LEFT_OUT_PREDICTIONS_NAME,
            gather_calibration(predicted, opened),
            verdict=dataset.verdict,
        )
        evaluated = [
            _evaluate_fold(one, predicted, opened, config=config)
            for one in track(predicted, "Evaluating left-out sources")
        ]
    result = _build_result(dataset, source_folds, evaluated, seeds=tuple(seeds), config=config)
    write_leave_sources_out(run.evaluate / LEAVE_SOURCES_OUT_NAME, result)
    return result


@dataclass(frozen=True)
class _EvaluatedFold:
    """One set of sources.

    Attributes:
        predictions: For the images of the sources left out.
        internal: For test images of the other sources, one a seed.
    """

    predictions: FoldPredictions
    internal: tuple[EvaluatedSide, ...]

    @property
    def sides(self) -> list[tuple[EvaluatedSide, EvaluatedSide]]:
        """(internal, external), one a seed."""
        return list(zip(self.internal, self.predictions.networks, strict=True))


def _evaluate_fold(
    one: PredictedFold,
    predicted: Sequence[PredictedFold],
    opened: OpenedSplits,
    *,
    config: EvaluateConfig,
) -> _EvaluatedFold:
    """Decide on the other sources' test images and on those of the sources left out.

    What is decided is chosen without these sources: on the validation images of the others, or on
    sets of sources left out that share no source with this one.
    """
    train = opened.take_others("train", one.fold.sources)
    shares = np.bincount(train.labels, minlength=len(opened.dataset.class_names)) / len(train)
    apart = [
        other for other in predicted if not set(other.fold.sources).intersection(one.fold.sources)
    ]
    calibration = list(one.validation)
    if config.calibrate_on == "left-out sources" and apart:
        calibration = [gather_calibration(apart, opened)] * len(calibration)
    decisions = [
        choose_decision(table, class_shares=shares, config=config) for table in calibration
    ]
    internal, external = (
        tuple(build_side(table, known) for table, known in zip(tables, decisions, strict=True))
        for tables in (one.internal, one.external)
    )
    return _EvaluatedFold(
        FoldPredictions(
            fold=one.fold,
            sources=np.array(one.external[0].sources),
            networks=external,
            decided=tuple(map(decide_side, external, decisions)),
            baselines=_predict_baselines(
                train, opened.take_sources(one.fold.sources), opened.dataset, config=config
            ),
        ),
        internal,
    )


def _predict_baselines(
    train: ImageSet,
    evaluated: Sequence[ImageSet],
    dataset: PreparedDataset,
    *,
    config: EvaluateConfig,
) -> dict[str, NDArray[np.float64]]:
    if not config.shortcut_baselines:
        return {}
    found = predict_baselines(
        train, evaluated, class_count=len(dataset.class_names), seed=config.seed
    )
    return {one.rule.title: one.probabilities for one in found if one.probabilities is not None}


# The record, from what was predicted.


def _build_result(
    dataset: PreparedDataset,
    source_folds: Sequence[SourceFold],
    evaluated: Sequence[_EvaluatedFold],
    *,
    seeds: tuple[int, ...],
    config: EvaluateConfig,
) -> LeaveSourcesOut:
    tasks = (
        measure_tasks([one.predictions for one in evaluated], config=config) if evaluated else None
    )
    gaps = _measure_gaps(evaluated, config=config)
    numbers = {one.predictions.fold.sources: number for number, one in enumerate(evaluated)}
    sets = tuple(
        _describe_set(fold, numbers.get(fold.sources), evaluated, tasks, gaps)
        for fold in source_folds
    )
    mean_tasks = tasks.mean_scores if tasks else ()
    return LeaveSourcesOut(
        dataset_hash=dataset.dataset_hash,
        class_names=dataset.class_names,
        seeds=seeds,
        calibrate_on=config.calibrate_on,
        test_time_augmentation=config.test_time_augmentation,
        min_images=config.min_left_out_images,
        sets=sets,
        mean_tasks=mean_tasks,
        mean_decisions=tasks.mean_decisions if tasks else None,
        mean=gaps.mean,
        sentence=_summarise(sets, mean_tasks, gaps.mean),
        seed=config.seed,
        resamples=config.bootstrap_resamples,
        confidence=config.confidence_level,
    )


def _measure_gaps(
    evaluated: Sequence[_EvaluatedFold], *, config: EvaluateConfig
) -> MeasuredGeneralisationGaps:
    """Measure the gap of each set, and their mean; of several seeds, means over the seeds."""
    if not evaluated:
        return MeasuredGeneralisationGaps({}, ())
    named = [
        {
            f"{one.predictions.fold.name}, seed {number}": pair
            for number, pair in enumerate(one.sides)
        }
        for one in evaluated
    ]
    found = measure_generalisation_gaps(
        {name: pair for pairs in named for name, pair in pairs.items()}, config=config
    )
    by_name = {}
    for one, pairs in zip(evaluated, named, strict=True):
        (first, *others) = pairs
        by_name[one.predictions.fold.name] = (
            measure_generalisation_gaps(pairs, config=config).mean
            if others
            else found.by_name[first]
        )
    return MeasuredGeneralisationGaps(by_name, found.mean if len(evaluated) > 1 else ())


def _describe_set(
    fold: SourceFold,
    number: int | None,
    evaluated: Sequence[_EvaluatedFold],
    tasks: MeasuredTasks | None,
    gaps: MeasuredGeneralisationGaps,
) -> LeftOutSet:
    scores = gaps.by_name.get(fold.name, ())
    counts = [0, 0]
    if number is not None:
        for place, side in enumerate(evaluated[number].sides[0]):
            names = np.array(side.evaluated.class_names)[side.evaluated.truth]
            counts[place] = int(np.isin(names, fold.compared).sum())
    were = "was" if len(fold.sources) == 1 else "were"
    where = f"on {' and '.join(fold.sources)}, which {were} left out of training"
    return LeftOutSet(
        sources=fold.sources,
        images=fold.images,
        patients=fold.patients,
        classes=fold.classes,
        compared=fold.compared,
        reason=fold.reason,
        internal_images=counts[0],
        external_images=counts[1],
        tasks=tasks.scores[number] if tasks and number is not None else (),
        decisions=tasks.decisions[number] if tasks and number is not None else None,
        scores=scores,
        sentence=describe_generalisation_gap(choose_headline_score(scores), where=where)
        if scores
        else fold.reason,
    )


def _summarise(
    sets: Sequence[LeftOutSet],
    mean_tasks: Sequence[TaskScore],
    mean: tuple[GeneralisationGap, ...],
) -> str:
    tested = [one for one in sets if one.scores]
    if not tested:
        return (
            "Nothing can be tested on sources left out, so nothing is known about the performance "
            "at a hospital outside of the training data."
        )
    sentences = [_describe_tasks(mean_tasks)]
    if len(tested) == 1:
        sentences.append(tested[0].sentence)
    elif mean:
        where = f"on sources left out, on average over {len(tested)} sets of them"
        sentences.append(describe_generalisation_gap(choose_headline_score(mean), where=where))
    if untested := [one.name for one in sets if not one.scores]:
        sentences.append(f"Nothing can be tested on {', '.join(untested)}.")
    return " ".join(sentences)


def _describe_tasks(mean_tasks: Sequence[TaskScore]) -> str:
    parts = []
    for one in mean_tasks:
        beside = (
            f", {format_estimate(one.difference, signed=True)} from the best shortcut baseline"
            if one.difference
            else ""
        )
        sets = "set" if one.sets == 1 else "sets"
        parts.append(
            f"{one.title} {format_estimate(one.auroc)} ({one.sets} {sets} of sources{beside})"
        )
    return f"AUROC on sources left out of training: {'; '.join(parts)}."
