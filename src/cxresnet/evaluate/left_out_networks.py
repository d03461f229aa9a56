"""Networks that were trained without some sources, and what they are shown.

Both the test on sources left out and the merge adviser look at images through these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.errors import DatasetError
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import ImageSet, PreparedDataset
from cxresnet.data.split.source_folds import SourceFold, find_other_images, take_images
from cxresnet.evaluate.evaluated_images import describe_access_request
from cxresnet.evaluate.generalisation_gap import EvaluatedSide
from cxresnet.evaluate.source_tasks import ABSTAINED
from cxresnet.predict.decision import Decision, apply_operating_point
from cxresnet.predict.predictions import (
    Predictions,
    average_predictions,
    concatenate_predictions,
    write_predictions,
)
from cxresnet.predict.predictor import Predictor, load_predictor

LEFT_OUT_PREDICTIONS_NAME = "left_out_predictions.csv"
"""Name of the table in `RUN/evaluate`: training and validation images of the sources left out, with
the logits of the networks without these, averaged over seeds and sets."""


@dataclass(frozen=True)
class OpenedSplits:
    """Splits of a dataset that were opened, seen by networks that were trained without sources.

    Attributes:
        dataset: The dataset.
        images: By name of the split.
    """

    dataset: PreparedDataset
    images: Mapping[str, ImageSet]

    def take_others(self, split: str, sources: Sequence[str]) -> ImageSet:
        """Take the images of a split that share no patient or duplicate with some sources."""
        images = self.images[split]
        return take_images(
            images, find_other_images(self.dataset.manifest, sources, of=images.manifest)
        )

    def take_sources(self, sources: Sequence[str]) -> list[ImageSet]:
        """Take the images of some sources, split by split."""
        return [
            take_images(images, images.manifest["source"].isin(list(sources)).to_numpy())
            for images in self.images.values()
            if images.manifest["source"].isin(list(sources)).any()
        ]


def open_splits(
    run: RunFolder, dataset: PreparedDataset, *, config: EvaluateConfig
) -> OpenedSplits:
    """Open all splits of a dataset; the held-out test set writes it into the access log."""
    access_request = describe_access_request(
        run, reason="evaluate: leave sources out", config=config
    )
    images = {split: dataset.select(split) for split in ("train", "val")}
    images["test"] = dataset.open_held_out_test(access_request)
    return OpenedSplits(dataset, images)


def load_predictor_without(folder: RunFolder, name: str, dataset: PreparedDataset) -> Predictor:
    """Load a network that was trained without sources, called `name`.

    Raises:
        CheckpointError: It is not trained, or damaged.
        DatasetError: It was trained on another dataset.
    """
    predictor = load_predictor(folder.checkpoint)
    if predictor.record.dataset_hash != dataset.dataset_hash:
        raise DatasetError(
            f"The network without {name} was trained on another dataset. "
            "Leave out --resume to train all of them again."
        )
    if predictor.class_names != dataset.class_names:
        raise DatasetError(
            f"The network without {name} has the classes {', '.join(predictor.class_names)}, in "
            f"this order; the dataset has {', '.join(dataset.class_names)}. Leave out --resume to "
            "train all of them again."
        )
    return predictor


def predict_sets(
    predictor: Predictor, image_sets: Sequence[ImageSet], *, config: EvaluateConfig
) -> Predictions:
    """Predict images, one set after the other."""
    return concatenate_predictions(
        [
            predictor.predict_image_set(
                image_set,
                batch_size=config.batch_size,
                test_time_augmentation=config.test_time_augmentation,
            )
            for image_set in image_sets
        ]
    )


def build_side(table: Predictions, decision: Decision) -> EvaluatedSide:
    """Classify the images of a table."""
    return EvaluatedSide(
        evaluated=apply_operating_point(table, decision.operating_point),
        image_ids=table.image_ids,
        group_ids=table.group_ids,
    )


def decide_side(side: EvaluatedSide, decision: Decision) -> NDArray[np.int64]:
    """Decide on each image: the class, or `ABSTAINED`, (images,)."""
    members = decision.build_sets(side.evaluated.probabilities)
    return np.where(members.sum(axis=1) == 1, members.argmax(axis=1), ABSTAINED)


@dataclass(frozen=True)
class PredictedFold:
    """One set of sources, before anything is decided.

    Attributes:
        fold: The set.
        validation: Of the other sources, one a seed.
        internal: Test images of the other sources, one a seed.
        external: All images of the sources left out, one a seed.
    """

    fold: SourceFold
    validation: tuple[Predictions, ...]
    internal: tuple[Predictions, ...]
    external: tuple[Predictions, ...]


def predict_fold(
    run: RunFolder,
    fold: SourceFold,
    opened: OpenedSplits,
    *,
    seeds: Sequence[int],
    config: EvaluateConfig,
) -> PredictedFold:
    """Predict what the networks without some sources never saw, and write it for each seed."""
    shown = (
        [opened.take_others("val", fold.sources)],
        [opened.take_others("test", fold.sources)],
        opened.take_sources(fold.sources),
    )
    rows = []
    for seed in seeds:
        folder = RunFolder(run.get_source_fold(fold.sources, seed=seed))
        predictor = load_predictor_without(folder, fold.name, opened.dataset)
        tables = [predict_sets(predictor, image_sets, config=config) for image_sets in shown]
        write_predictions(
            folder.path / "predictions.csv",
            concatenate_predictions(tables[1:]),
            verdict=opened.dataset.verdict,
        )
        rows.append(tables)
    validation, internal, external = zip(*rows, strict=True)
    return PredictedFold(fold, validation, internal, external)


def gather_calibration(predicted: Sequence[PredictedFold], opened: OpenedSplits) -> Predictions:
    """Gather the images left out that a decision may be chosen on: none of the test set."""
    table = average_predictions([table for one in predicted for table in one.external])
    closed = opened.images["test"].manifest["image_id"]
    return table.select(~np.isin(np.array(table.image_ids), closed.to_numpy(str)))
