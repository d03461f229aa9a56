"""Nearest neighbours: the training images most similar to an image, as the network sees them.

Similarity is the cosine between the globally pooled features of the last feature map, from which
the head predicts. Images of the same patient and near-duplicates are excluded. What counts as a
close match is measured on the training images themselves: only 1 in 20 of them has a nearest
neighbour that is less similar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from cxresnet.core.record import Record
from cxresnet.core.seeding import build_generator
from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.explain.context import ExplainContext
from cxresnet.explain.record import Attributions
from cxresnet.predict import Predictor

_MAX_TRAINING_IMAGES = 5000
_SIMILARITY_PERCENTILE = 5


class Neighbour(Record):
    """One training image that is similar to an image.

    Attributes:
        image_id: As in the manifest.
        class_name: Its label.
        source: Where it is from.
        similarity: Cosine similarity of the two images' features, -1 to 1; 1 is identical.
    """

    image_id: str
    class_name: str
    source: str
    similarity: float = Field(ge=-1, le=1)


class ImageNeighbours(Record):
    """The nearest neighbours of one image among the training images of other patients.

    Attributes:
        image_id: Of the explained image.
        similarity_threshold: From this similarity on an image counts as a close match.
        compared: Training images that it was compared with.
        neighbours: Most similar first.
    """

    image_id: str
    similarity_threshold: float = Field(ge=-1, le=1)
    compared: int = Field(ge=0)
    neighbours: tuple[Neighbour, ...]

    @property
    def has_close_match(self) -> bool:
        """Whether the nearest is as similar as training images are to each other."""
        return bool(self.neighbours) and self.neighbours[0].similarity >= self.similarity_threshold


def find_neighbours(
    context: ExplainContext, attributions: Attributions
) -> tuple[tuple[ImageNeighbours, ...], NDArray[np.uint8]]:
    """Find the nearest neighbours of every explained image.

    Returns:
        One record per image, and the neighbours' images, (image, neighbour, side, side), black
        where there are fewer. Without records where the config asks for no neighbours.
    """
    images, count = attributions.images, context.config.neighbours
    pictures = np.zeros((len(images), count, *images.shape[1:]), np.uint8)
    if count == 0:
        return (), pictures
    gallery = build_gallery(
        context.predictor, context.training, class_names=attributions.index.class_names
    )
    features = compute_features(context.predictor, images)
    predictions = context.predictions
    groups = dict(zip(predictions.image_ids, predictions.group_ids, strict=True))
    found = []
    for row, image in enumerate(attributions.index.images):
        neighbours, closest = gallery.find(
            features[row], image_id=image.image_id, group_id=groups[image.image_id], count=count
        )
        pictures[row, : len(closest)] = closest
        found.append(neighbours)
    return tuple(found), pictures


def compute_features(predictor: Predictor, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the pooled features of images, each scaled to length 1.

    Args:
        predictor: In evaluation mode.
        images: (image, side, side), prepared; may be memory-mapped.

    Returns:
        (image, channel).
    """
    means = torch.from_numpy(predictor.compute_features(images))
    return torch.nn.functional.normalize(means, dim=1).numpy()


@dataclass(frozen=True, eq=False)
class Gallery:
    """Training images with their features.

    Attributes:
        images: (image, side, side).
        features: (image, channel), each of length 1.
        image_ids: One per image.
        class_names: One per image.
        sources: One per image.
        group_ids: One per image, as strings.
        similarity_threshold: From this similarity on an image counts as a close match.
    """

    images: NDArray[np.uint8]
    features: NDArray[np.float32]
    image_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    sources: tuple[str, ...]
    group_ids: NDArray[np.str_]
    similarity_threshold: float

    def find(
        self, feature: NDArray[np.float32], *, image_id: str, group_id: str, count: int
    ) -> tuple[ImageNeighbours, NDArray[np.uint8]]:
        """Find the training images most similar to an image.

        Args:
            feature: (channel,), of length 1.
            image_id: Of the image.
            group_id: Of the image; training images of this group are excluded.
            count: How many.

        Returns:
            The record, and the images themselves, (count or fewer, side, side).
        """
        similarity = (self.features @ feature).clip(-1, 1)
        order = np.argsort(-similarity, kind="stable")
        rows = order[self.group_ids[order] != group_id][:count]
        neighbours = tuple(
            Neighbour(
                image_id=self.image_ids[row],
                class_name=self.class_names[row],
                source=self.sources[row],
                similarity=float(similarity[row]),
            )
            for row in rows.tolist()
        )
        found = ImageNeighbours(
            image_id=image_id,
            similarity_threshold=self.similarity_threshold,
            compared=int((self.group_ids != group_id).sum()),
            neighbours=neighbours,
        )
        return found, self.images[rows]


def build_gallery(
    predictor: Predictor, training: ImageSet, *, class_names: Sequence[str]
) -> Gallery:
    """Compute the features of the training images, and how similar they are to each other.

    Args:
        predictor: The network.
        training: Its training images; of more than 5,000 a fixed random sample of that size.
        class_names: Of the dataset, in order.
    """
    rows = np.arange(len(training))
    if len(rows) > _MAX_TRAINING_IMAGES:
        generator = build_generator(0, "neighbours")
        rows = np.sort(generator.choice(rows, _MAX_TRAINING_IMAGES, replace=False))
    images = np.asarray(training.images[rows])
    features = compute_features(predictor, images)
    manifest = training.manifest.iloc[rows]
    group_ids = manifest["group_id"].to_numpy().astype(str)
    return Gallery(
        images=images,
        features=features,
        image_ids=tuple(manifest["image_id"]),
        class_names=tuple(class_names[label] for label in training.labels[rows]),
        sources=tuple(manifest["source"]),
        group_ids=group_ids,
        similarity_threshold=_compute_similarity_threshold(features, group_ids),
    )


def _compute_similarity_threshold(
    features: NDArray[np.float32], group_ids: NDArray[np.str_]
) -> float:
    """Compute the 5th percentile of the similarity to the nearest image of another group."""
    nearest = []
    for start in range(0, len(features), 512):
        similarity = features[start : start + 512] @ features.T
        similarity[group_ids[start : start + 512, None] == group_ids[None, :]] = -1
        nearest.append(similarity.max(axis=1))
    return float(np.percentile(np.concatenate(nearest), _SIMILARITY_PERCENTILE).clip(-1, 1))
