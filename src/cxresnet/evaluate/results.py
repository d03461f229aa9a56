"""Records that several topics of an evaluation share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cxresnet.core.record import Record
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import Key

Aim = Literal["sensitivity", "youden", "cost"]


class Headline(Record):
    """The main scores of an evaluation, each with its interval.

    Attributes:
        accuracy: Share of images assigned to the right class.
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
        false_positive_rate: Share of the other images predicted as this class, 0 to 1.
        true_positive_rate: Share of the class's images predicted as this class, 0 to 1.
        thresholds: Lowest probability still predicted as this class; None at the point (0, 0).
    """

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    thresholds: tuple[float | None, ...]


class ClassResult(Record):
    """One class against the rest, at the operating point.

    Attributes:
        class_name: The class.
        images: Images that show it.
        patients: Independent groups among them.
        sensitivity: Share of its images that are predicted as it.
        specificity: Share of the other images that are not predicted as it.
        ppv: Share of the images predicted as it that show it; depends on its prevalence here.
        npv: Share of the images not predicted as it that do not show it; likewise.
        f1: Harmonic mean of sensitivity and ppv.
        auroc: Area under the ROC curve, ties counted half.
        average_precision: Area under the precision-recall curve, as a sum of steps.
        roc: None where the class or the rest is absent.
    """

    class_name: str
    images: int
    patients: int
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    f1: Estimate
    auroc: Estimate
    average_precision: Estimate
    roc: RocCurve | None


class GeneralisationGap(Record):
    """One score on internal images, on external images, and the difference.

    Attributes:
        name: "macro_auroc", "balanced_accuracy", "auroc/CLASS", "sensitivity/CLASS", or, where each
            patient counts once, "patient_sensitivity/CLASS".
        internal: On images from sources that the network was trained on.
        external: On images from other sources.
        generalisation_gap: Internal minus external; above 0 the network is worse on external
            images.
    """

    name: str
    internal: Estimate
    external: Estimate
    generalisation_gap: Estimate

    @property
    def title(self) -> str:
        """The name of the score for people, for example "AUROC of covid-19"."""
        return name_score(self.name)

    @property
    def is_of_one_class(self) -> bool:
        """Whether the score is about one class, not about the whole."""
        return "/" in self.name


class AccessLogEntry(Record):
    """One access to the held-out test set.

    Attributes:
        number: 1 and up.
        accessed_utc: ISO 8601, to the second.
        reason: Given by the command that opened it.
        run: Name of the run that it was opened for.
        network: SHA-256 of that run's weights.
        config: SHA-256 of the config that was in force.
        row_hash: SHA-256 of this row and all before it; "" where an older version did not keep it.
    """

    number: int
    accessed_utc: str
    reason: str
    run: str
    network: str
    config: str
    row_hash: str = ""


class BinaryScores(Record):
    """One class against the rest at one threshold.

    Attributes:
        sensitivity: Share of the images that show the class whose probability reaches the
            threshold.
        specificity: Share of the other images whose probability does not.
        ppv: Share of the images that reach the threshold that show the class, at its prevalence
            here.
        npv: Share of the images that do not reach it that do not show the class; likewise.
    """

    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate


@dataclass(frozen=True, kw_only=True)
class ChosenThreshold:
    """A threshold for one class against the rest, as chosen on validation images.

    Attributes:
        class_index: The class.
        aim: Its purpose.
        goal: The aim with its number, for people.
        threshold: Calibrated probability, 0 to 1.
        chosen_on: Which images chose it.
        on_validation: Its scores on those images.
    """

    class_index: int
    aim: Aim
    goal: str
    threshold: float
    chosen_on: str
    on_validation: BinaryScores

    @property
    def key(self) -> tuple[str | int, ...]:
        """Prefix of the names of its statistics."""
        return ("threshold", self.class_index, self.aim)


def join_key(key: Key) -> str:
    """Join a score's key to the name that stands in files.

    >>> join_key(("sensitivity", "covid-19"))
    'sensitivity/covid-19'
    """
    return key if isinstance(key, str) else "/".join(map(str, key))


def name_score(name: str) -> str:
    """Name a score for people.

    Args:
        name: As it stands in files.

    >>> name_score("macro_auroc"), name_score("auroc/covid-19"), name_score("sensitivity/a_b")
    ('macro AUROC', 'AUROC of covid-19', 'sensitivity of a_b')
    """
    score, _, class_name = name.partition("/")
    title = score.replace("_", " ").replace("auroc", "AUROC").replace("f1", "F1")
    return f"{title} of {class_name}" if class_name else title
