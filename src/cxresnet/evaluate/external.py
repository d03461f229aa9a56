"""Films from elsewhere beside those of the sealed test: `external.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from cxresnet import DISCLAIMER
from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.files import write_json
from cxresnet.core.run_folder import RunFolder
from cxresnet.evaluate.gap import (
    JudgedSide,
    choose_headline_score,
    compare_patients,
    describe_gap,
    measure_gaps,
)
from cxresnet.evaluate.operating_point import judge
from cxresnet.evaluate.record import Evaluation, OperatingPoint, read_evaluation
from cxresnet.evaluate.results import GapScore, Record, read_record
from cxresnet.predict.predictions import Predictions, read_predictions

__all__ = [
    "EXTERNAL_NAME",
    "ExternalTest",
    "compare_with_internal",
    "list_external_folders",
    "read_external",
    "write_external",
]

EXTERNAL_NAME = "external.json"
"""Name of the file in a folder `evaluate-NAME` of a run."""


class ExternalTest(Record):
    """`external.json`: the same network on the sealed test and on films from elsewhere.

    Attributes:
        format: Version of this file.
        disclaimer: Stands on every output.
        name: Of the other dataset.
        classes: Classes that both sides have; only films of these are compared.
        missing_classes: Classes of the network that the other dataset does not have.
        internal_films: Films of the sealed test that are compared.
        external_films: Films from elsewhere that are compared.
        external_patients: Independent groups among them.
        scores: Internal, external and gap; sensitivity alone where there is a single class.
        by_patient: The same patient by patient: found, of those whose films all show one class.
        sentence: What that means, in plain words.
        reason: Why there is no comparison, one sentence; "" where there is.
    """

    format: Literal[1] = 1
    disclaimer: str = DISCLAIMER
    name: str
    classes: tuple[str, ...]
    missing_classes: tuple[str, ...]
    internal_films: int
    external_films: int
    external_patients: int
    scores: tuple[GapScore, ...]
    by_patient: tuple[GapScore, ...] = ()
    sentence: str
    reason: str = ""


def compare_with_internal(
    run: RunFolder, predictions: Predictions, evaluation: Evaluation, *, config: EvaluateConfig
) -> ExternalTest:
    """Set films from elsewhere beside those of the sealed test, judged by the same network.

    The sealed test is not opened again: what an earlier `evaluate` wrote is read.

    Args:
        run: Its sealed test was evaluated before, or the record says that it was not.
        predictions: Of the films from elsewhere.
        evaluation: Of the same films.
        config: Of the intervals.
    """
    external = _take_known(predictions, evaluation.operating_point, prefix="elsewhere")
    present = external.find_classes()
    names = predictions.class_names
    missing = tuple(name for index, name in enumerate(names) if index not in present)
    before, reason = _read_internal(run, evaluation)
    internal: JudgedSide | None = None
    scores: tuple[GapScore, ...] = ()
    by_patient: tuple[GapScore, ...] = ()
    classes: set[int] = set()
    if before is not None:
        table = read_predictions(run.predictions)
        internal = _take_known(table, evaluation.operating_point, prefix="sealed test")
        classes = internal.find_classes() & present
        if classes:
            pair = {evaluation.name: (internal, external)}
            scores = measure_gaps(pair, config=config).by_name[evaluation.name]
            by_patient = compare_patients(before.by_patient, evaluation.by_patient)
        else:
            reason = "The sealed test has none of the classes that are there."
    compared = np.isin(external.judged.truth, sorted(classes))
    kept = external.select(compared)
    where = f"in {evaluation.name}"
    sentence = describe_gap(choose_headline_score(scores), where=where) if scores else reason
    return ExternalTest(
        name=evaluation.name,
        classes=tuple(names[index] for index in sorted(classes)),
        missing_classes=missing,
        internal_films=_count(internal, classes),
        external_films=len(kept.image_ids),
        external_patients=len(set(kept.group_ids)),
        scores=scores,
        by_patient=by_patient,
        sentence=sentence,
        reason=reason,
    )


def write_external(path: Path, result: ExternalTest) -> Path:
    """Write `external.json` whole or not at all; returns the path."""
    return write_json(path, result.model_dump(mode="json"))


def read_external(path: Path) -> ExternalTest:
    """Read `external.json`.

    Raises:
        RunFolderError: It is missing, or not of this version.
    """
    return read_record(path, ExternalTest, command="cxresnet evaluate RUN --data OTHER")


def list_external_folders(run: RunFolder) -> list[Path]:
    """List the folders of a run in which films from elsewhere were compared, by name."""
    return sorted(path.parent for path in run.path.glob(f"evaluate-*/{EXTERNAL_NAME}"))


def _read_internal(run: RunFolder, evaluation: Evaluation) -> tuple[Evaluation | None, str]:
    """Read how the same network did in the sealed test; None, and why, where it did not."""
    again = "Run 'cxresnet evaluate RUN' first, then this again, for internal, external and gap."
    if not run.metrics.is_file() or not run.predictions.is_file():
        return None, f"The sealed test of this run is not evaluated yet. {again}"
    before = read_evaluation(run.metrics)
    if before.provenance.checkpoint != evaluation.provenance.checkpoint:
        return None, f"The sealed test was evaluated with another network. {again}"
    return before, ""


def _take_known(table: Predictions, point: OperatingPoint, *, prefix: str) -> JudgedSide:
    known = table.select(table.truth >= 0)
    return JudgedSide(
        judged=judge(known, point),
        image_ids=tuple(f"{prefix}/{image_id}" for image_id in known.image_ids),
        group_ids=tuple(f"{prefix}/{group}" for group in known.group_ids),
    )


def _count(side: JudgedSide | None, classes: set[int]) -> int:
    return 0 if side is None else int(np.isin(side.judged.truth, sorted(classes)).sum())
