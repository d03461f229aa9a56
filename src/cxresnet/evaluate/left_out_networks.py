"""Networks that were trained without some sources, and what they are shown.

Both the test on sources left out and the merge adviser look at images through these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.errors import DatasetError
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import ImageSet, PreparedDataset
from cxresnet.data.split.source_folds import find_other_images, take_images
from cxresnet.evaluate.generalisation_gap import EvaluatedSide
from cxresnet.predict.decision import Decision, apply_operating_point
from cxresnet.predict.predictions import Predictions, concatenate_predictions
from cxresnet.predict.predictor import Predictor, load_predictor


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
