"""The predictions table: one row an image, between the network and everything that reads it.

Logits are written so that they come back bit by bit; the probabilities beside them are for readers
and are checked against the logits when the table is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxresnet import DISCLAIMER
from cxresnet.core.checksums import record_checksums, require_unaltered
from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import write_text
from cxresnet.data.manifest import read_safe_csv, write_safe_csv
from cxresnet.metrics.calibration import compute_probabilities

_TEXT_COLUMNS = ("image_id", "patient_id", "group_id", "source", "true_class")
_LOGIT, _PROBABILITY, _CALIBRATED = "logit_", "probability_", "calibrated_"
_TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Logits of images with their true classes. Row i is the same image in every column.

    Attributes:
        image_ids: Unique.
        patient_ids: "" where not known.
        group_ids: Patient with duplicates; images of one group are never independent.
        sources: Where each image comes from.
        truth: (images,), index into `class_names`; -1 where not known.
        logits: (images, classes), finite.
        class_names: Order of the logits.
    """

    image_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    group_ids: tuple[str, ...]
    sources: tuple[str, ...]
    truth: NDArray[np.int64]
    logits: NDArray[np.float32]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        images, classes = len(self.image_ids), len(self.class_names)
        texts = (self.patient_ids, self.group_ids, self.sources)
        if (
            any(len(column) != images for column in texts)
            or self.truth.shape != (images,)
            or self.logits.shape != (images, classes)
        ):
            raise ValueError(f"the columns do not all have {images} images and {classes} classes")
        if not np.isfinite(self.logits).all():
            raise ValueError("a logit is not finite")
        if images and not (self.truth.min() >= -1 and self.truth.max() < classes):
            raise ValueError(f"a true class is not among -1 to {classes - 1}")

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the logits as they are, (images, classes); rows sum to 1."""
        return compute_probabilities(self.logits)

    def select(self, chosen: NDArray[np.bool_]) -> Predictions:
        """Take some of the images; `chosen` is a mask, (images,)."""
        rows = np.flatnonzero(chosen).tolist()

        def take(column: Sequence[str]) -> tuple[str, ...]:
            return tuple(column[row] for row in rows)

        return Predictions(
            image_ids=take(self.image_ids),
            patient_ids=take(self.patient_ids),
            group_ids=take(self.group_ids),
            sources=take(self.sources),
            truth=self.truth[rows],
            logits=self.logits[rows],
            class_names=self.class_names,
        )


def concatenate_predictions(tables: Sequence[Predictions]) -> Predictions:
    """Put tables of the same classes under one another.

    Args:
        tables: At least one.
    """
    names = tables[0].class_names
    if any(table.class_names != names for table in tables):
        raise ValueError("the tables have different classes")
    return Predictions(
        image_ids=tuple(text for table in tables for text in table.image_ids),
        patient_ids=tuple(text for table in tables for text in table.patient_ids),
        group_ids=tuple(text for table in tables for text in table.group_ids),
        sources=tuple(text for table in tables for text in table.sources),
        truth=np.concatenate([table.truth for table in tables]),
        logits=np.concatenate([table.logits for table in tables]),
        class_names=names,
    )


def average_predictions(tables: Sequence[Predictions]) -> Predictions:
    """Average the logits of each image over the tables that have it, in order of appearance.

    Args:
        tables: At least one.
    """
    joined = concatenate_predictions(tables)
    names, first, place = np.unique(
        np.array(joined.image_ids), return_index=True, return_inverse=True
    )
    sums = np.zeros((len(names), len(joined.class_names)))
    np.add.at(sums, place, joined.logits)
    means = sums / np.bincount(place, minlength=len(names))[:, None]
    kept = np.zeros(len(joined), dtype=np.bool_)
    kept[first] = True
    chosen = joined.select(kept)
    return replace(chosen, logits=means[place[kept]].astype(np.float32))


def write_predictions(
    path: Path,
    predictions: Predictions,
    *,
    verdict: str = "",
    calibrated: NDArray[np.float64] | None = None,
) -> Path:
    """Write the table whole or not at all; returns the path.

    The table has no comments, so that everything reads it. What must be known before it is read
    stands in a file beside it: `predictions.about.txt` beside `predictions.csv`.

    Args:
        path: The table.
        predictions: What to write.
        verdict: On the data that the network was trained on; "" where they were not audited.
        calibrated: Calibrated probabilities, (images, classes), written beside the
            raw ones; None where nothing was calibrated.

    Raises:
        StorageError: The file cannot be written.
    """
    write_text(path.with_suffix(".about.txt"), _describe_table(path, predictions, verdict=verdict))
    names = predictions.class_names
    true_classes = [names[label] if label >= 0 else "" for label in predictions.truth.tolist()]
    texts = (
        predictions.image_ids,
        predictions.patient_ids,
        predictions.group_ids,
        predictions.sources,
        true_classes,
    )
    # A float32 is written as the shortest text that reads back as the same float32.
    shares = [predictions.probabilities, *([] if calibrated is None else [calibrated])]
    numbers = [*predictions.logits.T, *(row for one in shares for row in one.astype(np.float32).T)]
    columns = _list_columns(names, calibrated=calibrated is not None)
    write_safe_csv(path, columns, zip(*texts, *numbers, strict=True))
    record_checksums(path)
    return path


def read_predictions(path: Path) -> Predictions:
    """Read the table.

    Raises:
        RunFolderError: It is missing, torn or altered; says what is wrong and how to make it again.
    """
    require_unaltered(path, way_out="Make it again with 'cxresnet evaluate RUN'.")
    try:
        return _parse(*read_safe_csv(path))
    except FileNotFoundError as error:
        raise RunFolderError(
            f"There is no '{path}'. Make it with 'cxresnet evaluate RUN'."
        ) from error
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"'{path}' is not a table of predictions: {error}. "
            "Make it again with 'cxresnet evaluate RUN'."
        ) from error


def _describe_table(path: Path, predictions: Predictions, *, verdict: str) -> str:
    lines = [
        f"{path.name}: predictions of a network for {len(predictions)} images.",
        DISCLAIMER,
        verdict or "Verdict on the data: not audited.",
        "",
        f"{', '.join(_TEXT_COLUMNS)}: the image, and its true class where one is recorded.",
        f"{_LOGIT}CLASS: logits of the network, before calibration.",
        f"{_PROBABILITY}CLASS: their softmax, before calibration.",
        f"{_CALIBRATED}CLASS, if present: calibrated probabilities, as in report and 'predict'.",
    ]
    return "\n".join(lines) + "\n"


def _list_columns(class_names: Sequence[str], *, calibrated: bool) -> list[str]:
    kinds = (_LOGIT, _PROBABILITY, *([_CALIBRATED] if calibrated else []))
    return [*_TEXT_COLUMNS, *(f"{kind}{name}" for kind in kinds for name in class_names)]


def _parse(header: list[str], columns: Sequence[Sequence[str]]) -> Predictions:
    names = tuple(name.removeprefix(_LOGIT) for name in header if name.startswith(_LOGIT))
    known = [_list_columns(names, calibrated=calibrated) for calibrated in (False, True)]
    if not names or header not in known:
        raise ValueError("its header is not the one that 'evaluate' writes")
    texts, numbers = columns[: len(_TEXT_COLUMNS)], columns[len(_TEXT_COLUMNS) :]
    table = np.array([[float(text) for text in column] for column in numbers]).T
    labels = {"": -1} | {name: index for index, name in enumerate(names)}
    unknown = [name for name in texts[4] if name not in labels]
    if unknown:
        raise ValueError(f"the true class '{unknown[0]}' is not one of its classes")
    predictions = Predictions(
        image_ids=tuple(texts[0]),
        patient_ids=tuple(texts[1]),
        group_ids=tuple(texts[2]),
        sources=tuple(texts[3]),
        truth=np.array([labels[name] for name in texts[4]], dtype=np.int64),
        logits=table[:, : len(names)].astype(np.float32),
        class_names=names,
    )
    written = table[:, len(names) : 2 * len(names)]
    if not np.allclose(written, predictions.probabilities, rtol=0, atol=_TOLERANCE):
        raise ValueError("its probabilities do not belong to its logits")
    return predictions
