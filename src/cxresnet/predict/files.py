"""Image files as they are on disk: the logits of each file, or the reason why it was refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.errors import ImageError
from cxresnet.data.sources.source import MAX_FILE_BYTES
from cxresnet.predict.predictor import Predictor


@dataclass(frozen=True, kw_only=True)
class FilePrediction:
    """The network's prediction for one file, or why there is none.

    Attributes:
        path: The file as given.
        logits: One a class, in the network's order; None where the file was refused.
        code: One short word where it was refused, as `ImageError.code`; else "".
        reason: One sentence where it was refused; else "".
    """

    path: Path
    logits: tuple[float, ...] | None
    code: str = ""
    reason: str = ""


def predict_files(
    predictor: Predictor, paths: Sequence[Path], *, batch_size: int = 64
) -> Iterator[FilePrediction]:
    """Run the network on files, whatever they hold.

    Args:
        predictor: The network.
        paths: Files, not folders.
        batch_size: Images in memory at once.

    Yields:
        One prediction a path, in order.
    """
    for start in range(0, len(paths), batch_size):
        batch = paths[start : start + batch_size]
        prepared = [_prepare(predictor, path) for path in batch]
        images = [image for image in prepared if not isinstance(image, ImageError)]
        rows = iter(_compute_logits(predictor, images))
        for path, image in zip(batch, prepared, strict=True):
            if isinstance(image, ImageError):
                yield FilePrediction(path=path, logits=None, code=image.code, reason=str(image))
            else:
                yield FilePrediction(path=path, logits=next(rows))


def _prepare(predictor: Predictor, path: Path) -> NDArray[np.uint8] | ImageError:
    try:
        return predictor.prepare(read_image_file(path))
    except ImageError as error:
        return error
    except OSError as error:
        return ImageError("unreadable", f"The file cannot be read: {error.strerror or error}.")


def read_image_file(path: Path) -> bytes:
    """Read a plain file; never opens a device or a pipe, which could block for ever.

    Raises:
        ImageError: "missing", "not-a-file" or "too-large".
        OSError: The file cannot be read.
    """
    if not path.exists():
        raise ImageError("missing", "There is no such file.")
    if not path.is_file():
        raise ImageError("not-a-file", "It is a folder, a pipe or a device, not a file.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ImageError(
            "too-large", f"The file has more than {MAX_FILE_BYTES // 2**20} MiB. Reduce it first."
        )
    return path.read_bytes()


def _compute_logits(
    predictor: Predictor, images: Sequence[NDArray[np.uint8]]
) -> list[tuple[float, ...]]:
    if not images:
        return []
    logits = predictor.predict_images(np.stack(images), batch_size=len(images))
    return [tuple(map(float, row)) for row in logits]
