"""From an image, however it is given, to one that a network takes; or why it is refused."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxresnet.core.errors import CODES_OF_THE_MACHINE, ImageError, explain_image_fault
from cxresnet.core.executor import AbstractWork
from cxresnet.data.decode.formats import measure_colour, to_grey
from cxresnet.data.prepare.preprocessing import prepare_image
from cxresnet.predict.files import read_image_file
from cxresnet.predict.image_gate import admit, admit_unchecked
from cxresnet.predict.predictor import Predictor
from cxresnet.predict.training_images import TrainingImages

ImageInput: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any]
"""One image: a path, the bytes of a file, a Pillow image, or grey levels (height, width)."""


@dataclass(frozen=True, eq=False)
class PreparedInput:
    """An image ready for the network, and what was found before it.

    Attributes:
        image: (side, side), 0 to 255.
        gate: What the gate found, as `Prediction.gate`.
        note: What has to be said beside the prediction; "" where nothing has.
        is_known: Whether the network was trained on it.
    """

    image: NDArray[np.uint8]
    gate: str
    note: str
    is_known: bool


PreparationOutcome: TypeAlias = tuple[Path | None, PreparedInput | ImageError]
"""The file of an image (None where it was not given as one), and what became of it."""


@dataclass(frozen=True, eq=False)
class ImagePreparation(AbstractWork[ImageInput, PreparationOutcome]):
    """Makes images ready for a network, wherever that is done.

    Attributes:
        predictor: Decodes, and says how images are prepared.
        gate: As of `Model`.
        fix: As of `Model`.
        training_images: As of `Model`.
    """

    predictor: Predictor
    gate: bool
    fix: bool
    training_images: TrainingImages | None

    def do(self, item: ImageInput) -> PreparationOutcome:
        """Prepare one image; whatever it does costs that image alone."""
        try:
            return get_path(item), self.prepare(item)
        except Exception as error:  # noqa: BLE001  one image must not end the work on all others
            return get_path(item), explain_image_fault(error)

    def give_up(self, item: ImageInput) -> PreparationOutcome:
        """Refuse an image that kills every process that decodes it."""
        return get_path(item), ImageError("decoder-crash", "The decoder crashed on this image.")

    def may_be_local(self, result: PreparationOutcome) -> bool:
        """Tell whether an image was refused for what the machine may lack."""
        _, found = result
        return isinstance(found, ImageError) and found.code in CODES_OF_THE_MACHINE

    def prepare(self, image: ImageInput) -> PreparedInput:
        """Check an image, and bring it to the network's size and grey levels.

        Raises:
            ImageError: It cannot be used, or the gate refuses it.
        """
        pixels, colour = self._decode(image)
        admitted = (
            admit(pixels, colour=colour, fix=self.fix) if self.gate else admit_unchecked(pixels)
        )
        prepared = prepare_image(admitted.pixels, self.predictor.preprocessing)
        known = self.training_images
        is_known = known is not None and known.holds(prepared)
        return PreparedInput(prepared, gate=admitted.status, note=admitted.note, is_known=is_known)

    def _decode(self, image: ImageInput) -> tuple[NDArray[np.float32], float]:
        """Decode an image to grey levels from 0 to 1; and how coloured it is.

        Raises:
            ImageError: It cannot be used.
        """
        path = get_path(image)
        if path is not None:
            image = read_image_file(path)
        if isinstance(image, bytes):
            decoded = self.predictor.decode(image)
            return decoded.pixels, decoded.colour
        if _is_colour_array(image):
            image = Image.fromarray(image)
        if isinstance(image, Image.Image):
            min_side_px = self.predictor.preprocessing.min_side_px
            return to_grey(image, min_side_px=min_side_px), measure_colour(image)
        return _scale_grey_levels(image), 0.0


def get_path(image: object) -> Path | None:
    """Get the path of an image that is given as one."""
    return Path(image) if isinstance(image, str | os.PathLike) else None


def refuse_kind(image: object) -> ImageError:
    """Build the refusal of what is no image at all."""
    return ImageError(
        "not-an-image",
        f"This is of type {type(image).__name__}. Give a path, the bytes of a file, a Pillow "
        "image, an array of grey levels, or a list of these.",
    )


def _is_colour_array(levels: object) -> TypeGuard[NDArray[np.uint8]]:
    return (
        isinstance(levels, np.ndarray)
        and levels.ndim == 3
        and levels.shape[2] in (3, 4)
        and levels.dtype == np.uint8
    )


def _scale_grey_levels(levels: object) -> NDArray[np.float32]:
    """Scale an array of grey levels to 0 to 1, float32.

    Raises:
        ImageError: It is not (height, width), or its range is not known.
    """
    if not isinstance(levels, np.ndarray):
        raise refuse_kind(levels)
    if levels.ndim != 2 or not levels.size:
        raise ImageError(
            "not-an-image",
            f"An image has the shape (height, width), not {levels.shape}. Give several images as a "
            "list.",
        )
    if levels.dtype.kind == "u":
        return np.divide(levels, np.iinfo(levels.dtype).max, dtype=np.float32)
    if levels.dtype.kind == "f" and 0 <= levels.min() <= levels.max() <= 1:
        return levels.astype(np.float32)
    raise ImageError(
        "not-an-image",
        f"Grey levels are unsigned integers, or floats from 0 (black) to 1 (white); these are "
        f"{levels.dtype} from {levels.min():g} to {levels.max():g}. Scale them first.",
    )
