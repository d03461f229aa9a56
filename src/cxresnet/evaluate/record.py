"""What `evaluate` found, as one frozen record that writes and reads `metrics.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from cxresnet import DISCLAIMER
from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import write_json
from cxresnet.evaluate.results import (
    Baseline,
    Calibration,
    CalibrationBin,
    ClassResult,
    Headline,
    PatientResult,
    Record,
    RocCurve,
    Slice,
    SourceCount,
    WorstSlice,
)

__all__ = [
    "Baseline",
    "Calibration",
    "CalibrationBin",
    "ClassResult",
    "Evaluation",
    "Headline",
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
    probabilities are softmax(logits / temperature).

    Attributes:
        rule: "argmax" (weights 1), "balanced" (1 / share of the class among the training films)
            or "youden" (1 / the probability at the best sensitivity + specificity of each class).
        temperature: The logits are divided by it; above 1 the network was too sure of itself.
        weights: One a class, mean 1.
        chosen_on: Which films chose it.
        scores: Balanced accuracy of each rule on those films, each film judged by a rule that was
            fitted without it.
    """

    rule: Literal["argmax", "balanced", "youden"]
    temperature: float
    weights: tuple[float, ...]
    chosen_on: str
    scores: dict[str, float]


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


class Evaluation(Record):
    """What `evaluate` found.

    Attributes:
        format: Of this file.
        disclaimer: Stands on every output.
        name: What was judged: "test", a fold's name, or the name of another dataset.
        class_names: Order of the confusion matrix and of everything by class.
        films: Films judged.
        patients: Independent groups among them.
        headline: The numbers that stand for the whole.
        confusion: Films by true class (row) and predicted class (column).
        classes: One a class, in order.
        operating_point: How probabilities became classes.
        calibration: Whether 0.7 means seven of ten.
        by_patient: One a class, in order.
        slices: Source, view, sex, age and image size, as far as known.
        worst_slice: The lowest of them; None where fewer than two have numbers.
        baselines: What rules without lungs reach on the same films.
        best_baseline: Name of the one with the highest balanced accuracy on these films.
        counts: Films by class and source.
        data_verdict: What the training data betray, one sentence; "" if nobody asked.
        warnings: Sentences that must stand beside the numbers.
        provenance: Where the numbers come from.
    """

    format: Literal[1] = 1
    disclaimer: str = DISCLAIMER
    name: str
    class_names: tuple[str, ...]
    films: int
    patients: int
    headline: Headline
    confusion: tuple[tuple[int, ...], ...]
    classes: tuple[ClassResult, ...]
    operating_point: OperatingPoint
    calibration: Calibration
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
