"""What the numbers mean for somebody who acts on them: thresholds, predictive values, benefit."""

from __future__ import annotations

from typing import Literal

from cxresnet.evaluate.results import Record
from cxresnet.metrics.estimate import Estimate

__all__ = [
    "Aim",
    "BinaryScores",
    "ClassThreshold",
    "DecisionCurve",
    "PredictiveValues",
    "PrevalenceCurve",
]

Aim = Literal["sensitivity", "youden", "cost"]


class BinaryScores(Record):
    """One class against the rest at one threshold.

    Attributes:
        sensitivity: Share of the films that show the class whose probability reaches the threshold.
        specificity: Share of the other films whose probability does not.
        ppv: Share of the films that reach it that show the class, as common as it is here.
        npv: Share of the films that do not reach it that do not show the class; likewise.
    """

    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate


class PredictiveValues(Record):
    """What an answer is worth where a class is so common.

    Attributes:
        class_name: The class.
        prevalence: Share of films that show it there, 0 to 1.
        ppv: Share of the films called it that show it.
        npv: Share of the films not called it that do not show it.
    """

    class_name: str
    prevalence: float
    ppv: Estimate
    npv: Estimate


class ClassThreshold(Record):
    """From which probability on a film is taken to show a class, if that is the only question.

    Attributes:
        class_name: The class.
        aim: What the threshold was chosen for: "sensitivity" (the highest with at least so much of
            it), "youden" (the best sensitivity + specificity) or "cost" (the least cost).
        goal: The aim with its number, in words.
        threshold: Calibrated probability, 0 to 1; films that reach it are called the class.
        chosen_on: Which films chose it.
        on_validation: What it gives on the films that chose it: too good by nature.
        reached: What it gives on the films that are judged.
        at_prevalence: PPV and NPV on those films for the prevalence that was asked for; None where
            none was.
    """

    class_name: str
    aim: Aim
    goal: str
    threshold: float
    chosen_on: str
    on_validation: BinaryScores
    reached: BinaryScores
    at_prevalence: PredictiveValues | None = None


class PrevalenceCurve(Record):
    """Predictive values of the network's answers over prevalence.

    Attributes:
        class_name: The class.
        positive_likelihood_ratio: Factor by which being called the class multiplies its odds.
        negative_likelihood_ratio: Factor by which not being called it does.
        points: From rare to common.
    """

    class_name: str
    positive_likelihood_ratio: Estimate
    negative_likelihood_ratio: Estimate
    points: tuple[PredictiveValues, ...]


class DecisionCurve(Record):
    """Whether acting on the probability of a class does more good than acting on all or on none.

    Attributes:
        class_name: The class that is acted on.
        prevalence: Its share of the films that are judged; the curve holds for it.
        thresholds: Probability from which on one acts, in order.
        net_benefit: Of acting on the network, one a threshold: films acted on rightly, less those
            acted on wrongly times the odds of the threshold, as a share of all films.
        act_on_all: Of acting on every film; acting on none has 0.
    """

    class_name: str
    prevalence: float
    thresholds: tuple[float, ...]
    net_benefit: tuple[Estimate, ...]
    act_on_all: tuple[float, ...]
