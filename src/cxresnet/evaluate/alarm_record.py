"""One thing that makes the numbers too good to be true, or worth less than they look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cxresnet.evaluate.results import Record

__all__ = ["Alarm", "AlarmRule", "name_alarms"]

AlarmRule = Literal[
    "source_tells_class",
    "copies_across_splits",
    "baseline_as_good",
    "baseline_nearly_as_good",
    "perfect_score",
    "test_above_validation",
    "worse_on_left_out_sources",
]

_BASELINE_HEADINGS: dict[AlarmRule, str] = {
    "baseline_as_good": "No better than a rule without lungs",
    "baseline_nearly_as_good": "Hardly better than a rule without lungs",
}


class Alarm(Record):
    """Why the numbers should not be believed before somebody has looked.

    Attributes:
        rule: Stable short name.
        title: A few words.
        sentence: What was seen and what it means, in plain words.
    """

    rule: AlarmRule
    title: str
    sentence: str


def name_alarms(alarms: Sequence[Alarm]) -> str:
    """Name what one or more alarms say together, in a few words.

    A network below a rule without lungs is not too good to be true: it is no good.
    """
    rules = [alarm.rule for alarm in alarms]
    beside = [heading for rule, heading in _BASELINE_HEADINGS.items() if rule in rules]
    if all(rule in _BASELINE_HEADINGS for rule in rules):
        return beside[0]
    rest = [f"and {heading[0].lower()}{heading[1:]}" for heading in beside]
    return ", ".join(["Too good to be true", *rest])
