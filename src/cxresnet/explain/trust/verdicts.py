"""From numbers to pass or fail: every threshold stands here, with its reason and its source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.explain.trust.likeness import MEASURE_TITLES, MEASURES
from cxresnet.explain.trust.measures import Kept
from cxresnet.explain.trust.record import Step, TestName, TestResult, TrustMeasure
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.mean import estimate_mean

__all__ = [
    "LEAST_HITS",
    "MOST_KEPT_WHEN_SHUFFLED",
    "RULES",
    "Rule",
    "estimate_kept",
    "judge_covering",
    "judge_lungs",
    "judge_pointing",
    "judge_repeatability",
    "judge_weights",
]

MOST_KEPT_WHEN_SHUFFLED = 0.5
LEAST_KEPT_WHEN_REPEATED = 0.5
LEAST_HITS = 0.5

_NOTHING = "Nothing could be measured: the maps are empty, or no noise leaves the answer as it is."

_Values = NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """One test, for readers.

    Attributes:
        test: Which.
        title: A few words.
        question: What it asks.
        passes: When it is passed.
        reason: Why there.
        source: Where it comes from.
    """

    test: TestName
    title: str
    question: str
    passes: str
    reason: str
    source: str


RULES: tuple[Rule, ...] = (
    Rule(
        "weights",
        "Needs what was learned",
        "Does the map change when the network unlearns?",
        "Once the upper half of the network is shuffled, and at every step further down, the maps "
        "keep less than 0.5 of their likeness (upper end of the interval, by the worst of three "
        "measures; 0 is the likeness of two films' maps).",
        "A map that keeps more than half was drawn by the film's edges, not by what was learned.",
        "Adebayo 2018 (the cascade); Arun 2021 (other films' maps as the zero)",
    ),
    Rule(
        "deletion",
        "Covering it costs most",
        "Does the probability fall faster when cells are covered in the map's order?",
        "Faster than in random order and than in the order of the film's edges (the intervals of "
        "both paired differences lie above 0).",
        "Chance and an edge detector know no network; a map that is no better tells nothing.",
        "Petsiuk 2018 (RISE); Adebayo 2018 (edge detector)",
    ),
    Rule(
        "insertion",
        "Showing it helps most",
        "Does the probability rise faster when cells of a blurred film are shown in the order?",
        "As for covering, with intervals above 0.",
        "As for covering; films with holes and blurred films mislead a network in unlike ways.",
        "Petsiuk 2018 (RISE)",
    ),
    Rule(
        "repeatability",
        "Stays when nothing changed",
        "Does the map stay under noise that the eye does not see, and under another seed?",
        "The maps keep more than 0.5 of their likeness (lower end of the interval, by the worst of "
        "three measures).",
        "The mirror image of the first test: what counts as lost there must not be lost here.",
        "Arun 2021 (repeatability)",
    ),
    Rule(
        "lungs",
        "Lies in the lungs",
        "Is more of the map's weight in the lungs than the lungs' share of the film?",
        "More over all films (lower end of the interval above 0), and in no class explained less.",
        "The diseases are in the lungs; a shortcut that tells one class hides in a mean over all.",
        "DeGrave 2021 (shortcuts outside of the lungs)",
    ),
    Rule(
        "pointing",
        "Points at the lesion",
        "Is the strongest place of the map in the lesion?",
        "More often than pointing blindly into the lungs (lower end of the interval above that "
        "share), and on at least half of the films.",
        "A pointer that is wrong more often than right misleads, even if it beats chance.",
        "Zhang 2018 (pointing game)",
    ),
)


def judge_weights(steps: Sequence[tuple[str, Kept]]) -> TestResult:
    """Judge the cascade: the worst step of those where the upper half is shuffled, and beyond."""
    late = steps[len(steps) // 2 - 1 :] if len(steps) > 1 else steps
    measures = [
        TrustMeasure(
            name=f"{MEASURE_TITLES[measure]}, shuffled down to {part}",
            estimate=estimate_mean(kept[measure], scale="agreement"),
        )
        for part, kept in late
        for measure in MEASURES
    ]
    return _judge_each(
        "weights",
        measures,
        margin=lambda measure: MOST_KEPT_WHEN_SHUFFLED - _get_high(measure.estimate),
        words="of their likeness the maps keep at the worst step ({name})",
    )


def judge_repeatability(noise: Kept, seeds: Kept | None) -> TestResult:
    """Judge what is kept under slight noise, and under another seed where there is chance."""
    measures = [
        TrustMeasure(
            name=f"{MEASURE_TITLES[measure]}, {cause}",
            estimate=estimate_mean(kept[measure], scale="agreement"),
        )
        for cause, kept in (("slight noise", noise), ("another seed", seeds))
        if kept is not None
        for measure in MEASURES
    ]
    return _judge_each(
        "repeatability",
        measures,
        margin=lambda measure: _get_low(measure.estimate) - LEAST_KEPT_WHEN_REPEATED,
        words="of their likeness the maps keep at worst ({name})",
    )


def judge_covering(test: TestName, advantages: dict[str, _Values]) -> TestResult:
    """Judge deletion or insertion: the advantage over each rival, above 0 is better."""
    measures = [
        TrustMeasure(
            name=f"against {_RIVALS[rival]}", estimate=estimate_mean(values, scale="difference")
        )
        for rival, values in advantages.items()
    ]
    return _judge_each(
        test,
        measures,
        margin=lambda measure: _get_low(measure.estimate),
        words="of probability, on average along the way, {name}",
        signed=True,
    )


_RIVALS = {"random": "random order", "edges": "the film's edges"}


def judge_lungs(
    shares: _Values, areas: _Values, *, targets: Sequence[int], class_names: Sequence[str]
) -> TestResult:
    """Judge the share in the lungs, over all films and for each class explained."""
    known = ~np.isnan(shares)
    if not known.any():
        return _tell_untested("lungs", "No film has a lung mask, or the maps are empty.")
    excess = shares - areas
    measures = [TrustMeasure(name="all films", estimate=estimate_mean(excess, scale="difference"))]
    for index, name in enumerate(class_names):
        ours = excess[known & (np.array(targets) == index)]
        if len(ours):
            measures.append(
                TrustMeasure(name=name, estimate=estimate_mean(ours, scale="difference"))
            )
    worst = min(measures[1:], key=lambda measure: measure.estimate.value or 0.0)
    fails_in_class = (worst.estimate.value or 0.0) <= 0
    passed = _get_low(measures[0].estimate) > 0 and not fails_in_class
    first = worst if fails_in_class else measures[0]
    share, area = float(shares[known].mean()), float(areas[known].mean())
    sentence = (
        f"{share:.0%} of the weight lies in the lungs, which are {area:.0%} of the film; "
        f"{_describe(first.estimate, signed=True)} more than chance ({first.name})."
    )
    return TestResult(
        test="lungs",
        verdict="pass" if passed else "fail",
        sentence=sentence,
        measures=(first, *(measure for measure in measures if measure is not first)),
    )


def judge_pointing(hits: _Values, chance: _Values) -> TestResult:
    """Judge the pointing game."""
    if np.isnan(hits).all():
        return _tell_untested("pointing", "No film that the network has right has a lesion mask.")
    blind = float(np.nanmean(chance))
    estimate = estimate_mean(hits, scale="share")
    measure = TrustMeasure(name="hits", estimate=estimate, chance=blind)
    passed = _get_low(estimate) > blind and (estimate.value or 0.0) >= LEAST_HITS
    return TestResult(
        test="pointing",
        verdict="pass" if passed else "fail",
        sentence=f"{_describe(estimate)} of the films are hit; pointing blindly into the lungs "
        f"hits {blind:.2f}.",
        measures=(measure,),
    )


def estimate_kept(steps: Sequence[tuple[str, Kept]]) -> tuple[Step, ...]:
    """Estimate every step of the cascade."""
    return tuple(
        Step(
            part=part,
            kept={measure: estimate_mean(kept[measure], scale="agreement") for measure in MEASURES},
        )
        for part, kept in steps
    )


def _judge_each(
    test: TestName,
    measures: list[TrustMeasure],
    *,
    margin: Callable[[TrustMeasure], float],
    words: str,
    signed: bool = False,
) -> TestResult:
    """Judge by the measure that is nearest to failing, or fails by most."""
    measures = sorted(measures, key=margin)
    if all(measure.estimate.value is None for measure in measures):
        return TestResult(test=test, verdict="fail", sentence=_NOTHING)
    first = measures[0]
    sentence = f"{_describe(first.estimate, signed=signed)} {words.format(name=first.name)}."
    return TestResult(
        test=test,
        verdict="pass" if margin(first) > 0 else "fail",
        sentence=sentence,
        measures=tuple(measures),
    )


def _tell_untested(test: TestName, sentence: str) -> TestResult:
    return TestResult(test=test, verdict="not tested", sentence=sentence)


def _get_low(estimate: Estimate) -> float:
    """Get the lower end; the number itself if it is the same on every film; else the worst."""
    if estimate.low is None:
        return _get_steady(estimate, worst=-1.0)
    return estimate.low


def _get_high(estimate: Estimate) -> float:
    if estimate.high is None:
        return _get_steady(estimate, worst=1.0)
    return estimate.high


def _get_steady(estimate: Estimate, *, worst: float) -> float:
    return worst if estimate.value is None or estimate.n < 2 else estimate.value


def _describe(estimate: Estimate, *, signed: bool = False) -> str:
    if estimate.value is None:
        return "An unknown share"
    form = "+.2f" if signed else ".2f"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{form}} (n = {estimate.n})"
    ends = f"{estimate.low:{form}} to {estimate.high:{form}}"
    return f"{estimate.value:{form}} ({ends}; n = {estimate.n})"
