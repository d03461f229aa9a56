"""Lungs of files that nobody prepared: a mask and a contour a film, or the reason why not."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from cxresnet import DISCLAIMER
from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import FilmError
from cxresnet.core.files import write_bytes
from cxresnet.data.image import decode_film
from cxresnet.data.preprocess import build_preprocessing, prepare_film
from cxresnet.data.safe_csv import write_safe_csv
from cxresnet.model.lung_net import LUNG_SIDE_PX
from cxresnet.predict.files import read_film_file
from cxresnet.predict.lungs import FoundLungs, load_lung_finder

__all__ = ["FileLungs", "find_lungs_in_files", "write_lung_pictures"]

_RIGHT_RGB, _LEFT_RGB = (255, 106, 0), (38, 128, 255)
_COLUMNS = (
    "file", "mask", "contour", "area_share", "right_share", "left_share", "confidence", "agreement",
    "refused",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class FileLungs:
    """What was found in one file.

    Attributes:
        path: The file as given.
        film: Grey levels, (row, column), uint8; None where the file is no film.
        right_lung: (row, column), true in the patient's right lung; None likewise.
        left_lung: The same of the left lung.
        found: What was measured; None likewise.
        reason: Why there is no mask to rely on, one sentence; "" if there is one.
    """

    path: Path
    film: NDArray[np.uint8] | None = None
    right_lung: NDArray[np.bool_] | None = None
    left_lung: NDArray[np.bool_] | None = None
    found: FoundLungs | None = None
    reason: str = ""


def find_lungs_in_files(paths: Sequence[Path]) -> Iterator[FileLungs]:
    """Look for lungs in files, whatever they hold; yields one answer a path, in order."""
    for path in paths:
        try:
            yield _find(path)
        except FilmError as error:
            yield FileLungs(path=path, reason=str(error))
        except OSError as error:
            reason = f"The file cannot be read: {error.strerror or error}."
            yield FileLungs(path=path, reason=reason)


def _find(path: Path) -> FileLungs:
    pixels = decode_film(read_film_file(path)).pixels
    road = build_preprocessing(DataConfig(fit="squash", side_px=LUNG_SIDE_PX))
    found = load_lung_finder().find(prepare_film(pixels, road))
    low, high = np.percentile(pixels, (1, 99))
    grey = np.clip((pixels - low) / max(high - low, 1e-6), 0, 1) * 255
    return FileLungs(
        path=path,
        film=np.rint(grey).astype(np.uint8),
        right_lung=_enlarge(found.right_lung, pixels.shape),
        left_lung=_enlarge(found.left_lung, pixels.shape),
        found=found,
        reason=found.refusal,
    )


def _enlarge(lung: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    picture = Image.fromarray(lung.astype(np.uint8) * 255)
    enlarged = picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(enlarged) > 127


def write_lung_pictures(out: Path, answers: Sequence[FileLungs]) -> Path:
    """Write a mask (255 in the lungs) and a contour for each film, and `lungs.csv` over all.

    A film whose lungs were refused gets a contour, to see what was found, but no mask. A mask is of
    the film's size; a contour has a strip below that says what it must not be used for.

    Args:
        out: The folder.
        answers: One a file.

    Returns:
        The table.

    Raises:
        StorageError: The folder cannot be written.
    """
    rows = [_write_one(out, number, answer) for number, answer in enumerate(answers, start=1)]
    return write_safe_csv(out / "lungs.csv", _COLUMNS, rows)


def _write_one(out: Path, number: int, answer: FileLungs) -> tuple[str | float, ...]:
    film, right, left = answer.film, answer.right_lung, answer.left_lung
    if film is None or right is None or left is None or answer.found is None:
        return (str(answer.path), "", "", "", "", "", "", "", answer.reason)
    stem = f"{number:04d}-{answer.path.stem}"
    mask, contour = "", f"{stem}-contour.png"
    write_bytes(out / contour, _encode(_add_foot(_draw_contour(film, right, left))))
    if not answer.reason:
        mask = f"{stem}-mask.png"
        write_bytes(out / mask, _encode(((right | left) * 255).astype(np.uint8)))
    measures = answer.found.measures
    shares = (float((right | left).mean()), float(right.mean()), float(left.mean()))
    numbers = (*shares, measures.confidence, measures.agreement)
    rounded = (round(value, 4) for value in numbers)
    return (str(answer.path), mask, contour, *rounded, answer.reason)


def _draw_contour(
    film: NDArray[np.uint8], right: NDArray[np.bool_], left: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Draw the patient's right lung orange and the left one blue, thick enough to be seen."""
    width = max(1, max(film.shape) // 250)
    picture = np.repeat(film[..., None], 3, axis=2)
    for lung, colour in ((right, _RIGHT_RGB), (left, _LEFT_RGB)):
        picture[lung & ~ndimage.binary_erosion(lung, iterations=width)] = colour
    return picture


def _add_foot(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put below the picture what it must not be used for, as small as it can be read."""
    width = picture.shape[1]
    size = max(8, min(width // 28, 28))
    foot = Image.new("RGB", (width, 2 * size), "black")
    font = ImageFont.load_default(size)
    ImageDraw.Draw(foot).text((size // 2, size // 3), DISCLAIMER, fill="white", font=font)
    return np.concatenate([picture, np.asarray(foot)])


def _encode(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()
