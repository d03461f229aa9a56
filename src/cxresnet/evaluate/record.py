"""What `evaluate` found, as one frozen record that writes and reads `metrics.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from cxresnet import DISCLAIMER
from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import write_json
from cxresnet.metrics.estimate import Estimate

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
    "read_evaluation",
    "write_evaluation",
]


class _Record(BaseModel):
    """Frozen; unknown keys are refused, so that a file of another version is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Headline(_Record):
    """The numbers that stand for the whole, each with its interval.

    Attributes:
        accuracy: Share of films put into the right class.
        balanced_accuracy: Mean of the classes' sensitivities.
        macro_f1: Mean of the classes' F1.
        macro_auroc: Mean of the classes' one-vs-rest areas under the ROC curve.
    """

    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    macro_auroc: Estimate


class RocCurve(_Record):
    """One class against the rest; points from (0, 0) to (1, 1), in order.

    Attributes:
        false_positive_rate: Share of the other films called this class, 0 to 1.
        true_positive_rate: Share of the class's films called this class, 0 to 1.
        thresholds: Lowest probability still called this class; None at the point (0, 0).
    """

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    thresholds: tuple[float | None, ...]


class ClassResult(_Record):
    """One class against the rest, at the operating point.

    Attributes:
        class_name: The class.
        films: Films that show it.
        patients: Independent groups among them.
        sensitivity: Share of its films that are found.
        specificity: Share of the other films that are not called it.
        ppv: Share of the films called it that show it; depends on how common it is here.
        npv: Share of the films not called it that do not show it; likewise.
        f1: Harmonic mean of sensitivity and ppv.
        auroc: Area under the ROC curve, ties counted half.
        average_precision: Area under the precision-recall curve, as a sum of steps.
        roc: None where the class or the rest is absent.
    """

    class_name: str
    films: int
    patients: int
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    f1: Estimate
    auroc: Estimate
    average_precision: Estimate
    roc: RocCurve | None


class CalibrationBin(_Record):
    """Films whose highest probability lies in one range.

    Attributes:
        low: Lower end of the range, 0 to 1.
        high: Upper end, included.
        films: Films in it.
        confidence: Mean of their highest probabilities; None without films.
        accuracy: Share of them for which that class is the true one; None without films.
    """

    low: float
    high: float
    films: int
    confidence: float | None
    accuracy: float | None


class Calibration(_Record):
    """Whether 0.7 means seven of ten.

    Attributes:
        bins: After the temperature.
        expected_calibration_error: Mean distance of confidence and accuracy, after the temperature.
        expected_calibration_error_before: The same on the network's own probabilities.
        brier: Mean squared distance of probabilities and truth, summed over classes, 0 to 2.
        negative_log_likelihood: Mean, in nats.
    """

    bins: tuple[CalibrationBin, ...]
    expected_calibration_error: Estimate
    expected_calibration_error_before: Estimate
    brier: Estimate
    negative_log_likelihood: Estimate


class OperatingPoint(_Record):
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


class PatientResult(_Record):
    """One class, patient by patient: the mean probability over a patient's films decides.

    Patients whose films show several classes are left out.

    Attributes:
        class_name: The class.
        patients: Patients who have it.
        recall: Share of them who are found.
    """

    class_name: str
    patients: int
    recall: Estimate


class Slice(_Record):
    """The films of one kind.

    Attributes:
        factor: "source", "view", "sex" or "age".
        value: For example "PA"; "unknown" where nobody says.
        films: How many.
        patients: Independent groups among them.
        headline: Their numbers; classes that are absent here are left out of the means.
    """

    factor: str
    value: str
    films: int
    patients: int
    headline: Headline


class Baseline(_Record):
    """A rule that cannot know a disease from a lung, trained and tested on the same films.

    Attributes:
        name: Short and stable: "majority", "source", "metadata" or "thumbnail".
        title: For people.
        sees: What it is given, one sentence.
        headline: Its numbers on the test films.
        lift: Balanced accuracy of the network above it, on the same films and resamples.
        lift_auroc: The same for macro AUROC.
        reason: Why it could not be tried; "" where it was.
    """

    name: str
    title: str
    sees: str
    headline: Headline | None
    lift: Estimate | None
    lift_auroc: Estimate | None
    reason: str = ""


class SourceCount(_Record):
    """Films of one class from one source."""

    class_name: str
    source: str
    films: int
    patients: int


class Provenance(_Record):
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


class Evaluation(_Record):
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
        slices: Source, view, sex and age, as far as known.
        baselines: What rules without lungs reach on the same films.
        best_baseline: Name of the one with the highest balanced accuracy on these films.
        counts: Films by class and source.
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
    baselines: tuple[Baseline, ...]
    best_baseline: str | None
    counts: tuple[SourceCount, ...]
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
