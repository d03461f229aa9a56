"""Question 11: does the model tell classes apart in pairs that are alike in all but the class?

Each pair is of two patients of different classes whose images agree in source, view, sex, age
band, tone and sharpness: none of these can rank them. The share of pairs that the model ranks
correctly is an AUROC in which these shortcuts are worth nothing.

References:
    Rosenbaum and Rubin 1985 (The American Statistician), on matching within calipers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxresnet.audit.context import STRICT_CONFIDENCE, AuditContext, CannotBeTestedError
from cxresnet.audit.experiments.matching import (
    ImagePair,
    MatchingImages,
    draw_unmatched_pairs,
    explain_lack_of_pairs,
    find_matched_pairs,
    measure_images,
    rank_by,
)
from cxresnet.audit.pictures import Tile, draw_tiles
from cxresnet.audit.question import QuestionAnswer, build_measure, register_question
from cxresnet.core.finding import Measure, Verdict
from cxresnet.core.seeding import build_generator
from cxresnet.metrics.estimate import Estimate, format_estimate, subtract_estimates
from cxresnet.metrics.statistic import Key, Statistic, build_mean

_NAME = "matched_pairs"
_MAX_IMAGES = 1000
_MIN_PAIRS = 10
_MIN_PAIRS_RED = 20
_SHOWN_PICTURES = 3
_CHANCE, _GOOD = 0.5, 0.65
_LARGE_LOSS = 0.1
_SMALLEST = 1e-300


@dataclass(frozen=True)
class RankedPairs:
    """How many pairs the model ranks correctly; ties count half.

    Attributes:
        matched: Share of the matched pairs, with a 95 % interval.
        strict: The same with a 99 % interval.
        unmatched: Share of as many pairs of the same classes at random.
        simple: "tone" or "sharpness", which ranks more of these pairs correctly by what is left of
            it; with that share.
        gain: Share of the model minus that share, with a 95 % interval.
        strict_gain: The same with a 99 % interval.
        loss: Unmatched minus matched, with a 99 % interval.
        by_classes: Of the matched pairs, by their two classes.
    """

    matched: Estimate
    strict: Estimate
    unmatched: Estimate
    simple: tuple[str, Estimate]
    gain: Estimate
    strict_gain: Estimate
    loss: Estimate
    by_classes: dict[str, Estimate]

    @property
    def verdict(self) -> Verdict:
        """As the threshold of the question says."""
        low = 0.0 if self.matched.low is None else self.matched.low
        high = 1.0 if self.strict.high is None else self.strict.high
        if self.matched.n >= _MIN_PAIRS_RED and (
            high < _GOOD
            or _get_end(self.strict_gain, "high") < _GOOD - _CHANCE
            or (low <= _CHANCE and (self.loss.low or 0.0) > _LARGE_LOSS)
        ):
            return "red"
        return "green" if low >= _GOOD and _get_end(self.gain, "low") > 0 else "amber"


@register_question(
    _NAME,
    number=11,
    title="Does it tell classes apart in pairs that are alike in all but the class?",
    threshold="Share of pairs in which the model ranks the two images correctly (0.5 is chance). "
    "Green where the 95 % interval lies above 0.65, and above what is left of tone or sharpness. "
    "Red, from 20 pairs on, where the 99 % interval lies below 0.65 or less than 0.15 above what "
    "is left of tone or sharpness, or where the 95 % interval includes 0.5 and pairs at random do "
    "better by more than 0.1 (99 % interval). Else amber. Not tested below 10 pairs.",
    next_step="Look at the pairs that it ranks wrongly. Add images of every class from every "
    "source, of patients of the same ages and in the same views.",
    cost=2,
)
def answer_matched_pairs(context: AuditContext) -> QuestionAnswer:
    """Match images of different classes one to one, and rank them by the model."""
    rows = context.draw_rows(_MAX_IMAGES, _NAME)
    images = measure_images(
        context.test.manifest.iloc[rows], context.take_images(rows), context.truth[rows]
    )
    tolerance = context.config.matched_tolerance_sd
    pairs = find_matched_pairs(images, tolerance_sd=tolerance)
    if len(pairs) < _MIN_PAIRS:
        raise CannotBeTestedError(
            explain_lack_of_pairs(images, tolerance_sd=tolerance, needed=_MIN_PAIRS)
        )
    generator = build_generator(context.config.seed, "audit", _NAME, "unmatched")
    unmatched = draw_unmatched_pairs(images.labels, pairs, generator=generator)
    correct = rank_pairs(context.probabilities[rows], images.labels, pairs)
    ranked = _measure(
        context,
        correct=correct,
        unmatched=rank_pairs(context.probabilities[rows], images.labels, unmatched),
        simple={
            "tone": rank_by(images.tone, images.labels, pairs),
            "sharpness": rank_by(images.sharpness, images.labels, pairs),
        },
        classes=[_name_classes(context, images, pair) for pair in pairs],
    )
    return QuestionAnswer(
        ranked.verdict,
        _describe(ranked, pairs=len(pairs)),
        tuple(_list_measures(ranked)),
        (_draw(context, rows, pairs, correct),),
    )


def _get_end(estimate: Estimate, end: Literal["low", "high"]) -> float:
    """Get an end of an interval; the number itself where it is the same in every resample."""
    found: float | None = getattr(estimate, end)
    return (estimate.value or 0.0) if found is None else found


def rank_pairs(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], pairs: Sequence[ImagePair]
) -> NDArray[np.float64]:
    """Rank the two images of each pair by p(c) / (p(c) + p(d)), with c and d their classes.

    Args:
        probabilities: (images, classes).
        labels: Class of each image, (images,).
        pairs: Numbers of two images of different classes.

    Returns:
        1 where the image of class c has the higher share, 0.5 where both are equal, else 0;
        (pairs,).

    >>> answers = np.array([[0.7, 0.3], [0.4, 0.6], [0.7, 0.3]])
    >>> rank_pairs(answers, np.array([0, 1, 1]), [(0, 1), (1, 0), (0, 2)]).tolist()
    [1.0, 1.0, 0.5]
    """
    logs = np.log(np.maximum(probabilities, _SMALLEST))
    first, second = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    one, other = labels[first], labels[second]
    margin = (logs[first, one] - logs[first, other]) - (logs[second, one] - logs[second, other])
    ranked: NDArray[np.float64] = (1 + np.sign(margin)) / 2
    return ranked


def _name_classes(context: AuditContext, images: MatchingImages, pair: ImagePair) -> str:
    first, second = sorted(int(images.labels[number]) for number in pair)
    return f"{context.class_names[first]} and {context.class_names[second]}"


def _measure(
    context: AuditContext,
    *,
    correct: NDArray[np.float64],
    unmatched: NDArray[np.float64],
    simple: Mapping[str, NDArray[np.float64]],
    classes: Sequence[str],
) -> RankedPairs:
    """Estimate the shares of pairs; each patient is in one pair at most."""
    names = np.array(classes)
    best = max(simple, key=lambda name: float(simple[name].mean()))
    statistics = [
        build_mean("all", correct),
        build_mean("gain", correct - simple[best], scale="difference"),
        build_mean("simple", simple[best]),
        *(
            build_mean(str(name), np.where(names == name, correct, np.nan))
            for name in np.unique(names)
            if (names == name).sum() >= _MIN_PAIRS
        ),
    ]
    found = _estimate(context, statistics, purpose="matched", confidence=0.95)
    strict = _estimate(context, statistics[:2], purpose="matched", confidence=STRICT_CONFIDENCE)
    random = [build_mean("all", unmatched)]
    strict_random = _estimate(context, random, purpose="unmatched", confidence=STRICT_CONFIDENCE)
    return RankedPairs(
        matched=found.pop("all"),
        strict=strict["all"],
        simple=(best, found.pop("simple")),
        gain=found.pop("gain"),
        strict_gain=strict["gain"],
        unmatched=_estimate(context, random, purpose="unmatched", confidence=0.95)["all"],
        loss=subtract_estimates(strict_random["all"], strict["all"]),
        by_classes={str(name): one for name, one in found.items()},
    )


def _estimate(
    context: AuditContext, statistics: list[Statistic], *, purpose: str, confidence: float
) -> dict[Key, Estimate]:
    groups = np.arange(len(statistics[0].support)).astype(str)
    return context.estimate(
        statistics, groups=groups, purpose=f"{_NAME} {purpose}", confidence=confidence
    )


def _describe(ranked: RankedPairs, *, pairs: int) -> str:
    matched = format_estimate(ranked.matched, digits=2)
    unmatched = format_estimate(ranked.unmatched, digits=2)
    conclusion = {
        "green": "It uses more than these properties.",
        "red": "Where these are alike, it hardly exceeds chance, or what is left of them.",
        "amber": "Whether it uses more than these properties is not clear from these pairs.",
    }[ranked.verdict]
    name, share = ranked.simple
    return (
        f"{pairs} pairs of patients of different classes agree in source, view, sex, age band, "
        f"tone and sharpness. The model ranks a share of {matched} of them correctly; the small "
        f"differences of {name} that are left rank {format_estimate(share, digits=2)}. Of as many "
        f"pairs at random the model ranks {unmatched} correctly. {conclusion}"
    )


def _list_measures(ranked: RankedPairs) -> Iterator[Measure]:
    yield build_measure("AUROC over matched pairs", ranked.matched, note="chance: 0.5")
    yield build_measure(f"AUROC of what is left of the {ranked.simple[0]}", ranked.simple[1])
    yield build_measure("AUROC over as many pairs at random", ranked.unmatched)
    for name, one in ranked.by_classes.items():
        yield build_measure(f"AUROC over matched pairs of {name}", one)


def _draw(
    context: AuditContext,
    rows: NDArray[np.intp],
    pairs: Sequence[ImagePair],
    correct: NDArray[np.float64],
) -> tuple[str, str, Image.Image]:
    """Draw some pairs: first those that are ranked wrongly, of each the most alike first."""
    shown = [pairs[number] for number in np.argsort(correct, kind="stable")[:_SHOWN_PICTURES]]
    picture = draw_tiles(
        [[_build_tile(context, int(rows[number])) for number in pair] for pair in shown]
    )
    wrong = int((correct < 1).sum())
    ranked = (
        f"Of {len(pairs)} pairs {wrong} are not ranked correctly; these are shown first."
        if wrong
        else f"All {len(pairs)} pairs are ranked correctly; the most alike are shown."
    )
    return (
        f"{_NAME}-pairs.png",
        (
            "Pairs of patients of different classes who agree in source, view, sex, age band, tone "
            f"and sharpness. {ranked}"
        ),
        picture,
    )


def _build_tile(context: AuditContext, row: int) -> Tile:
    facts = context.test.manifest.iloc[row]
    details = ", ".join(
        text
        for text in (
            facts["source"],
            facts["view"],
            f"{facts['age_years']} years" if facts["age_years"] else "",
        )
        if text
    )
    predicted = int(context.predicted[row])
    return Tile(
        np.asarray(context.test.images[row]),
        f"{context.class_names[int(context.truth[row])]} ({details}); predicted "
        f"{context.class_names[predicted]}, {context.probabilities[row, predicted]:.2f}",
    )
