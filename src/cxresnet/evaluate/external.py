"""External test: images of another dataset beside those of the held-out test; `external.json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from cxresnet import DISCLAIMER
from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.record import Record, read_record, write_record
from cxresnet.core.run_folder import RunFolder
from cxresnet.evaluate.generalisation_gap import (
    EvaluatedSide,
    choose_headline_score,
    describe_generalisation_gap,
    measure_generalisation_gaps,
)
from cxresnet.evaluate.record import Evaluation, read_evaluation
from cxresnet.evaluate.results import GeneralisationGap
from cxresnet.evaluate.scores import PatientResult
from cxresnet.metrics.paired import compare_independent
from cxresnet.predict.decision import OperatingPoint, apply_operating_point
from cxresnet.predict.predictions import Predictions, read_predictions

EXTERNAL_NAME = "external.json"
"""Name of the file in a folder `evaluate-NAME` of a run."""


class ExternalTest(Record):
    """`external.json`: the same network on the held-out test and on external images.

    Attributes:
        format: Version of this file.
        disclaimer: Stands on every output.
        name: Of the other dataset.
        classes: Classes that both sides have; only images of these are compared.
        missing_classes: Classes of the network that the other dataset does not have.
        internal_images: Images of the held-out test that are compared.
        external_images: External images that are compared.
        external_patients: Independent groups among them.
        scores: Internal, external and gap; sensitivity alone where there is a single class.
        by_patient: Sensitivity by patient, of patients whose images all show one class.
        sentence: Interpretation in plain words.
        reason: Why there is no comparison, one sentence; "" where there is.
    """

    format: Literal[2] = 2
    disclaimer: str = DISCLAIMER
    name: str
    classes: tuple[str, ...]
    missing_classes: tuple[str, ...]
    internal_images: int
    external_images: int
    external_patients: int
    scores: tuple[GeneralisationGap, ...]
    by_patient: tuple[GeneralisationGap, ...] = ()
    sentence: str
    reason: str = ""


def compare_with_internal(
    run: RunFolder, predictions: Predictions, evaluation: Evaluation, *, config: EvaluateConfig
) -> ExternalTest:
    """Compare external images with those of the held-out test, for the same network.

    The held-out test is not opened again: the results of an earlier `evaluate` are read.

    Args:
        run: Its held-out test was evaluated before, or the record says that it was not.
        predictions: Of the external images.
        evaluation: Of the same images.
        config: Of the intervals.
    """
    external = _take_known(predictions, evaluation.operating_point, prefix="external")
    names = predictions.class_names
    present = external.find_classes()
    before, reason = _read_internal(run, evaluation)
    internal: EvaluatedSide | None = None
    scores: tuple[GeneralisationGap, ...] = ()
    by_patient: tuple[GeneralisationGap, ...] = ()
    classes: set[int] = set()
    if before is not None:
        table = read_predictions(run.predictions)
        internal = _take_known(table, evaluation.operating_point, prefix="internal")
        classes = internal.find_classes() & present
        if classes:
            pair = {evaluation.name: (internal, external)}
            scores = measure_generalisation_gaps(pair, config=config).by_name[evaluation.name]
            by_patient = compare_patients(before.by_patient, evaluation.by_patient)
        else:
            reason = "The held-out test and the external images have no class in common."
    kept = external.select(np.isin(external.evaluated.truth, sorted(classes)))
    return ExternalTest(
        name=evaluation.name,
        classes=tuple(names[index] for index in sorted(classes)),
        missing_classes=tuple(name for index, name in enumerate(names) if index not in present),
        internal_images=_count(internal, classes),
        external_images=len(kept.image_ids),
        external_patients=len(set(kept.group_ids)),
        scores=scores,
        by_patient=by_patient,
        sentence=_describe(scores, name=evaluation.name) if scores else reason,
        reason=reason,
    )


def _describe(scores: Sequence[GeneralisationGap], *, name: str) -> str:
    return describe_generalisation_gap(choose_headline_score(scores), where=f"on {name}")


def compare_patients(
    internal: Sequence[PatientResult], external: Sequence[PatientResult]
) -> tuple[GeneralisationGap, ...]:
    """Compare external patients with those of the held-out test, by class.

    Args:
        internal: Of the held-out test.
        external: Of other patients, classified by the same network.

    Returns:
        One a class that patients on both sides have, named "patient_sensitivity/CLASS".
    """
    recall_of = {result.class_name: result.recall for result in internal if result.patients}
    return tuple(
        GeneralisationGap(
            name=f"patient_sensitivity/{result.class_name}",
            internal=recall_of[result.class_name],
            external=result.recall,
            generalisation_gap=compare_independent(recall_of[result.class_name], result.recall),
        )
        for result in external
        if result.patients and result.class_name in recall_of
    )


def write_external(path: Path, result: ExternalTest) -> Path:
    """Write `external.json` whole or not at all; returns the path."""
    return write_record(path, result)


def read_external(path: Path) -> ExternalTest:
    """Read `external.json`.

    Raises:
        RunFolderError: It is missing, or not of this version.
    """
    return read_record(path, ExternalTest, command="cxresnet evaluate RUN --data OTHER")


def list_external_folders(run: RunFolder) -> list[Path]:
    """List the folders of a run with external tests, by name."""
    return sorted(path.parent for path in run.path.glob(f"evaluate-*/{EXTERNAL_NAME}"))


def _read_internal(run: RunFolder, evaluation: Evaluation) -> tuple[Evaluation | None, str]:
    """Read the held-out test of the same network; None, and the reason, where there is none."""
    again = "Run 'cxresnet evaluate RUN' first, then this again, to get the generalisation gap."
    if not run.metrics.is_file() or not run.predictions.is_file():
        return None, f"The held-out test of this run is not evaluated yet. {again}"
    before = read_evaluation(run.metrics)
    if before.provenance.checkpoint != evaluation.provenance.checkpoint:
        return None, f"The held-out test was evaluated with another network. {again}"
    return before, ""


def _take_known(table: Predictions, point: OperatingPoint, *, prefix: str) -> EvaluatedSide:
    known = table.select(table.truth >= 0)
    return EvaluatedSide(
        evaluated=apply_operating_point(known, point),
        image_ids=tuple(f"{prefix}/{image_id}" for image_id in known.image_ids),
        group_ids=tuple(f"{prefix}/{group}" for group in known.group_ids),
    )


def _count(side: EvaluatedSide | None, classes: set[int]) -> int:
    return 0 if side is None else int(np.isin(side.evaluated.truth, sorted(classes)).sum())
