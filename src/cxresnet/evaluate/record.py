"""What `evaluate` found, as one frozen record that writes and reads `metrics.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue, ValidationError

from cxresnet import DISCLAIMER
from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import write_json
from cxresnet.evaluate.alarm_record import Alarm
from cxresnet.evaluate.calibration_records import Calibration, CalibrationBin, ClassCalibration
from cxresnet.evaluate.clinical_records import (
    ClassThreshold,
    DecisionCurve,
    PredictiveValues,
    PrevalenceCurve,
)
from cxresnet.evaluate.results import (
    Baseline,
    ClassResult,
    Headline,
    PatientResult,
    Record,
    RocCurve,
    Slice,
    SourceCount,
    WorstSlice,
)
from cxresnet.metrics.calibration import compute_probabilities
from cxresnet.metrics.estimate import Estimate

__all__ = [
    "Baseline",
    "Calibration",
    "CalibrationBin",
    "ClassCalibration",
    "ClassResult",
    "Evaluation",
    "Headline",
    "LedgerRow",
    "OperatingPoint",
    "PatientResult",
    "Provenance",
    "RocCurve",
    "Slice",
    "SourceCount",
    "WorstSlice",
    "read_evaluation",
    "write_evaluation",
]


class OperatingPoint(Record):
    """How probabilities become a class; chosen on validation films only.

    A film is called the class with the largest `weights[c] * probability[c]`, where the
    probabilities are softmax(logits / temperature + shifts).

    Attributes:
        rule: "argmax" (the largest logit), "balanced" (1 / share of the class among the training
            films) or "youden" (1 / the probability at the best sensitivity + specificity of each
            class).
        temperature: The logits are divided by it; above 1 the network was too sure of itself.
        shifts: One a class, in log-odds; above 0 the network said the class too rarely. Empty for
            none. They change what is shown, not what is decided: the weights take them back.
        weights: One a class, mean 1.
        chosen_on: Which films chose it.
        scores: Balanced accuracy of each rule on those films, each film judged by a rule that was
            fitted without it.
    """

    rule: Literal["argmax", "balanced", "youden"]
    temperature: float
    shifts: tuple[float, ...] = ()
    weights: tuple[float, ...]
    chosen_on: str
    scores: dict[str, float]

    def calibrate(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Compute the probabilities that are shown, (films, classes), of logits of that shape."""
        return compute_probabilities(logits, temperature=self.temperature, shifts=self.shifts)


class LedgerRow(Record):
    """One opening of the sealed test.

    Attributes:
        number: 1 and up.
        opened_utc: ISO 8601, to the second.
        reason: Given by who opened it.
        run: Name of the run that it was opened for.
        network: SHA-256 of that run's weights.
        config: SHA-256 of the config that was in force.
        row_hash: SHA-256 of this row and all before it; "" where an older version did not keep it.
    """

    number: int
    opened_utc: str
    reason: str
    run: str
    network: str
    config: str
    row_hash: str = ""


class Provenance(Record):
    """Where the numbers come from, so that they can be made again.

    Attributes:
        dataset: Name of the folder of films.
        dataset_hash: Of the films that were judged.
        trained_on: Hash of the dataset that the network was trained on.
        checkpoint: SHA-256 of the network's weights.
        version: Of CXResnet.
        seed: Of the bootstrap.
        resamples: Times the groups were drawn again.
        confidence: Coverage aimed at by every interval.
        interval: How the intervals are made, one sentence.
        test_views: Views of each film that were averaged; 1 is the film alone.
        openings: How often the sealed test had been opened, this time included; None without seal.
        ledger: Every opening of the sealed test so far, those for pictures among them.
        config: Every key of the config section `evaluate` that was in force.
        config_hash: SHA-256 of it; the ledger has the same.
    """

    dataset: str
    dataset_hash: str
    trained_on: str
    checkpoint: str
    version: str
    seed: int
    resamples: int
    confidence: float
    interval: str
    test_views: int
    openings: int | None
    ledger: tuple[LedgerRow, ...] = ()
    config: dict[str, JsonValue] = Field(default={})
    config_hash: str = ""


class Evaluation(Record):
    """What `evaluate` found.

    Attributes:
        format: Of this file.
        disclaimer: Stands on every output.
        name: What was judged: "test", a fold's name, or the name of another dataset.
        class_names: Order of the confusion matrix and of everything by class.
        films: Films judged.
        patients: Independent groups among them.
        alarms: What makes the numbers too good to be true; empty if nothing does.
        headline: The numbers that stand for the whole.
        validation: The same on the validation films, which chose the network; None if unknown.
        cohens_kappa: Agreement of label and decision above chance, -1 to 1.
        confusion: Films by true class (row) and predicted class (column).
        confusion_rates: Share of each row, with interval.
        classes: One a class, in order.
        operating_point: How probabilities became classes.
        calibration: Whether 0.7 means seven of ten.
        class_thresholds: One class against the rest, by class and aim.
        prevalence_curves: Predictive values over prevalence, one a class, in order.
        at_prevalence: Predictive values for the prevalences that were asked for.
        decision_curves: One a class that these films show, in order.
        by_patient: One a class, in order.
        slices: Source, view, sex, age and image size, as far as known.
        worst_slice: The worst of them; None where fewer than two have numbers.
        baselines: What rules without lungs reach on the same films.
        best_baseline: Name of the one with the highest balanced accuracy on these films.
        counts: Films by class and source.
        data_verdict: What the training data betray, one sentence; "" if nobody asked.
        warnings: Sentences that must stand beside the numbers.
        provenance: Where the numbers come from.
    """

    format: Literal[2] = 2
    disclaimer: str = DISCLAIMER
    name: str
    class_names: tuple[str, ...]
    films: int
    patients: int
    alarms: tuple[Alarm, ...] = ()
    headline: Headline
    validation: Headline | None = None
    cohens_kappa: Estimate
    confusion: tuple[tuple[int, ...], ...]
    confusion_rates: tuple[tuple[Estimate, ...], ...]
    classes: tuple[ClassResult, ...]
    operating_point: OperatingPoint
    calibration: Calibration
    class_thresholds: tuple[ClassThreshold, ...] = ()
    prevalence_curves: tuple[PrevalenceCurve, ...] = ()
    at_prevalence: tuple[PredictiveValues, ...] = ()
    decision_curves: tuple[DecisionCurve, ...] = ()
    by_patient: tuple[PatientResult, ...]
    slices: tuple[Slice, ...]
    worst_slice: WorstSlice | None = None
    baselines: tuple[Baseline, ...]
    best_baseline: str | None
    counts: tuple[SourceCount, ...]
    data_verdict: str = ""
    warnings: tuple[str, ...]
    provenance: Provenance


def write_evaluation(path: Path, evaluation: Evaluation) -> Path:
    """Write `metrics.json` whole or not at all; returns the path."""
    return write_json(path, evaluation.model_dump(mode="json"))


def read_evaluation(path: Path) -> Evaluation:
    """Read `metrics.json`.

    Raises:
        RunFolderError: It is missing, or not of this version; run `cxresnet evaluate` again.
    """
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise RunFolderError(
            f"'{path}' is not there. Make it with 'cxresnet evaluate RUN'."
        ) from error
    except (OSError, ValidationError) as error:
        raise RunFolderError(
            f"'{path}' cannot be read as the metrics of this version. "
            "Make it again with 'cxresnet evaluate RUN'."
        ) from error
