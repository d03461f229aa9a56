"""What is known of the images that a network was trained on, once they are no longer at hand.

`evaluate` writes `training_images/` beside the decision: a fingerprint of each training image, and
where their features lie. With it a prediction says when its image is one of them, or unlike all.
Nobody can draw an image from its fingerprint: it holds signs of coarse patterns.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cxresnet import DISCLAIMER
from cxresnet.core.errors import CheckpointError
from cxresnet.core.run_folder import RunFolder
from cxresnet.core.seeding import build_generator
from cxresnet.data.duplicates.fingerprint import FINGERPRINT_SIDE_PX, compute_fingerprints
from cxresnet.data.prepare.spectrum import build_cosines
from cxresnet.model.checkpoint import read_tensor_folder, write_tensor_folder
from cxresnet.predict.decision import compute_network_hash
from cxresnet.predict.predictor import Predictor

TRAINING_IMAGES_NAME = "training_images"
"""Name of the folder in a folder that `evaluate` writes."""

KNOWN_NOTE = (
    "The network was trained on this image or a near copy of it, so this answer says nothing about "
    "how it does on new ones."
)
FAR_NOTE = "The image is unlike the training images of the network, so no class is decided on."

_PATTERNS = 12
_MAX_DIFFERENT_SIGNS = 11
"""Of 143 signs; `benchmarks/known_images.py` measures what it catches, and what it mistakes."""

_MAX_IMAGES = 2000
_DIRECTIONS = 32
_USUAL_PERCENTILE = 99
_TINY = 1e-6
_ROUNDING = 1e-9
_SMALLEST_SHARE = 1e-3
"""Of the largest standard deviation: below it a direction is rounding, or never used."""


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """What is known of the training images of one network.

    Attributes:
        signs: Fingerprints, (image, byte): the packed signs of `compute_signs`.
        mean: Of the features, (feature,).
        directions: The principal directions of the features, (feature, direction).
        sds: Standard deviation along each, (direction,).
        rest_sd: Length, root mean square, of what the directions leave of a feature vector.
        limit: An image that lies farther is unlike the training images.
    """

    signs: NDArray[np.uint8]
    mean: NDArray[np.float32]
    directions: NDArray[np.float32]
    sds: NDArray[np.float32]
    rest_sd: float
    limit: float

    def holds(self, image: NDArray[np.uint8]) -> bool:
        """Tell whether a prepared image, (side, side), is one of them, or a near copy of one."""
        different = np.bitwise_count(self.signs ^ compute_signs(image[None])).sum(axis=1)
        return bool((different <= _MAX_DIFFERENT_SIGNS).any())

    def measure_distances(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Measure how far features, (image, feature), lie from those of the training images."""
        moved = (features - self.mean).astype(np.float64)
        along = moved @ self.directions
        rest = np.linalg.norm(moved - along @ self.directions.T, axis=1) / self.rest_sd
        distances: NDArray[np.float64] = np.hypot(np.linalg.norm(along / self.sds, axis=1), rest)
        return distances

    def are_far(self, features: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Tell which images are unlike all of them to the network: (image,).

        Args:
            features: (image, feature), as `Predictor.compute_features` gives them.
        """
        far: NDArray[np.bool_] = self.measure_distances(features) > self.limit
        return far


def compute_signs(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Compute the packed signs of the coarse cosine patterns of images, (image, byte).

    Args:
        images: (image, side, side), prepared.
    """
    side = FINGERPRINT_SIDE_PX
    thumbnails = compute_fingerprints(images).reshape(-1, side, side).astype(np.float64)
    cosines = build_cosines(side)[:_PATTERNS]
    patterns = cosines @ thumbnails @ cosines.T
    return np.packbits(patterns.reshape(len(images), -1)[:, 1:] > _ROUNDING, axis=1)


def describe_training_images(
    predictor: Predictor, images: NDArray[np.uint8], *, validation: NDArray[np.uint8]
) -> TrainingImages:
    """Describe the training images of a network.

    Args:
        predictor: The network.
        images: Its training images, (image, side, side), prepared; may lie on the disk.
        validation: Likewise; 1 in 100 of them lies farther than the limit.
    """
    generator = build_generator(0, "training images")
    features = predictor.compute_features(_draw(images, generator))
    mean = features.mean(axis=0)
    moved = (features - mean).astype(np.float64)
    _, scales, directions = np.linalg.svd(moved, full_matrices=False)
    kept = min(_DIRECTIONS, len(scales))
    along = directions[:kept].T
    sds = np.maximum(scales[:kept], scales[0] * _SMALLEST_SHARE + _TINY) / np.sqrt(len(moved))
    rest = np.linalg.norm(moved - moved @ along @ along.T, axis=1)
    found = TrainingImages(
        signs=compute_signs(np.asarray(images)),
        mean=mean,
        directions=along.astype(np.float32),
        sds=sds.astype(np.float32),
        rest_sd=max(float(np.sqrt(np.mean(rest**2))), float(sds.min())),
        limit=np.inf,
    )
    distances = found.measure_distances(predictor.compute_features(_draw(validation, generator)))
    return replace(found, limit=float(np.percentile(distances, _USUAL_PERCENTILE)))


def write_training_images(run: RunFolder, found: TrainingImages) -> None:
    """Write what is known of the training images of a run's present network.

    Raises:
        CheckpointError: The network is missing or damaged.
        StorageError: The folder cannot be written.
    """
    arrays = {name: value for name, value in vars(found).items() if isinstance(value, np.ndarray)}
    folder = run.evaluate / TRAINING_IMAGES_NAME
    shutil.rmtree(folder, ignore_errors=True)
    write_tensor_folder(
        folder,
        tensors={"arrays": {name: torch.from_numpy(array) for name, array in arrays.items()}},
        documents={
            "record": {
                "format": 1,
                "disclaimer": DISCLAIMER,
                "network": compute_network_hash(run),
                "rest_sd": found.rest_sd,
                "limit": found.limit,
            }
        },
    )


def read_training_images(run: RunFolder) -> TrainingImages | None:
    """Read what is known of a run's training images; None where nothing is of its present network.

    Raises:
        CheckpointError: The folder is damaged, or the network is missing or damaged.
    """
    folder = run.evaluate / TRAINING_IMAGES_NAME
    if not folder.is_dir():
        return None
    content = read_tensor_folder(folder)
    record: Any = content.documents.get("record")
    if not isinstance(record, dict) or record.get("network") != compute_network_hash(run):
        return None
    try:
        arrays = {name: one.numpy() for name, one in content.tensors["arrays"].items()}
        return TrainingImages(
            **arrays, rest_sd=float(record["rest_sd"]), limit=float(record["limit"])
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"'{folder}' does not describe training images. Make it again with "
            "'cxresnet evaluate RUN'."
        ) from error


def _draw(images: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    if len(images) <= _MAX_IMAGES:
        return np.asarray(images)
    return np.asarray(images[np.sort(generator.choice(len(images), _MAX_IMAGES, replace=False))])
