"""Thresholds for one class against the rest, chosen on validation films for a stated aim."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.evaluate.clinical_records import Aim, BinaryScores
from cxresnet.evaluate.operating_point import judge
from cxresnet.evaluate.record import OperatingPoint
from cxresnet.evaluate.scores import estimate
from cxresnet.metrics.classification import Judged, build_share
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import Statistic
from cxresnet.predict.predictions import Predictions

__all__ = [
    "ChosenThreshold",
    "build_binary_scores",
    "choose_thresholds",
    "list_binary_statistics",
]

_SCORES = ("sensitivity", "specificity", "ppv", "npv")

_Array = NDArray[np.float64]
_Choose = Callable[[_Array, _Array], int]
"""From films found and false alarms at each threshold, from the highest down, to the best one."""

_ROUNDING = 1e-9
"""So that 19 of 20 are 95 %."""


@dataclass(frozen=True, kw_only=True)
class ChosenThreshold:
    """A threshold as validation chose it.

    Attributes:
        class_index: The class.
        aim: What for.
        goal: The aim with its number, in words.
        threshold: Calibrated probability, 0 to 1.
        chosen_on: Which films chose it.
        on_validation: What it gives there.
    """

    class_index: int
    aim: Aim
    goal: str
    threshold: float
    chosen_on: str
    on_validation: BinaryScores

    @property
    def name(self) -> str:
        """Prefix of its statistics."""
        return f"threshold/{self.class_index}/{self.aim}"


def choose_thresholds(
    validation: Predictions, *, point: OperatingPoint, config: EvaluateConfig
) -> tuple[ChosenThreshold, ...]:
    """Choose a threshold for each class and aim.

    Args:
        validation: Films without a known class are passed over.
        point: Has the temperature.
        config: Has the aims.

    Returns:
        By class, then by aim; nothing for a class that validation does not hold, or holds alone.
    """
    known = validation.select(validation.truth >= 0)
    judged = judge(known, point)
    chosen = [
        (index, aim, goal, _choose(judged, index, choose))
        for index in range(len(judged.class_names))
        if 0 < (judged.truth == index).sum() < len(judged.truth)
        for aim, goal, choose in _list_aims(config)
    ]
    statistics = [
        statistic
        for index, aim, _, threshold in chosen
        for statistic in list_binary_statistics(judged, index, threshold, name=f"{index}/{aim}")
    ]
    estimates = estimate(statistics, group_ids=known.group_ids, strata=judged.truth, config=config)
    return tuple(
        ChosenThreshold(
            class_index=index,
            aim=aim,
            goal=goal,
            threshold=threshold,
            chosen_on=f"{len(known)} validation films",
            on_validation=build_binary_scores(estimates, name=f"{index}/{aim}"),
        )
        for index, aim, goal, threshold in chosen
    )


def list_binary_statistics(
    judged: Judged, class_index: int, threshold: float, *, name: str
) -> tuple[Statistic, ...]:
    """List the scores of one class against the rest at a threshold, named "NAME/SCORE"."""
    class_name = judged.class_names[class_index]
    shown = judged.truth == class_index
    called = judged.probabilities[:, class_index] >= threshold
    absent, alone = f"No film shows {class_name}.", f"No film shows anything but {class_name}."
    never, always = "No film reaches the threshold.", "Every film reaches the threshold."
    return (
        build_share(f"{name}/sensitivity", part=called, whole=shown, undefined=absent),
        build_share(f"{name}/specificity", part=~called, whole=~shown, undefined=alone),
        build_share(f"{name}/ppv", part=shown, whole=called, undefined=never),
        build_share(f"{name}/npv", part=~shown, whole=~called, undefined=always),
    )


def build_binary_scores(estimates: Mapping[str, Estimate], *, name: str) -> BinaryScores:
    """Collect the scores of `list_binary_statistics`."""
    return BinaryScores.model_validate({score: estimates[f"{name}/{score}"] for score in _SCORES})


def _list_aims(config: EvaluateConfig) -> tuple[tuple[Aim, str, _Choose], ...]:
    least, cost = config.least_sensitivity, config.cost_of_miss

    def reach(found: _Array, alarms: _Array) -> int:
        del alarms
        return int(np.argmax(found / found[-1] >= least - _ROUNDING))

    def balance(found: _Array, alarms: _Array) -> int:
        return int(np.argmax(found / found[-1] - alarms / alarms[-1]))

    def save(found: _Array, alarms: _Array) -> int:
        return int(np.argmin(cost * (found[-1] - found) + alarms))

    return (
        ("sensitivity", f"sensitivity at least {100 * least:g} %", reach),
        ("youden", "best sensitivity + specificity", balance),
        ("cost", f"least cost, a missed film costing as much as {cost:g} false alarms", save),
    )


def _choose(judged: Judged, class_index: int, choose: _Choose) -> float:
    """Choose among all thresholds that tell films apart, half-way between two probabilities."""
    shown = judged.truth == class_index
    scores = judged.probabilities[:, class_index]
    steps = np.unique(scores)[::-1]
    called = scores >= steps[:, None]
    best = choose(
        (called & shown).sum(axis=1).astype(np.float64),
        (called & ~shown).sum(axis=1).astype(np.float64),
    )
    below = steps[best + 1] if best + 1 < len(steps) else 0.0
    return float((steps[best] + below) / 2)
