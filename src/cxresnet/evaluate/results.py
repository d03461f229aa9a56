"""The parts of an evaluation: one frozen record for each kind of result."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cxresnet.core.errors import RunFolderError
from cxresnet.metrics.estimate import Estimate

__all__ = [
    "Baseline",
    "ClassResult",
    "GapScore",
    "Headline",
    "PatientResult",
    "Record",
    "RocCurve",
    "Slice",
    "SourceCount",
    "WorstSlice",
    "read_record",
]


class Record(BaseModel):
    """Frozen; unknown keys are refused, so that a file of another version is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


RecordKind = TypeVar("RecordKind", bound=Record)


def read_record(path: Path, kind: type[RecordKind], *, command: str) -> RecordKind:
    """Read a record that was written as JSON.

    Args:
        path: The file.
        kind: What it holds.
        command: What makes the file, for the message.

    Raises:
        RunFolderError: It is missing, or not of this version.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise RunFolderError(
            f"'{path}' is not there or cannot be read by this version. "
            f"Make it again with '{command}'."
        ) from error


class Headline(Record):
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


class RocCurve(Record):
    """One class against the rest; points from (0, 0) to (1, 1), in order.

    Attributes:
        false_positive_rate: Share of the other films called this class, 0 to 1.
        true_positive_rate: Share of the class's films called this class, 0 to 1.
        thresholds: Lowest probability still called this class; None at the point (0, 0).
    """

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    thresholds: tuple[float | None, ...]


class ClassResult(Record):
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


class PatientResult(Record):
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


class GapScore(Record):
    """One number on films like those that were learnt, on films from elsewhere, and between.

    Attributes:
        name: "macro_auroc", "balanced_accuracy", "auroc/CLASS", "sensitivity/CLASS", or, where each
            patient counts once, "patients_found/CLASS".
        internal: On films from sources that the network learnt from.
        external: On films from elsewhere.
        gap: Internal minus external; above 0 the network is worse elsewhere.
    """

    name: str
    internal: Estimate
    external: Estimate
    gap: Estimate


class Slice(Record):
    """The films of one kind.

    Attributes:
        factor: "source", "view", "sex", "age" or "image size".
        value: For example "PA"; "unknown" where nobody says.
        films: How many.
        patients: Independent groups among them.
        headline: Their numbers; classes that are absent here are left out of the means. None where
            the patients are too few for a number.
        reason: Why there is no number, one sentence; "" where there is.
    """

    factor: str
    value: str
    films: int
    patients: int
    headline: Headline | None
    reason: str = ""


class WorstSlice(Record):
    """The slice whose balanced accuracy is furthest below that of all other films.

    Attributes:
        factor: As of the slice.
        value: As of the slice.
        films: How many.
        patients: Independent groups among them.
        score: Balanced accuracy over the classes that both have: "internal" are the other films,
            "external" the slice. It was sought out, so that its interval is too narrow by itself.
        compared: How many slices it is the worst of.
        sentence: What that means, in plain words.
    """

    factor: str
    value: str
    films: int
    patients: int
    score: GapScore
    compared: int
    sentence: str


class Baseline(Record):
    """A rule that cannot know a disease from a lung, trained and tested on the same films.

    Attributes:
        name: Short and stable: "majority", "source", "record", "file", "border" or "thumbnail".
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


class SourceCount(Record):
    """Films of one class from one source.

    Attributes:
        class_name: The class.
        source: The source.
        films: How many.
        patients: Independent groups among them.
    """

    class_name: str
    source: str
    films: int
    patients: int
