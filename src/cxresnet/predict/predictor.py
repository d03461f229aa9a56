"""A trained network with the road that its films take: the one way from film to logits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from cxresnet.core.errors import CheckpointError, FilmError, ModelModeError
from cxresnet.core.progress import track
from cxresnet.data.image import decode_film
from cxresnet.data.preprocess import Preprocessing, normalise, prepare_film
from cxresnet.model.checkpoint import CheckpointRecord, read_model
from cxresnet.model.ensemble import Network
from cxresnet.predict.predictions import Predictions
from cxresnet.predict.test_time_augmentation import build_test_views

if TYPE_CHECKING:
    from cxresnet.data.dataset import FilmSet

__all__ = ["Predictor", "load_predictor"]


@dataclass(frozen=True)
class Predictor:
    """A trained network and all that must be known to ask it.

    Attributes:
        model: In evaluation mode.
        record: What came with the weights.
        preprocessing: The road that every film takes, with mean and sd.
    """

    model: Network
    record: CheckpointRecord
    preprocessing: Preprocessing

    @property
    def class_names(self) -> tuple[str, ...]:
        """Order of the logits."""
        return self.record.class_names

    def prepare(self, content: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring one film on the network's road.

        Args:
            content: The bytes of a file, or grey levels 0 to 255, (height, width).

        Returns:
            The prepared film, (side, side), 0 to 255.

        Raises:
            FilmError: The film cannot be used; `code` says why.
        """
        if isinstance(content, bytes):
            film = decode_film(content, least_side_px=self.preprocessing.least_side_px)
            return prepare_film(film.pixels, self.preprocessing)
        if content.ndim != 2 or content.dtype != np.uint8 or not content.size:
            raise FilmError(
                "not-an-image",
                f"Grey levels are (height, width), uint8; not {content.shape}, {content.dtype}.",
            )
        return prepare_film(np.divide(content, 255, dtype=np.float32), self.preprocessing)

    def to_tensor(self, films: NDArray[np.uint8]) -> Tensor:
        """Normalise prepared films for the network.

        Args:
            films: (films, side, side), 0 to 255.

        Returns:
            (films, 1, side, side), float32, on the network's device; values about -3 to 3.
        """
        images = torch.from_numpy(normalise(films, self.preprocessing)).unsqueeze(1)
        return images.to(next(self.model.parameters()).device)

    def predict_films(
        self, films: NDArray[np.uint8], *, batch_size: int = 64, test_views: bool = False
    ) -> NDArray[np.float32]:
        """Ask the network about prepared films.

        Args:
            films: (films, side, side), 0 to 255; may lie on the disk.
            batch_size: Films that go through the network at once.
            test_views: Average the logits over the views of `build_test_views`.

        Returns:
            Logits, (films, classes), the same whatever the batch up to rounding.

        Raises:
            ModelModeError: The network is training.
        """
        if self.model.training:
            raise ModelModeError("The network is in training mode; call predictor.model.eval().")
        logits = np.empty((len(films), len(self.class_names)), dtype=np.float32)
        starts = range(0, len(films), batch_size)
        with torch.inference_mode():
            for start in track(starts, "Asking the network"):
                images = self.to_tensor(np.asarray(films[start : start + batch_size]))
                answer = self._ask_views(images) if test_views else self.model(images)
                logits[start : start + batch_size] = answer.cpu().numpy()
        return logits

    def predict_film_set(
        self, film_set: FilmSet, *, batch_size: int = 64, test_views: bool = False
    ) -> Predictions:
        """Ask the network about a split of a prepared dataset.

        Args:
            film_set: Its classes are found by name; a class that the network does not know is
                unknown in the table.
            batch_size: Films that go through the network at once.
            test_views: As of `predict_films`.

        Raises:
            ModelModeError: The network is training.
        """
        logits = self.predict_films(film_set.films, batch_size=batch_size, test_views=test_views)
        return self._describe(film_set, logits)

    def _ask_views(self, images: Tensor) -> Tensor:
        """Average the logits over several views of each film, (films, classes)."""
        answers = []
        for geometry in build_test_views():
            geometries = geometry.to(images.device).expand(len(images), 2, 3)
            grid = functional.affine_grid(geometries, list(images.shape), align_corners=False)
            view = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
            answers.append(self.model(view))
        return torch.stack(answers).mean(dim=0)

    def _describe(self, film_set: FilmSet, logits: NDArray[np.float32]) -> Predictions:
        """Put logits, (films, classes), beside what is known of the films."""
        labels = {name: index for index, name in enumerate(self.class_names)}
        rows = film_set.manifest
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


def load_predictor(checkpoint_folder: Path) -> Predictor:
    """Load a trained network for use: on the CPU, in evaluation mode, without training code.

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
            f"'{checkpoint_folder}' does not say how films are prepared. Train again."
        ) from error
    if preprocessing.mean is None or preprocessing.sd is None:
        raise CheckpointError(
            f"'{checkpoint_folder}' does not know mean and sd of its films. Train again."
        )
    return Predictor(model=model, record=record, preprocessing=preprocessing)
