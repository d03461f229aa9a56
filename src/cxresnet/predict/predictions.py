"""The predictions table: one row an image, between the network and everything that judges it.

As a file it is CSV after RFC 4180 in UTF-8. Logits are written so that they come back bit by bit;
the probabilities beside them are for readers and are checked against the logits when read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import write_text
from cxresnet.core.spreadsheet import shield_text, unshield_text

__all__ = ["Predictions", "concatenate_predictions", "read_predictions", "write_predictions"]

_TEXT_COLUMNS = ("image_id", "patient_id", "group_id", "source", "true_class")
_LOGIT, _PROBABILITY = "logit_", "probability_"
_TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What a network said about films, and what they show. Row i is the same film everywhere.

    Attributes:
        image_ids: Unique.
        patient_ids: "" where not known.
        group_ids: Patient with duplicates; films of one group are never independent.
        sources: Where each film comes from.
        truth: (films,), index into `class_names`; -1 where not known.
        logits: (films, classes), finite.
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
        films, classes = len(self.image_ids), len(self.class_names)
        texts = (self.patient_ids, self.group_ids, self.sources)
        if (
            any(len(column) != films for column in texts)
            or self.truth.shape != (films,)
            or self.logits.shape != (films, classes)
        ):
            raise ValueError(f"the columns do not all have {films} films and {classes} classes")
        if not np.isfinite(self.logits).all():
            raise ValueError("a logit is not finite")
        if films and not (self.truth.min() >= -1 and self.truth.max() < classes):
            raise ValueError(f"a true class is not among -1 to {classes - 1}")

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the logits as they are, (films, classes); rows sum to 1."""
        probabilities: NDArray[np.float64] = special.softmax(self.logits.astype(np.float64), axis=1)
        return probabilities

    def select(self, chosen: NDArray[np.bool_]) -> Predictions:
        """Take some of the films; `chosen` is a mask, (films,)."""
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


def write_predictions(path: Path, predictions: Predictions) -> Path:
    """Write the table whole or not at all; returns the path.

    Raises:
        StorageError: The file cannot be written.
    """
    names = predictions.class_names
    stream = io.StringIO(newline="")
    rows = csv.writer(stream, lineterminator="\r\n")
    rows.writerow(
        [
            *_TEXT_COLUMNS,
            *(f"{_LOGIT}{name}" for name in names),
            *(f"{_PROBABILITY}{name}" for name in names),
        ]
    )
    probabilities = predictions.probabilities.astype(np.float32)
    for row in range(len(predictions)):
        label = int(predictions.truth[row])
        texts = (
            predictions.image_ids[row],
            predictions.patient_ids[row],
            predictions.group_ids[row],
            predictions.sources[row],
            names[label] if label >= 0 else "",
        )
        numbers = (*predictions.logits[row], *probabilities[row])
        # str() of a float32 is the shortest text that reads back as the same float32.
        rows.writerow([*map(shield_text, texts), *map(str, numbers)])
    return write_text(path, stream.getvalue())


def read_predictions(path: Path) -> Predictions:
    """Read the table.

    Raises:
        RunFolderError: It is missing, torn or altered; says what is wrong and how to make it again.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream, strict=True)
        return _parse(header, rows)
    except FileNotFoundError as error:
        raise RunFolderError(
            f"'{path}' is not there. Make it with 'cxresnet evaluate RUN'."
        ) from error
    except (OSError, ValueError, csv.Error) as error:
        raise RunFolderError(
            f"'{path}' is no table of predictions: {error}. "
            "Make it again with 'cxresnet evaluate RUN'."
        ) from error


def _parse(header: list[str], rows: list[list[str]]) -> Predictions:
    names = tuple(name.removeprefix(_LOGIT) for name in header if name.startswith(_LOGIT))
    numbers = [f"{_LOGIT}{name}" for name in names] + [f"{_PROBABILITY}{name}" for name in names]
    if header != [*_TEXT_COLUMNS, *numbers] or not names:
        raise ValueError("its header is not the one that 'evaluate' writes")
    texts, labels = len(_TEXT_COLUMNS), {"": -1} | {name: i for i, name in enumerate(names)}
    columns: list[list[str]] = [[] for _ in _TEXT_COLUMNS]
    table = np.empty((len(rows), len(numbers)), dtype=np.float32)
    for place, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(f"line {place + 2} has {len(row)} cells instead of {len(header)}")
        for column, text in zip(columns, row, strict=False):
            column.append(unshield_text(text))
        table[place] = [float(text) for text in row[texts:]]
    unknown = [name for name in columns[4] if name not in labels]
    if unknown:
        raise ValueError(f"the true class '{unknown[0]}' is none of its classes")
    predictions = Predictions(
        image_ids=tuple(columns[0]),
        patient_ids=tuple(columns[1]),
        group_ids=tuple(columns[2]),
        sources=tuple(columns[3]),
        truth=np.array([labels[name] for name in columns[4]], dtype=np.int64),
        logits=table[:, : len(names)],
        class_names=names,
    )
    written = table[:, len(names) :]
    if not np.allclose(written, predictions.probabilities, rtol=0, atol=_TOLERANCE):
        raise ValueError("its probabilities do not belong to its logits")
    return predictions
