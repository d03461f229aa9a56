"""One thing that makes the numbers too good to be true."""

from __future__ import annotations

from typing import Literal

from cxresnet.evaluate.results import Record

__all__ = ["Alarm", "AlarmRule"]

AlarmRule = Literal[
    "source_tells_class",
    "copies_across_splits",
    "baseline_nearly_as_good",
    "perfect_score",
    "test_above_validation",
    "worse_on_left_out_sources",
]


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
