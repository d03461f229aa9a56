"""Question 10: how strong must a shortcut be until the answers follow it?

A letter, a tone, a blur and a border are laid on the images in growing strength, on one scale from
0 (nothing) to 1 (as strong as is ever seen). Only the model's answers are needed. The strength that
changes half of the answers is one number a shortcut that can be compared between models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from cxresnet.audit.context import AuditContext
from cxresnet.audit.experiments.alterations import (
    GreyImage,
    add_border,
    add_frame,
    blur,
    change_tone,
    paste_letter,
)
from cxresnet.audit.experiments.altered_answers import (
    AlteredAnswers,
    OriginalAnswers,
    TurnedAnswers,
    describe_share,
    estimate_means,
    estimate_turned,
    predict_altered,
    show_answer,
    take_originals,
)
from cxresnet.audit.experiments.dose_curves import (
    STRENGTHS,
    HalfStrength,
    name_share,
    resample_half_strength,
)
from cxresnet.audit.pictures import draw_tiles
from cxresnet.audit.question import QuestionAnswer, build_measure, find_worst, register_question
from cxresnet.core.finding import VERDICTS, Measure, Verdict
from cxresnet.core.progress import track
from cxresnet.core.seeding import build_generator
from cxresnet.metrics.estimate import Estimate

_LARGEST_GAMMA = 3.0
_LARGEST_SIGMA = 0.03
_WIDEST_BORDER = 0.1


def _darken(image: GreyImage, strength: float) -> GreyImage:
    return change_tone(image, _LARGEST_GAMMA**strength)


def _brighten(image: GreyImage, strength: float) -> GreyImage:
    return change_tone(image, _LARGEST_GAMMA**-strength)


def _blur(image: GreyImage, strength: float) -> GreyImage:
    return blur(image, _LARGEST_SIGMA * strength)


def _draw_frame(image: GreyImage, strength: float) -> GreyImage:
    return add_frame(image, contrast=strength)


def _draw_border(image: GreyImage, strength: float, *, level: int) -> GreyImage:
    return add_border(image, _WIDEST_BORDER * strength, level=level)


def _mark(image: GreyImage, strength: float) -> GreyImage:
    return paste_letter(image, contrast=strength)


@dataclass(frozen=True)
class _Limits:
    """From where on a dose has which light.

    Attributes:
        amber: Amber where the share of changed answers is above it.
        widest: Amber where the 95 % interval reaches beyond it: too few images to call it small.
        up_to: Strengths that count.
        red: Red where the 99 % interval of the share of other answers that turn to one class at
            full strength is above it; 1 for what is never red.
    """

    amber: float
    widest: float
    up_to: float = 1.0
    red: float = 1.0


_LETTER = _Limits(amber=0.15, widest=0.35, red=0.5)
"""A letter hides nothing, and real images carry letters: no answer may follow one."""

_LINE = _Limits(amber=0.15, widest=0.35)
"""A line hides nothing, but a network that never saw one may answer anything on such images: clean
networks with few training images change up to 60 % of their answers."""

_HIDING = _Limits(amber=0.3, widest=0.5)
"""Of what hides a part of the image: well-trained clean networks change about 20 %."""

_NATURAL = _Limits(amber=0.2, widest=0.4, up_to=0.4)
"""Of what images differ in: weak doses are harmless, and strong ones hide what is to be seen."""


@dataclass(frozen=True)
class _Dose:
    """One shortcut that can be laid on an image in any strength.

    Attributes:
        name: For people.
        kind: What several doses have in common: marker, border, tone or blur.
        change: From an image and a strength, 0 to 1, to the altered image.
        limits: Of its light.
    """

    name: str
    kind: str
    change: Callable[[GreyImage, float], GreyImage]
    limits: _Limits

    def at(self, strength: float) -> Callable[[GreyImage], GreyImage]:
        """Fix the strength."""
        return lambda image: self.change(image, strength)


_DOSES = (
    _Dose("marker", "marker", _mark, _LETTER),
    _Dose("thin frame", "border", _draw_frame, _LINE),
    _Dose("bright border", "border", partial(_draw_border, level=255), _HIDING),
    _Dose("dark border", "border", partial(_draw_border, level=0), _HIDING),
    _Dose("darker tone", "tone", _darken, _NATURAL),
    _Dose("brighter tone", "tone", _brighten, _NATURAL),
    _Dose("blur", "blur", _blur, _NATURAL),
)


@dataclass(frozen=True, eq=False)
class _Response:
    """How the answers follow one shortcut.

    Attributes:
        dose: The shortcut.
        answers: At each of `STRENGTHS`.
        shares: Of changed answers at each, with 95 % intervals.
        half: Strength that changes half of the answers.
        turned: Which class the changed answers go to at full strength; None where none changed.
    """

    dose: _Dose
    answers: tuple[AlteredAnswers, ...]
    shares: tuple[Estimate, ...]
    half: HalfStrength
    turned: TurnedAnswers | None


@register_question(
    "dose_response",
    number=10,
    title="How strong must a shortcut be until the answers follow it?",
    threshold="Strength 1 is a white letter in the upper left corner, a thin white line along the "
    "edge, a border of 10 % of the side, a gamma of 3 or 1/3, or a blur with a sigma of 3 % of the "
    "side. Amber where the share of changed answers is above 15 % (marker, thin frame), 30 % "
    "(border, which hides a part of the image) or, at a strength up to 0.4, 20 % (tone, blur), or "
    "where its 95 % interval reaches beyond 35, 50 and 40 %. Red only for the marker, where "
    "at strength 1 most of the other answers turn to one class, the whole 99 % interval above "
    "50 %: an answer that follows an alteration may follow a shortcut "
    "that was learnt, or be fragile; questions 3 and 6 decide between the two.",
    next_step="Look at which class the answers go to, and whether the training images of that "
    "class carry the shortcut; cut the border off (data.border_cut), erase it in training "
    "(train.augment.border_erase_share), or train with more tone and blur (train.augment), and "
    "audit again.",
    cost=12,
)
def answer_dose_response(context: AuditContext) -> QuestionAnswer:
    """Lay shortcuts of growing strength on images, and see how many answers follow."""
    originals = take_originals(context, "dose_response")
    answers = {
        (dose.name, strength): predict_altered(context, originals, dose.at(strength))
        for dose in track(_DOSES, "Laying shortcuts on images")
        for strength in STRENGTHS
    }
    responses = [_measure(context, originals, dose, answers) for dose in _DOSES]
    verdicts = {one.dose.name: _grade(one) for one in responses}
    worst = max(responses, key=lambda one: _rank(one, verdicts[one.dose.name]))
    return QuestionAnswer(
        find_worst(verdicts.values()),
        _describe(context, responses, verdicts, count=len(originals.groups)),
        tuple(_list_measures(context, responses)),
        (_draw(context, originals, worst),),
    )


def _measure(
    context: AuditContext,
    originals: OriginalAnswers,
    dose: _Dose,
    answers: Mapping[tuple[str, float], AlteredAnswers],
) -> _Response:
    steps = tuple(answers[dose.name, strength] for strength in STRENGTHS)
    changed = {str(number): step.changed for number, step in enumerate(steps)}
    purpose = f"dose {dose.name}"
    shares = estimate_means(context, originals, changed, purpose=purpose)
    half = resample_half_strength(
        np.stack([step.changed for step in steps]),
        resamples=context.config.bootstrap_resamples,
        generator=build_generator(context.config.seed, "audit", purpose, "half strength"),
    )
    return _Response(
        dose=dose,
        answers=steps,
        shares=tuple(shares.values()),
        half=half,
        turned=estimate_turned(context, originals, steps[-1], purpose=purpose),
    )


# Lights, words and numbers.


def _grade(response: _Response) -> Verdict:
    limits = response.dose.limits
    count = sum(strength <= limits.up_to for strength in STRENGTHS)
    if response.turned and (response.turned.strict.low or 0.0) > limits.red:
        return "red"
    shares = response.shares[:count]
    if any((share.value or 0.0) > limits.amber for share in shares):
        return "amber"
    highs = [1.0 if share.high is None else share.high for share in shares]
    return "amber" if max(highs) > limits.widest else "green"


def _find_largest(response: _Response) -> tuple[float, Estimate]:
    """Find the strength that counts, and at which most answers change, with their share."""
    counted = [strength for strength in STRENGTHS if strength <= response.dose.limits.up_to]
    return max(zip(counted, response.shares, strict=False), key=_by_share)


def _by_share(point: tuple[float, Estimate]) -> tuple[float, float]:
    return point[1].value or 0.0, point[0]


def _rank(response: _Response, verdict: Verdict) -> tuple[int, float, float]:
    """Rank a response: larger is more harmful."""
    return VERDICTS.index(verdict), -response.half.value, response.shares[-1].value or 0.0


def _describe(
    context: AuditContext,
    responses: Sequence[_Response],
    verdicts: Mapping[str, Verdict],
    *,
    count: int,
) -> str:
    harmful = [one for one in responses if verdicts[one.dose.name] == "red"]
    careful = [one for one in responses if verdicts[one.dose.name] == "amber"]
    begin = f"Shortcuts of growing strength were laid on {count} images, one a patient."
    strongest = max(responses, key=lambda one: _find_largest(one)[1].value or 0.0)
    shown = harmful or careful or [strongest]
    found = " ".join(_describe_one(context, one) for one in shown)
    meaning = (
        "The answers follow what says nothing about the lungs."
        if harmful
        else "Read answers on such images with care."
        if careful
        else "No shortcut draws the answers: not a marker or a frame, and not a tone or a blur as "
        "images differ in among themselves."
    )
    return f"{begin} {found} {meaning}"


def _describe_one(context: AuditContext, response: _Response) -> str:
    half, name = response.half, response.dose.name.capitalize()
    strength, share = _find_largest(response)
    most = f"{name}: {describe_share(share)} of the answers change at strength {strength:g}"
    target = ""
    if turned := response.turned:
        target = (
            f"; at full strength {turned.count} of the {turned.share.n} that were not "
            f"{context.class_names[turned.target]} turn to it"
        )
    if not np.isfinite(half.value):
        return f"{most}{target}."
    above = "more than 1" if not np.isfinite(half.high) else f"{half.high:.2f}"
    return f"{most}, half of all at {half.value:.2f} ({half.low:.2f} to {above}){target}."


def _list_measures(context: AuditContext, responses: Sequence[_Response]) -> Iterator[Measure]:
    yield from _list_largest(responses)
    for one in responses:
        yield _build_half(one)
    for one in responses:
        if one.turned:
            where = f"{one.dose.name} at strength 1"
            yield one.turned.build_measure(context.class_names, where)
    for one in responses:
        for strength, share in zip(STRENGTHS, one.shares, strict=True):
            yield build_measure(name_share(one.dose.name, strength), share)


def _list_largest(responses: Sequence[_Response]) -> Iterator[Measure]:
    """List the largest share of each kind of shortcut, over all strengths and directions."""
    measures = list(_list_largest_of_kinds(responses))
    yield from sorted(measures, key=lambda measure: -(measure.value or 0.0))


def _list_largest_of_kinds(responses: Sequence[_Response]) -> Iterator[Measure]:
    for kind in dict.fromkeys(one.dose.kind for one in responses):
        points = [
            (share, f"{one.dose.name} at strength {strength:g}")
            for one in responses
            if one.dose.kind == kind
            for strength, share in zip(STRENGTHS, one.shares, strict=True)
        ]
        share, where = max(points, key=lambda point: point[0].value or 0.0)
        yield build_measure(f"Share of answers changed by {kind}, at most", share, note=where)


def _build_half(response: _Response) -> Measure:
    """Build the measure of the strength; without value where more than 1 would be needed."""
    half = response.half
    is_reached = bool(np.isfinite(half.value))
    notes = [
        "" if is_reached else "more than 1: at full strength fewer than half of the answers change",
        "upper end more than 1" if is_reached and not np.isfinite(half.high) else "",
    ]
    return Measure(
        name=f"Strength that changes half of the answers, {response.dose.name}",
        value=half.value if is_reached else None,
        low=half.low if is_reached else None,
        high=half.high if is_reached and np.isfinite(half.high) else None,
        n=len(response.answers[0].changed),
        note="".join(notes),
    )


def _draw(
    context: AuditContext, originals: OriginalAnswers, response: _Response
) -> tuple[str, str, Image.Image]:
    """Draw one image in all strengths: of those that change the one that changes first."""
    changes = np.array([step.changed for step in response.answers])
    to_target = np.zeros_like(changes[-1])
    if turned := response.turned:
        to_target = response.answers[-1].decisions == turned.target
    moved = np.array([step.difference for step in response.answers]).mean(axis=0)
    number = int(np.lexsort((moved, changes.sum(axis=0), changes[-1] & to_target))[-1])
    tiles = [
        show_answer(context, originals.images[number], originals.probabilities[number], "original")
    ]
    for strength, step in zip(STRENGTHS, response.answers, strict=True):
        tile = show_answer(
            context,
            step.images[number],
            step.probabilities[number],
            f"strength {strength:g}",
            has_changed=bool(step.changed[number]),
        )
        tiles.append(tile)
    chosen = (
        "Of the images tried it is among those that changed first."
        if changes[:, number].any()
        else "No answer changed; this is the image whose probabilities moved most."
    )
    caption = (
        f"One image under a {response.dose.name} of growing strength, with the decision and its "
        f"probability below. {chosen}"
    )
    return "dose_response-strengths.png", caption, draw_tiles([tiles[:3], tiles[3:]])
