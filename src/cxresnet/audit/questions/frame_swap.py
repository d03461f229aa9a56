"""Question 6: does the decision follow the lungs, or the frame around them?

Lungs are swapped between images that the model decides differently on (`swapped_images.py`). Of
each class two things are measured. How often the decision on it (is it this class or not?) goes
with the frame. And how much of its probability the frame carries: over the four combinations of
lungs and frame that are of the class or not, the effect of the frame, divided by the sum of both
effects. In all four the lungs are swapped, so that what swapping itself does to an image cancels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxresnet.audit.context import STRICT_CONFIDENCE, AuditContext, CannotBeTestedError
from cxresnet.audit.experiments.swapped_images import MIN_PAIRS, SwappedImages, find_swapped_images
from cxresnet.audit.pictures import Tile, draw_tiles
from cxresnet.audit.question import QuestionAnswer, build_measure, register_question
from cxresnet.audit.scorecard import FOLLOWS_LUNGS
from cxresnet.core.finding import Verdict
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import Key, Statistic, build_mean, divide

_FRAME = "Decision follows the frame"
_NEITHER = "Decision follows neither"
_STAYS = "Control: decision stays with other lungs of the same predicted class"
_STAYS_SAME_SOURCE = f"{_STAYS}, same source"
_STAYS_OTHER_SOURCE = f"{_STAYS}, frame of another source"
_SOURCE_EFFECT = "Decision stays less often in the frame of another source, by"

_HALF = 0.5
_MOSTLY = 0.7
_STAYS_AT_LEAST = 0.7
_LARGE_PART = 0.15
_LARGE_SOURCE_EFFECT = 0.1
_SMALLEST_EFFECT = 0.05
"""Of lungs and frame together, as a change of probability: a part of less is not measurable."""

_PICTURE_ROWS = 3


@register_question(
    "frame_swap",
    number=6,
    title="Does the decision follow the lungs, or the frame around them?",
    threshold="Red where decisions, or those on one class, go with the frame in more than half of "
    "the swaps (the whole 99 % interval); green where decisions follow the lungs in at least 70 % "
    "(the whole 95 % interval above 50 %), the frame is not shown to carry more than 15 % of any "
    "class's probability, and a frame of another source not shown to change more decisions; else "
    "amber. "
    "Not tested where swapping the lungs of one predicted class changes 30 % of decisions.",
    next_step="Look at what lies around the lungs in the pictures. Crop to the lungs, or erase the "
    "border (data.border_cut, train.augment.border_erase_share), train and audit again.",
    cost=4,
)
def answer_frame_swap(context: AuditContext) -> QuestionAnswer:
    """Swap lungs between images of different predicted classes, in both directions."""
    swapped = find_swapped_images(context)
    shares = _list_shares(context, swapped)
    estimates = context.estimate(shares, groups=swapped.pairs, purpose="frame swap")
    _require_quiet_control(estimates)
    strict = context.estimate(
        shares, groups=swapped.pairs, purpose="frame swap", confidence=STRICT_CONFIDENCE
    )
    parts = _list_parts(context, swapped)
    found = _Found(
        estimates,
        strict,
        parts=context.estimate(parts, groups=swapped.blocks, purpose="frame's part"),
        strict_parts=context.estimate(
            parts,
            groups=swapped.blocks,
            purpose="frame's part",
            confidence=STRICT_CONFIDENCE,
        ),
        too_few=_list_too_few(context, swapped),
    )
    return QuestionAnswer(
        _grade(found),
        _describe(found),
        tuple(
            build_measure(_name(key), estimate)
            for key, estimate in (*found.shares.items(), *found.parts.items())
            if estimate.value is not None
        ),
        tuple(_draw(context, swapped)),
    )


@dataclass(frozen=True)
class _Found:
    """What was measured.

    Attributes:
        shares: Of swaps, with 95 % intervals.
        strict: The same with 99 % intervals.
        parts: Of each class's probability, what the frame carries, with 95 % intervals.
        strict_parts: The same with 99 % intervals.
        too_few: Classes that were not measured, each with its number of pairs.
    """

    shares: dict[Key, Estimate]
    strict: dict[Key, Estimate]
    parts: dict[Key, Estimate]
    strict_parts: dict[Key, Estimate]
    too_few: tuple[str, ...]


def _list_shares(context: AuditContext, swapped: SwappedImages) -> list[Statistic]:
    """List the shares of swaps and of controls."""
    swaps, controls = ~swapped.is_control, swapped.is_control
    follows_neither = ~swapped.follows_lungs & ~swapped.follows_frame
    stays = swapped.decided == swapped.frame_class
    is_same_source = context.sources[swapped.donors] == context.sources[swapped.hosts]
    of_classes = [
        (
            (_FRAME, context.class_names[label]),
            (swapped.decided == label) == (swapped.frame_class == label),
            _find_swaps(swapped, label),
        )
        for label in _list_classes(context, swapped)
    ]
    return [
        _build_share(FOLLOWS_LUNGS, swapped.follows_lungs, swaps),
        _build_share(_FRAME, swapped.follows_frame, swaps),
        _build_share(_NEITHER, follows_neither, swaps),
        *(_build_share(*one) for one in of_classes),
        _build_share(_STAYS, stays, controls),
        _build_share(_STAYS_SAME_SOURCE, stays, controls & is_same_source),
        _build_share(_STAYS_OTHER_SOURCE, stays, controls & ~is_same_source),
        _build_difference(stays, controls & is_same_source, controls & ~is_same_source),
    ]


def _list_classes(context: AuditContext, swapped: SwappedImages) -> list[int]:
    """List the classes with enough pairs; of two classes the second: the first mirrors it."""
    pairs = _count_pairs(context, swapped)
    return [label for label, count in pairs.items() if count >= MIN_PAIRS]


def _list_too_few(context: AuditContext, swapped: SwappedImages) -> tuple[str, ...]:
    return tuple(
        f"{context.class_names[label]} ({count} of {MIN_PAIRS} pairs)"
        for label, count in _count_pairs(context, swapped).items()
        if count < MIN_PAIRS
    )


def _count_pairs(context: AuditContext, swapped: SwappedImages) -> dict[int, int]:
    """Count the pairs of patients whose lungs were swapped between a class and any other."""
    first = 1 if len(context.class_names) == 2 else 0
    return {
        label: len(set(swapped.pairs[_find_swaps(swapped, label)].tolist()))
        for label in range(first, len(context.class_names))
    }


def _find_swaps(swapped: SwappedImages, label: int) -> NDArray[np.bool_]:
    """Find the swaps between a class and any other, (swaps,)."""
    is_one: NDArray[np.bool_] = (swapped.lungs_class == label) != (swapped.frame_class == label)
    return is_one


def _build_share(name: Key, happens: NDArray[np.bool_], among: NDArray[np.bool_]) -> Statistic:
    return build_mean(name, np.where(among, happens.astype(np.float64), np.nan))


def _build_difference(
    happens: NDArray[np.bool_], among: NDArray[np.bool_], others: NDArray[np.bool_]
) -> Statistic:
    """Build the share among some, less that among others."""
    one, other = (_build_share("", happens, each) for each in (among, others))
    return Statistic(
        name=_SOURCE_EFFECT,
        compute=lambda weights: one.compute(weights) - other.compute(weights),
        parts=(among, others),
        undefined="All images with one predicted class are of one source.",
        scale="difference",
    )


def _list_parts(context: AuditContext, swapped: SwappedImages) -> list[Statistic]:
    return [
        build_frame_part(
            context.class_names[label],
            swapped.probabilities[:, label],
            has_lungs=swapped.lungs_class == label,
            has_frame=swapped.frame_class == label,
            among=np.isin(swapped.blocks, swapped.blocks[_find_swaps(swapped, label)]),
        )
        for label in _list_classes(context, swapped)
    ]


def build_frame_part(
    name: Key,
    probabilities: NDArray[np.float64],
    *,
    has_lungs: NDArray[np.bool_],
    has_frame: NDArray[np.bool_],
    among: NDArray[np.bool_],
) -> Statistic:
    """Build the part of a class's probability that the frame carries.

    Args:
        name: Of the number.
        probabilities: Of the class, (swaps,).
        has_lungs: The lungs are of the class, (swaps,).
        has_frame: The frame is of the class, (swaps,).
        among: The swaps that count, (swaps,).

    Returns:
        0 where the lungs alone change the probability, 1 where the frame alone does; by chance also
        somewhat below or above.
    """
    cells = [
        among & (has_lungs == lungs) & (has_frame == frame)
        for lungs, frame in ((True, True), (True, False), (False, True), (False, False))
    ]

    def compute(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        both, lungs, frame, none = (
            divide(weights @ np.where(cell, probabilities, 0.0), weights @ cell.astype(np.float64))
            for cell in cells
        )
        total = both - none
        effect = (both - lungs + frame - none) / 2
        return divide(effect, np.where(total < _SMALLEST_EFFECT, np.nan, total))

    return Statistic(
        name=name,
        compute=compute,
        parts=tuple(cells),
        undefined="Not all four combinations of lungs and frame exist.",
        scale="real",
    )


def _require_quiet_control(estimates: dict[Key, Estimate]) -> None:
    """Refuse where swapping itself changes the answers.

    Raises:
        CannotBeTestedError: It does.
    """
    same = estimates[_STAYS_SAME_SOURCE]
    stays = same if same.groups >= MIN_PAIRS else estimates[_STAYS]
    if stays.value is None or stays.value < _STAYS_AT_LEAST:
        shown = f"{100 * (stays.value or 0):.0f} % of {stays.n}"
        raise CannotBeTestedError(
            "Swapping itself disturbs this model: with the lungs of another patient of the same "
            f"predicted class the decision stays in {shown} swaps, and at least "
            f"{100 * _STAYS_AT_LEAST:.0f} % are needed. Question 3 (masked_lungs) answers the same "
            "without swapping."
        )


def _grade(found: _Found) -> Verdict:
    with_frame = [
        estimate
        for key, estimate in found.strict.items()
        if key == _FRAME or isinstance(key, tuple)
    ]
    if any(_is_above(estimate, _HALF) for estimate in with_frame):
        return "red"
    lungs = found.shares[FOLLOWS_LUNGS]
    is_green = (
        (lungs.value or 0) >= _MOSTLY
        and _is_above(lungs, _HALF)
        and not any(_is_above(part, _LARGE_PART) for part in found.strict_parts.values())
        and not _has_source_effect(found)
    )
    return "green" if is_green else "amber"


def _is_above(estimate: Estimate, limit: float) -> bool:
    return estimate.low is not None and estimate.low > limit


def _has_source_effect(found: _Found) -> bool:
    effect = found.strict[_SOURCE_EFFECT]
    return (effect.value or 0) >= _LARGE_SOURCE_EFFECT and _is_above(effect, 0)


def _describe(found: _Found) -> str:
    lungs, frame, neither = (found.shares[key] for key in (FOLLOWS_LUNGS, _FRAME, _NEITHER))
    of_swaps = (
        f"Lungs were swapped between {lungs.groups} pairs of patients with different answers, in "
        f"both directions: the decision follows the lungs in {_format(lungs)} of {lungs.n} swaps, "
        f"the frame in {_format(frame)}, neither in {_format(neither)}."
    )
    of_control = (
        "With the lungs of another patient of the same predicted class it stays in "
        f"{_format(found.shares[_STAYS])}."
    )
    sentences = [of_swaps, of_control, *_describe_parts(found)]
    if _has_source_effect(found):
        sentences.append(
            "In the frame of another source it stays less often, by "
            f"{100 * (found.shares[_SOURCE_EFFECT].value or 0):.0f} percentage points."
        )
    if found.too_few:
        sentences.append(f"Not measured, for too few pairs: {', '.join(found.too_few)}.")
    return " ".join(sentences)


def _describe_parts(found: _Found) -> Iterator[str]:
    """Name the class that the frame carries most of."""
    known = {key: part for key, part in found.parts.items() if part.value is not None}
    if not known:
        return
    worst = max(known, key=lambda key: known[key].value or 0)
    part = found.parts[worst]
    if not _is_above(part, 0):
        yield (
            "The frame is not shown to carry a part of the probability of a class (most of "
            f"{worst}: {_format(part)})."
        )
        return
    share = found.shares[_FRAME, str(worst)]
    yield (
        f"Of all classes {worst} depends most on the frame: it carries {_format(part)} of "
        f"the probability, and the decision on {worst} goes with it in {_format(share)}."
    )


def _format(estimate: Estimate) -> str:
    value = f"{100 * (estimate.value or 0):.0f} %"
    if estimate.low is None or estimate.high is None:
        return value
    separator = " to " if estimate.low < 0 else "–"
    return f"{value} ({100 * estimate.low:.0f}{separator}{100 * estimate.high:.0f} %)"


def _name(key: Key) -> str:
    if isinstance(key, tuple):
        return f"{key[0]}, {key[1]} or not"
    known = {FOLLOWS_LUNGS, _FRAME, _NEITHER, _STAYS, _STAYS_SAME_SOURCE, _STAYS_OTHER_SOURCE}
    is_share = key in known or key == _SOURCE_EFFECT
    return key if is_share else f"Part of the probability of {key} that the frame carries"


# The evidence: for each kind a few swaps, the clearest first.


def _draw(context: AuditContext, swapped: SwappedImages) -> Iterator[tuple[str, str, Image.Image]]:
    for name, kind, happens in (
        ("lungs", "The decision follows the lungs", swapped.follows_lungs),
        ("frame", "The decision follows the frame", swapped.follows_frame),
    ):
        chosen = _choose_examples(swapped, happens)
        if chosen:
            caption = (
                f"{kind}, in {int(happens.sum())} of {int((~swapped.is_control).sum())} swaps. "
                "Left: the image that gives the lungs; middle: the one that gives the frame; "
                "right: the lungs of the first in the frame of the second."
            )
            picture = draw_tiles([_build_row(context, swapped, number) for number in chosen])
            yield f"frame_swap-follows-{name}.png", caption, picture


def _choose_examples(swapped: SwappedImages, happens: NDArray[np.bool_]) -> list[int]:
    """Choose the most confident swaps of a kind: of other classes each where there are some."""
    numbers = np.flatnonzero(happens)
    confidence = swapped.probabilities[numbers, swapped.decided[numbers]]
    order = numbers[np.argsort(-confidence, kind="stable")].tolist()
    first: dict[tuple[int, int], int] = {}
    for number in order:
        classes = (int(swapped.lungs_class[number]), int(swapped.frame_class[number]))
        first.setdefault(classes, number)
    rest = [number for number in order if number not in first.values()]
    return [*first.values(), *rest][:_PICTURE_ROWS]


def _build_row(context: AuditContext, swapped: SwappedImages, number: int) -> list[Tile]:
    donor, host = (int(rows[number]) for rows in (swapped.donors, swapped.hosts))
    return [
        *(
            Tile(
                np.asarray(context.test.images[row]),
                f"{kind}: {_answer(context, context.predicted[row], context.probabilities[row])}",
            )
            for kind, row in (("Lungs", donor), ("Frame", host))
        ),
        Tile(
            swapped.images[number],
            "Swapped: " + _answer(context, swapped.decided[number], swapped.probabilities[number]),
        ),
    ]


def _answer(context: AuditContext, decided: np.int64, probabilities: NDArray[np.float64]) -> str:
    return f"{context.class_names[decided]} {probabilities[decided]:.2f}"
