"""It looks like these: the training films nearest to a film, as the network sees them.

Nearness is the cosine between the means of the last maps, the numbers from which the head makes
its answer. A film of the same patient, or a copy, never counts. What is near is measured on the
training films themselves: hardly any of them (1 in 20) has its own nearest farther away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from cxresnet.core.progress import track
from cxresnet.core.seeding import build_generator
from cxresnet.data.dataset import FilmSet
from cxresnet.predict import Predictor

__all__ = ["FilmNeighbours", "Gallery", "Neighbour", "build_gallery", "compute_features"]

_MOST_TRAINING_FILMS = 5000
_NEAR_PERCENTILE = 5


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Neighbour(_Record):
    """One training film near a film.

    Attributes:
        image_id: As in the manifest.
        class_name: Its label.
        source: Where it is from.
        likeness: Cosine of the two films' features, -1 to 1; 1 is the same.
    """

    image_id: str
    class_name: str
    source: str
    likeness: float = Field(ge=-1, le=1)


class FilmNeighbours(_Record):
    """The training films nearest to one film, other patients only.

    Attributes:
        image_id: Of the film asked about.
        near_likeness: From this likeness on a film counts as near.
        compared: Training films that it was compared with.
        neighbours: Nearest first.
    """

    image_id: str
    near_likeness: float = Field(ge=-1, le=1)
    compared: int = Field(ge=0)
    neighbours: tuple[Neighbour, ...]

    @property
    def is_near(self) -> bool:
        """Whether the nearest is as near as training films are to each other."""
        return bool(self.neighbours) and self.neighbours[0].likeness >= self.near_likeness


def compute_features(predictor: Predictor, films: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the means of the last maps, each film's of length 1.

    Args:
        predictor: In evaluation mode.
        films: (film, side, side), prepared; may lie on the disk.

    Returns:
        (film, channel).
    """
    rows = []
    with torch.inference_mode():
        for start in track(range(0, len(films), 64), "Comparing films"):
            images = predictor.to_tensor(np.asarray(films[start : start + 64]))
            means = predictor.model.features(images).mean(dim=(2, 3))
            rows.append(torch.nn.functional.normalize(means, dim=1).cpu().numpy())
    return np.concatenate(rows).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Gallery:
    """Training films with their features.

    Attributes:
        films: (film, side, side).
        features: (film, channel), each of length 1.
        image_ids: One a film.
        class_names: One a film.
        sources: One a film.
        group_ids: One a film, as strings.
        near_likeness: From this likeness on a film counts as near.
    """

    films: NDArray[np.uint8]
    features: NDArray[np.float32]
    image_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    sources: tuple[str, ...]
    group_ids: NDArray[np.str_]
    near_likeness: float

    def find(
        self, feature: NDArray[np.float32], *, image_id: str, group_id: str, count: int
    ) -> tuple[FilmNeighbours, NDArray[np.uint8]]:
        """Find the training films nearest to a film.

        Args:
            feature: (channel,), of length 1.
            image_id: Of the film.
            group_id: Of the film; training films of this group do not count.
            count: How many.

        Returns:
            What was found, and the films themselves, (count or fewer, side, side).
        """
        likeness = (self.features @ feature).clip(-1, 1)
        order = np.argsort(-likeness, kind="stable")
        rows = order[self.group_ids[order] != group_id][:count]
        neighbours = tuple(
            Neighbour(
                image_id=self.image_ids[row],
                class_name=self.class_names[row],
                source=self.sources[row],
                likeness=float(likeness[row]),
            )
            for row in rows.tolist()
        )
        found = FilmNeighbours(
            image_id=image_id,
            near_likeness=self.near_likeness,
            compared=int((self.group_ids != group_id).sum()),
            neighbours=neighbours,
        )
        return found, self.films[rows]


def build_gallery(
    predictor: Predictor, training: FilmSet, *, class_names: Sequence[str]
) -> Gallery:
    """Compute the features of the training films, and how near they are to each other.

    Args:
        predictor: The network.
        training: Its training films; of more than 5,000 that many are drawn, always the same.
        class_names: Of the dataset, in order.
    """
    rows = np.arange(len(training))
    if len(rows) > _MOST_TRAINING_FILMS:
        generator = build_generator(0, "neighbours")
        rows = np.sort(generator.choice(rows, _MOST_TRAINING_FILMS, replace=False))
    films = np.asarray(training.films[rows])
    features = compute_features(predictor, films)
    manifest = training.manifest.iloc[rows]
    group_ids = manifest["group_id"].to_numpy().astype(str)
    return Gallery(
        films=films,
        features=features,
        image_ids=tuple(manifest["image_id"]),
        class_names=tuple(class_names[label] for label in training.labels[rows]),
        sources=tuple(manifest["source"]),
        group_ids=group_ids,
        near_likeness=_measure_near(features, group_ids),
    )


def _measure_near(features: NDArray[np.float32], group_ids: NDArray[np.str_]) -> float:
    """Measure how like its nearest of another group a training film is, all but 1 in 20."""
    nearest = []
    for start in range(0, len(features), 512):
        likeness = features[start : start + 512] @ features.T
        likeness[group_ids[start : start + 512, None] == group_ids[None, :]] = -1
        nearest.append(likeness.max(axis=1))
    return float(np.percentile(np.concatenate(nearest), _NEAR_PERCENTILE).clip(-1, 1))
