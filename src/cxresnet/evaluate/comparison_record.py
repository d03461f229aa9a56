"""What the comparison of two runs found, as it is printed and given to programs."""

from __future__ import annotations

from typing import Literal

from cxresnet import DISCLAIMER
from cxresnet.evaluate.results import Record
from cxresnet.metrics.estimate import Estimate

__all__ = ["AurocTest", "Comparison", "ScorePair"]


class ScorePair(Record):
    """One number of two runs on the same films.

    Attributes:
        name: For example "macro_auroc" or "sensitivity/covid-19".
        first: Of the first run.
        second: Of the second run.
        difference: First minus second, on the same resamples of patients.
    """

    name: str
    first: Estimate
    second: Estimate
    difference: Estimate


class AurocTest(Record):
    """DeLong's test of one class against the rest, with patients as clusters.

    Attributes:
        class_name: The class.
        difference: Area of the first run minus that of the second.
        error: Standard error of the difference.
        p_value: Two-sided; None where there is no error to compare the difference with.
    """

    class_name: str
    difference: float
    error: float
    p_value: float | None


class Comparison(Record):
    """What `compare` found.

    Attributes:
        format: Version of this record.
        disclaimer: Stands on every output.
        first: Name of the first run.
        second: Name of the second run.
        class_names: In the order of the first run.
        films: Judged by both.
        patients: Independent groups among them.
        scores: Numbers of both, the headline first.
        only_first_right: Films that only the first run gets right.
        only_second_right: Films that only the second run gets right.
        mcnemar_p_value: Exact and two-sided; counts each film as a patient of its own.
        auroc_tests: One a class; those without two patients on each side are left out.
        verdict: In plain words.
        warnings: What must stand beside the numbers.
    """

    format: Literal[1] = 1
    disclaimer: str = DISCLAIMER
    first: str
    second: str
    class_names: tuple[str, ...]
    films: int
    patients: int
    scores: tuple[ScorePair, ...]
    only_first_right: int
    only_second_right: int
    mcnemar_p_value: float
    auroc_tests: tuple[AurocTest, ...]
    verdict: str
    warnings: tuple[str, ...]
