"""Leave one source out: evaluate each source with a network that was trained without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from cxresnet import DISCLAIMER
from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.errors import DatasetError
from cxresnet.core.progress import track
from cxresnet.core.record import Record, read_record, write_record
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import ImageSet, PreparedDataset
from cxresnet.data.split.source_folds import SourceFold, find_other_images, take_images
from cxresnet.evaluate.evaluated_images import describe_access_request
from cxresnet.evaluate.generalisation_gap import (
    EvaluatedSide,
    choose_headline_score,
    describe_generalisation_gap,
    measure_generalisation_gaps,
)
from cxresnet.evaluate.operating_point import choose_operating_point
from cxresnet.evaluate.results import GeneralisationGap
from cxresnet.predict.decision import OperatingPoint, apply_operating_point
from cxresnet.predict.predictions import Predictions, concatenate_predictions, write_predictions
from cxresnet.predict.predictor import Predictor, load_predictor

LEAVE_ONE_SOURCE_OUT_NAME = "leave_one_source_out.json"
"""Name of the file in `RUN/evaluate`."""


class LeftOutSource(Record):
    """One source.

    Attributes:
        source: Its name.
        images: Of it, in all splits; all are evaluated where it can be tested.
        patients: Independent groups among them.
        classes: Classes of its images.
        compared: Of these, those that the other sources have too; only these are compared.
        reason: Why it cannot be tested, one sentence; "" where it was.
        internal_images: Test images of the other sources, of the classes compared.
        external_images: Images of the source, of the classes compared.
        scores: Internal (test images of the other sources), external (the source) and gap, of the
            network trained without the source; empty where it cannot be tested.
        sentence: Interpretation in plain words.
    """

    source: str
    images: int
    patients: int
    classes: tuple[str, ...]
    compared: tuple[str, ...]
    reason: str
    internal_images: int
    external_images: int
    scores: tuple[GeneralisationGap, ...]
    sentence: str


class LeaveOneSourceOut(Record):
    """`leave_one_source_out.json`.

    Attributes:
        format: Version of this file.
        disclaimer: Part of every output.
        dataset_hash: Of the images.
        class_names: In order.
        sources: One a source, by name.
        mean: Mean over the sources that were tested; empty for fewer than two of them.
        sentence: Interpretation of the whole in plain words.
        seed: Of the bootstrap.
        resamples: Number of bootstrap resamples.
        confidence: Nominal coverage of every interval.
    """

    format: Literal[2] = 2
    disclaimer: str = DISCLAIMER
    dataset_hash: str
    class_names: tuple[str, ...]
    sources: tuple[LeftOutSource, ...]
    mean: tuple[GeneralisationGap, ...]
    sentence: str
    seed: int
    resamples: int
    confidence: float

    @property
    def headline(self) -> GeneralisationGap | None:
        """The score that stands for the whole; None where no source was tested."""
        tested = [one for one in self.sources if one.scores]
        if self.mean:
            return choose_headline_score(self.mean)
        return choose_headline_score(tested[0].scores) if tested else None


def write_leave_one_source_out(path: Path, result: LeaveOneSourceOut) -> Path:
    """Write `leave_one_source_out.json` whole or not at all; returns the path."""
    return write_record(path, result)


def read_leave_one_source_out(path: Path) -> LeaveOneSourceOut:
    """Read `leave_one_source_out.json`.

    Raises:
        RunFolderError: It is missing, or not of this version.
    """
    return read_record(
        path, LeaveOneSourceOut, command="cxresnet evaluate RUN --leave-one-source-out"
    )


_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class _Splits:
    """The opened dataset."""

    dataset: PreparedDataset
    images: Mapping[str, ImageSet]

    def take_others(self, split: str, source: str) -> ImageSet:
        """Take the images of a split that share no patient or duplicate with a source."""
        images = self.images[split]
        return take_images(
            images, find_other_images(self.dataset.manifest, source, of=images.manifest)
        )

    def take_source(self, source: str) -> list[ImageSet]:
        """Take the images of a source, split by split."""
        return [
            take_images(images, (images.manifest["source"] == source).to_numpy())
            for images in self.images.values()
        ]


def evaluate_left_out_sources(
    run: RunFolder,
    dataset: PreparedDataset,
    source_folds: Sequence[SourceFold],
    *,
    config: EvaluateConfig,
) -> LeaveOneSourceOut:
    """Evaluate each source with the network that was trained without it, and write the results.

    Opens the held-out test set once, for all folds, and only if a source can be tested. Writes
    `predictions.csv` into each fold's folder and `leave_one_source_out.json` into `run.evaluate`.

    Args:
        run: Its folds are trained.
        dataset: That they were trained on.
        source_folds: As planned; those with a reason are left out.
        config: Of the operating point and the intervals.

    Raises:
        CheckpointError: A fold is not trained, or damaged.
        DatasetError: A fold was trained on another dataset, or the access log was altered.
        StorageError: The results cannot be written.
    """
    testable = [one for one in source_folds if not one.reason]
    sides = {}
    if testable:
        opened = _open_splits(run, dataset, config=config)
        for one in track(testable, "Evaluating left-out sources"):
            sides[one.source] = _evaluate_source_fold(run, one, opened, config=config)
    found = measure_generalisation_gaps(sides, config=config) if sides else None
    by_name = found.by_name if found else {}
    sources = tuple(
        _describe_source(one, sides, by_name.get(one.source, ())) for one in source_folds
    )
    result = LeaveOneSourceOut(
        dataset_hash=dataset.dataset_hash,
        class_names=dataset.class_names,
        sources=sources,
        mean=found.mean if found else (),
        sentence=_summarise(sources, found.mean if found else ()),
        seed=config.seed,
        resamples=config.bootstrap_resamples,
        confidence=config.confidence_level,
    )
    write_leave_one_source_out(run.evaluate / LEAVE_ONE_SOURCE_OUT_NAME, result)
    return result


def _open_splits(run: RunFolder, dataset: PreparedDataset, *, config: EvaluateConfig) -> _Splits:
    access_request = describe_access_request(
        run, reason="evaluate: leave one source out", config=config
    )
    images = {split: dataset.select(split) for split in _SPLITS[:2]}
    images["test"] = dataset.open_held_out_test(access_request)
    return _Splits(dataset, images)


def _evaluate_source_fold(
    run: RunFolder, one: SourceFold, opened: _Splits, *, config: EvaluateConfig
) -> tuple[EvaluatedSide, EvaluatedSide]:
    """Evaluate the other sources' test images and the source's own, (internal, external)."""
    folder = RunFolder(run.get_source_fold(one.number))
    predictor = load_predictor(folder.checkpoint)
    if predictor.record.dataset_hash != opened.dataset.dataset_hash:
        raise DatasetError(
            f"The network without {one.source} was trained on another dataset. "
            "Leave out --resume to train all of them again."
        )
    point = _choose_point(predictor, one.source, opened, config=config)
    tables = [
        _predict(predictor, image_sets, config=config)
        for image_sets in ([opened.take_others("test", one.source)], opened.take_source(one.source))
    ]
    write_predictions(
        folder.path / "predictions.csv",
        concatenate_predictions(tables),
        verdict=opened.dataset.verdict,
    )
    internal, external = (
        EvaluatedSide(
            evaluated=apply_operating_point(table, point),
            image_ids=table.image_ids,
            group_ids=table.group_ids,
        )
        for table in tables
    )
    return internal, external


def _choose_point(
    predictor: Predictor, source: str, opened: _Splits, *, config: EvaluateConfig
) -> OperatingPoint:
    labels = opened.take_others("train", source).labels
    shares = np.bincount(labels, minlength=len(opened.dataset.class_names)) / len(labels)
    validation = _predict(predictor, [opened.take_others("val", source)], config=config)
    return choose_operating_point(
        validation, class_shares=shares, rule=config.operating_point, seed=config.seed
    )


def _predict(
    predictor: Predictor, image_sets: Sequence[ImageSet], *, config: EvaluateConfig
) -> Predictions:
    return concatenate_predictions(
        [
            predictor.predict_image_set(
                image_set,
                batch_size=config.batch_size,
                test_time_augmentation=config.test_time_augmentation,
            )
            for image_set in image_sets
            if len(image_set)
        ]
    )


def _describe_source(
    one: SourceFold,
    sides: Mapping[str, tuple[EvaluatedSide, EvaluatedSide]],
    scores: tuple[GeneralisationGap, ...],
) -> LeftOutSource:
    counts = [0, 0]
    if one.source in sides:
        for place, side in enumerate(sides[one.source]):
            names = np.array(side.evaluated.class_names)[side.evaluated.truth]
            counts[place] = int(np.isin(names, one.compared).sum())
    where = f"on {one.source}, which was left out of training"
    sentence = (
        describe_generalisation_gap(choose_headline_score(scores), where=where)
        if scores
        else one.reason
    )
    return LeftOutSource(
        source=one.source,
        images=one.images,
        patients=one.patients,
        classes=one.classes,
        compared=one.compared,
        reason=one.reason,
        internal_images=counts[0],
        external_images=counts[1],
        scores=scores,
        sentence=sentence,
    )


def _summarise(sources: Sequence[LeftOutSource], mean: tuple[GeneralisationGap, ...]) -> str:
    tested = [one for one in sources if one.scores]
    if not tested:
        return (
            "No source can be tested, so nothing is known about the performance at a hospital "
            "outside of the training data."
        )
    untested = len(sources) - len(tested)
    if len(tested) == 1:
        sentence = tested[0].sentence
    elif mean:
        where = f"on the source left out, on average over {len(tested)} sources"
        sentence = describe_generalisation_gap(choose_headline_score(mean), where=where)
    else:
        sentence = f"{len(tested)} sources were tested; they have no score in common."
    if not untested:
        return sentence
    return f"{sentence} {untested} of {len(sources)} sources cannot be tested."
