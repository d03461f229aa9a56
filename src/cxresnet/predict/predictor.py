"""A trained network with its preprocessing pipeline: the single path from image to logits."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from cxresnet.core.backends import BackendName
from cxresnet.core.errors import CheckpointError, ImageError, ModelModeError
from cxresnet.core.progress import track
from cxresnet.data.decode.decoder import DecodedImage, decode_image
from cxresnet.data.decode.limits import DEFAULT_LIMITS, DecodeLimits
from cxresnet.data.prepare.preprocessing import Preprocessing, normalise, prepare_image
from cxresnet.model.checkpoint import CheckpointRecord, read_model
from cxresnet.model.ensemble import Network
from cxresnet.predict.backend import InferenceBackend, build_backend
from cxresnet.predict.predictions import Predictions
from cxresnet.predict.test_time_augmentation import build_test_time_views

if TYPE_CHECKING:
    from cxresnet.data.dataset.dataset import ImageSet


@dataclass(frozen=True)
class Predictor:
    """A trained network and everything that a prediction needs.

    Attributes:
        model: In evaluation mode.
        record: What came with the weights.
        preprocessing: The pipeline that every image goes through, with mean and sd.
        any_body_part: Take DICOM radiographs whatever part of the body their header names.
        limits: Memory and time that decoding one image may take.
        backend: What runs the network; see `BackendName`.
    """

    model: Network
    record: CheckpointRecord
    preprocessing: Preprocessing
    any_body_part: bool = False
    limits: DecodeLimits = DEFAULT_LIMITS
    backend: BackendName = "torch"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Order of the logits."""
        return self.record.class_names

    @functools.cached_property
    def inference(self) -> InferenceBackend:
        """The network made ready for inference, once: change no weights afterwards.

        Raises:
            ConfigError: The backend cannot run it.
            MissingExtraError: The backend is not installed.
        """
        return build_backend(self.model, self.backend, side_px=self.preprocessing.side_px)

    def prepare(self, content: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Run one image through the preprocessing pipeline.

        Args:
            content: The bytes of a file, or grey levels 0 to 255, (height, width).

        Returns:
            The prepared image, (side, side), 0 to 255.

        Raises:
            ImageError: The image cannot be used; `code` says why.
        """
        if isinstance(content, bytes):
            return prepare_image(self.decode(content).pixels, self.preprocessing)
        if content.ndim != 2 or content.dtype != np.uint8 or not content.size:
            raise ImageError(
                "not-an-image",
                f"Expected (height, width) of uint8, got {content.shape} of {content.dtype}.",
            )
        return prepare_image(np.divide(content, 255, dtype=np.float32), self.preprocessing)

    def decode(self, content: bytes) -> DecodedImage:
        """Decode the bytes of a file, with no more pixels than the pipeline uses.

        Raises:
            ImageError: The image cannot be used; `code` says why.
        """
        return decode_image(
            content,
            limits=self.limits,
            min_side_px=self.preprocessing.min_side_px,
            any_body_part=self.any_body_part,
        )

    def to_tensor(self, images: NDArray[np.uint8]) -> Tensor:
        """Normalise prepared images for the network.

        Args:
            images: (images, side, side), 0 to 255.

        Returns:
            (images, 1, side, side), float32, on the network's device; values about -3 to 3.
        """
        inputs = torch.from_numpy(normalise(images, self.preprocessing)).unsqueeze(1)
        return inputs.to(next(self.model.parameters()).device)

    def predict_images(
        self,
        images: NDArray[np.uint8],
        *,
        batch_size: int = 64,
        test_time_augmentation: bool = False,
    ) -> NDArray[np.float32]:
        """Run the network on prepared images.

        Args:
            images: (images, side, side), 0 to 255; may lie on the disk.
            batch_size: Images that go through the network at once.
            test_time_augmentation: Average the logits over the views of `build_test_time_views`.

        Returns:
            Logits, (images, classes), the same whatever the batch up to rounding.

        Raises:
            ModelModeError: The network is training.
        """
        if self.model.training:
            raise ModelModeError("The network is in training mode; call predictor.model.eval().")
        logits = np.empty((len(images), len(self.class_names)), dtype=np.float32)
        starts = range(0, len(images), batch_size)
        with torch.inference_mode():
            for start in track(starts, "Running inference"):
                inputs = self.to_tensor(np.asarray(images[start : start + batch_size]))
                batch_logits = (
                    _predict_views(self.inference, inputs)
                    if test_time_augmentation
                    else self.inference(inputs)
                )
                logits[start : start + batch_size] = batch_logits.cpu().numpy()
        return logits

    def compute_features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the pooled features of prepared images, (images, channel).

        Args:
            images: (images, side, side), 0 to 255; may lie on the disk.
        """
        rows = []
        with torch.inference_mode():
            for start in track(range(0, len(images), 64), "Comparing images"):
                batch = self.to_tensor(np.asarray(images[start : start + 64]))
                rows.append(self.inference.compute_means(batch).cpu().numpy())
        return np.concatenate(rows).astype(np.float32)

    def classify_features(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the logits, (images, classes), of images from their pooled features.

        Args:
            features: (images, channel), as `compute_features` gives them.
        """
        means = torch.from_numpy(features).to(next(self.model.parameters()).device)
        with torch.inference_mode():
            logits = self.model.forward_head(means[:, :, None, None])
        return logits.cpu().numpy().astype(np.float32)

    def predict_image_set(
        self, image_set: ImageSet, *, batch_size: int = 64, test_time_augmentation: bool = False
    ) -> Predictions:
        """Run the network on a split of a prepared dataset.

        Args:
            image_set: Its classes are found by name; a class that the network does not know is
                unknown in the table.
            batch_size: Images that go through the network at once.
            test_time_augmentation: As of `predict_images`.

        Raises:
            ModelModeError: The network is training.
        """
        logits = self.predict_images(
            image_set.images, batch_size=batch_size, test_time_augmentation=test_time_augmentation
        )
        return self._describe(image_set, logits)

    def _describe(self, image_set: ImageSet, logits: NDArray[np.float32]) -> Predictions:
        """Combine logits, (images, classes), with what the manifest records of the images."""
        labels = {name: index for index, name in enumerate(self.class_names)}
        rows = image_set.manifest
        truth = [labels.get(str(name), -1) for name in rows["class_name"]]
        return Predictions(
            image_ids=tuple(map(str, rows["image_id"])),
            patient_ids=tuple(map(str, rows["patient_id"])),
            group_ids=tuple(map(str, rows["group_id"])),
            sources=tuple(map(str, rows["source"])),
            truth=np.array(truth, dtype=np.int64),
            logits=logits,
            class_names=self.class_names,
        )


def _predict_views(network: InferenceBackend, inputs: Tensor) -> Tensor:
    """Average the logits over several views of each image, (images, classes)."""
    outputs = []
    for geometry in build_test_time_views():
        geometries = geometry.to(inputs.device).expand(len(inputs), 2, 3)
        grid = functional.affine_grid(geometries, list(inputs.shape), align_corners=False)
        view = functional.grid_sample(inputs, grid, padding_mode="border", align_corners=False)
        outputs.append(network(view))
    return torch.stack(outputs).mean(dim=0)


def load_predictor(checkpoint_folder: Path) -> Predictor:
    """Load a trained network for inference: on the CPU, in evaluation mode, without training code.

    Args:
        checkpoint_folder: As of `RunFolder.checkpoint`.

    Raises:
        CheckpointError: It is missing, torn, altered or not complete; says which.
    """
    model, record = read_model(checkpoint_folder)
    try:
        preprocessing = Preprocessing.model_validate(record.preprocessing)
    except ValidationError as error:
        raise CheckpointError(
            f"The checkpoint '{checkpoint_folder}' does not record the preprocessing. Train again."
        ) from error
    if preprocessing.mean is None or preprocessing.sd is None:
        raise CheckpointError(
            f"The checkpoint '{checkpoint_folder}' does not record mean and sd of its images. "
            "Train again."
        )
    return Predictor(model=model, record=record, preprocessing=preprocessing)
