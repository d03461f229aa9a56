"""Files that nobody prepared: one answer a file, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cxresnet.core.errors import FilmError
from cxresnet.data.sources.store import MAX_FILE_BYTES
from cxresnet.predict.predictor import Predictor

__all__ = ["FilePrediction", "predict_files", "read_film_file"]


@dataclass(frozen=True, kw_only=True)
class FilePrediction:
    """What the network said about one file, or why it was not asked.

    Attributes:
        path: The file as given.
        probabilities: One a class, in the network's order; None where the file was refused.
        code: One short word where it was refused, as `FilmError.code`; else "".
        reason: One sentence where it was refused; else "".
    """

    path: Path
    probabilities: tuple[float, ...] | None
    code: str = ""
    reason: str = ""


def predict_files(
    predictor: Predictor, paths: Sequence[Path], *, batch_size: int = 64
) -> Iterator[FilePrediction]:
    """Ask the network about files, whatever they hold.

    Args:
        predictor: The network.
        paths: Files, not folders.
        batch_size: Films in memory at once.

    Yields:
        One answer a path, in order.
    """
    for start in range(0, len(paths), batch_size):
        batch = paths[start : start + batch_size]
        prepared = [_prepare(predictor, path) for path in batch]
        films = [film for film in prepared if not isinstance(film, FilmError)]
        answers = iter(_compute_probabilities(predictor, films))
        for path, film in zip(batch, prepared, strict=True):
            if isinstance(film, FilmError):
                yield FilePrediction(
                    path=path, probabilities=None, code=film.code, reason=str(film)
                )
            else:
                yield FilePrediction(path=path, probabilities=next(answers))


def _prepare(predictor: Predictor, path: Path) -> NDArray[np.uint8] | FilmError:
    try:
        return predictor.prepare(read_film_file(path))
    except FilmError as error:
        return error
    except OSError as error:
        return FilmError("unreadable", f"The file cannot be read: {error.strerror or error}.")


def read_film_file(path: Path) -> bytes:
    """Read a plain file; never opens a device or a pipe, which could wait for ever.

    Raises:
        FilmError: "missing", "not-a-file" or "too-large".
        OSError: The file cannot be read.
    """
    if not path.exists():
        raise FilmError("missing", "There is no such file.")
    if not path.is_file():
        raise FilmError("not-a-file", "It is a folder, a pipe or a device, not a file.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise FilmError(
            "too-large", f"The file has more than {MAX_FILE_BYTES // 2**20} MiB. Reduce it first."
        )
    return path.read_bytes()


def _compute_probabilities(
    predictor: Predictor, films: Sequence[NDArray[np.uint8]]
) -> list[tuple[float, ...]]:
    if not films:
        return []
    logits = predictor.predict_films(np.stack(films), batch_size=len(films))
    return [tuple(map(float, row)) for row in special.softmax(logits.astype(np.float64), axis=1)]
