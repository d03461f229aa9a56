"""Question 7: do changes that mean nothing to a reader change the answer?

Three kinds: harmless changes of the image, a letter pasted into a corner, and the same image in
another file format. Two more are shown without a light.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from cxresnet.audit.context import STRICT_CONFIDENCE, AuditContext
from cxresnet.audit.experiments.alterations import (
    Alteration,
    change_tone,
    compress,
    mirror,
    paste_letter,
    resample,
    rotate,
    shift,
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
from cxresnet.audit.experiments.encodings import EncodingAnswers, compare_encodings
from cxresnet.audit.pictures import draw_tiles
from cxresnet.audit.question import QuestionAnswer, build_measure, find_worst, register_question
from cxresnet.core.errors import ImageError
from cxresnet.core.finding import Measure, Verdict
from cxresnet.core.progress import track
from cxresnet.metrics.estimate import Estimate

_HARMLESS = (
    Alteration("rotated by 5° to the left", partial(rotate, degrees=5)),
    Alteration("rotated by 5° to the right", partial(rotate, degrees=-5)),
    Alteration("shifted up by 3 %", partial(shift, down=-0.03)),
    Alteration("shifted down by 3 %", partial(shift, down=0.03)),
    Alteration("shifted to the left by 3 %", partial(shift, across=-0.03)),
    Alteration("shifted to the right by 3 %", partial(shift, across=0.03)),
    Alteration("brighter (gamma 0.8)", partial(change_tone, gamma=0.8)),
    Alteration("darker (gamma 1.25)", partial(change_tone, gamma=1.25)),
    Alteration("reduced to three quarters and enlarged", partial(resample, share=0.75)),
    Alteration("stored as JPEG of quality 50", partial(compress, quality=50)),
)
_LETTERS = (
    Alteration("letter in the upper left corner", paste_letter),
    Alteration("letter in the upper right corner", partial(paste_letter, at_right=True)),
)
_SHOWN_ONLY = (
    Alteration("reduced to half and enlarged", partial(resample, share=0.5)),
    Alteration("mirrored", mirror),
)
"""Half the pixels of a prepared image lose fine detail, and a mirrored chest is another chest."""

_RED = 0.5
_HARMLESS_AMBER, _LETTER_AMBER = 0.10, 0.05
_MAX_HIGH = 0.25
"""Where the interval reaches further, too few images were tried to call a share small."""

_ENCODED_IMAGES = 30
_SAME_PROBABILITY = 0.01
_TILES_A_ROW = 5


@dataclass(frozen=True, eq=False)
class _Result:
    """What one alteration did.

    Attributes:
        alteration: What was done.
        answers: To the altered images.
        share: Of changed decisions.
        strict: The same with `STRICT_CONFIDENCE`.
        mean: Of the largest change of a probability.
        turned: Of a letter, which class the changed decisions go to; None where none changed.
    """

    alteration: Alteration
    answers: AlteredAnswers
    share: Estimate
    strict: Estimate
    mean: Estimate
    turned: TurnedAnswers | None


@register_question(
    "invariance",
    number=7,
    title="Do changes that mean nothing to a reader change the answer?",
    threshold="Red where most decisions change on a harmless alteration (rotation, shift, tone, "
    "resampling, JPEG, a pasted letter), or where a letter turns most of the other answers to one "
    "class: the whole 99 % interval of the share is above 50 %; or where one decision changes "
    "between file formats that lose nothing. Amber where the share is "
    "above 10 % (letter: 5 %), where its 95 % interval reaches beyond 25 %, or where a file format "
    "was refused. Mirroring and half the pixels have no light. A well-trained clean network on "
    "phantoms changes at most about 6 % of its decisions, one of few images up to half; a letter "
    "that they never saw turned at most 43 % of the other answers of 20 such networks.",
    next_step="Train with more rotation, shift and tone (train.augment); where a letter changes "
    "the answer, cut the border off (data.border_cut) or erase it in training "
    "(train.augment.border_erase_share), and audit again.",
    cost=6,
)
def answer_invariance(context: AuditContext) -> QuestionAnswer:
    """Alter images in ways that mean nothing, and store them in other formats; compare answers."""
    originals = take_originals(context, "invariance")
    alterations = (*_HARMLESS, *_LETTERS, *_SHOWN_ONLY)
    answers = {
        one.name: predict_altered(context, originals, one.change)
        for one in track(alterations, "Altering images")
    }
    harmless, letters, shown_only = (
        _estimate(context, originals, kind, answers) for kind in (_HARMLESS, _LETTERS, _SHOWN_ONLY)
    )
    encodings = _test_encodings(context, originals)
    verdicts = (
        find_worst(_grade(one, amber=_HARMLESS_AMBER) for one in harmless),
        find_worst(_grade_letter(one) for one in letters),
        encodings.verdict,
    )
    results = (*harmless, *letters, *shown_only)
    sentences = (
        _describe_harmless(harmless, len(originals.groups)),
        _describe_letters(letters, context.class_names),
        encodings.sentence,
        _MEANING[find_worst(verdicts)],
    )
    return QuestionAnswer(
        find_worst(verdicts),
        " ".join(sentences),
        (*_list_measures(results, context.class_names), *encodings.measures),
        (_draw(context, originals, results),),
        next_step=_REPORT_FAULT if verdicts[:2] == ("green", "green") else "",
    )


_MEANING = {
    "green": "The answer does not hang on how the image was taken or stored.",
    "amber": "Read single answers with care: some hang on how the image was taken or stored.",
    "red": "The answer hangs on what says nothing about the patient.",
    "cannot be tested": "",
}
_REPORT_FAULT = (
    "Files of the same image must give the same answer: look at the format that is named, convert "
    "such files before use, and report it as a fault of the program that reads them."
)


def _estimate(
    context: AuditContext,
    originals: OriginalAnswers,
    alterations: Sequence[Alteration],
    answers: Mapping[str, AlteredAnswers],
) -> tuple[_Result, ...]:
    """Estimate how often each alteration changes a decision, and how far the probabilities move."""
    changed = {one.name: answers[one.name].changed for one in alterations}
    moved = {one.name: answers[one.name].difference for one in alterations}
    purpose = "invariance"
    shares = estimate_means(context, originals, changed, purpose=purpose)
    strict = estimate_means(
        context, originals, changed, purpose=purpose, confidence=STRICT_CONFIDENCE
    )
    means = estimate_means(context, originals, moved, purpose=purpose)
    return tuple(
        _Result(
            one,
            answers[one.name],
            shares[one.name],
            strict[one.name],
            means[one.name],
            estimate_turned(context, originals, answers[one.name], purpose=purpose)
            if one in _LETTERS
            else None,
        )
        for one in alterations
    )


def _grade(result: _Result, *, amber: float) -> Verdict:
    if (result.strict.low or 0.0) > _RED:
        return "red"
    high = 1.0 if result.share.high is None else result.share.high
    return "amber" if (result.share.value or 0.0) > amber or high > _MAX_HIGH else "green"


def _grade_letter(result: _Result) -> Verdict:
    if result.turned and (result.turned.strict.low or 0.0) > _RED:
        return "red"
    return _grade(result, amber=_LETTER_AMBER)


def _find_most_harmful(results: Sequence[_Result]) -> _Result:
    return max(results, key=lambda one: one.share.value or 0.0)


def _describe_harmless(results: Sequence[_Result], count: int) -> str:
    worst = _find_most_harmful(results)
    return (
        f"{count} images, one a patient, were changed in {len(results)} harmless ways; most "
        f"decisions changed on images {worst.alteration.name}: {describe_share(worst.share)}."
    )


def _describe_letters(results: Sequence[_Result], class_names: Sequence[str]) -> str:
    worst = max(results, key=_rank_letter)
    sentence = f"A pasted {worst.alteration.name} changed {describe_share(worst.share)}."
    if worst.turned is None:
        return sentence
    return (
        f"{sentence} The changed ones mostly turned to {class_names[worst.turned.target]}: "
        f"{worst.turned.count} of the {worst.turned.share.n} images that did not have this answer "
        "before."
    )


def _rank_letter(result: _Result) -> tuple[float, float]:
    turned = result.turned.strict.low if result.turned else None
    return turned or 0.0, result.share.value or 0.0


def _list_measures(results: Sequence[_Result], class_names: Sequence[str]) -> Iterator[Measure]:
    worst_first = sorted(
        results, key=lambda one: (one.alteration in _SHOWN_ONLY, -(one.share.value or 0.0))
    )
    for one in worst_first:
        name = one.alteration.name
        note = "without a light" if one.alteration in _SHOWN_ONLY else ""
        yield build_measure(f"Share of decisions changed, {name}", one.share, note=note)
    for one in results:
        if one.turned:
            yield one.turned.build_measure(class_names, one.alteration.name)
    for one in results:
        largest = f"largest {one.answers.difference.max():.2f}"
        name = f"Mean change of probability, {one.alteration.name}"
        yield build_measure(name, one.mean, note=largest)


def _draw(
    context: AuditContext, originals: OriginalAnswers, results: Sequence[_Result]
) -> tuple[str, str, Image.Image]:
    """Draw one image in all alterations: the one whose decision changes most often."""
    counted = [one.answers for one in results if one.alteration not in _SHOWN_ONLY]
    changes = np.sum([one.changed for one in counted], axis=0)
    moved = np.mean([one.difference for one in counted], axis=0)
    number = int(np.lexsort((moved, changes))[-1])
    tiles = [
        show_answer(context, originals.images[number], originals.probabilities[number], "original")
    ]
    for one in results:
        tile = show_answer(
            context,
            one.answers.images[number],
            one.answers.probabilities[number],
            one.alteration.name,
            has_changed=bool(one.answers.changed[number]),
        )
        tiles.append(tile)
    rows = [tiles[start : start + _TILES_A_ROW] for start in range(0, len(tiles), _TILES_A_ROW)]
    caption = (
        f"One image, altered in {len(results)} ways, with the decision and its probability below. "
        f"Of all images tried it is the one whose decision changes most often: {changes[number]} "
        f"of {len(counted)} times."
    )
    return "invariance-alterations.png", caption, draw_tiles(rows)


# The same image in other file formats.


@dataclass(frozen=True)
class _EncodingFinding:
    """What the file formats add to the answer."""

    verdict: Verdict
    sentence: str
    measures: tuple[Measure, ...] = ()


def _test_encodings(context: AuditContext, originals: OriginalAnswers) -> _EncodingFinding:
    try:
        reference, encodings = compare_encodings(context, originals, count=_ENCODED_IMAGES)
    except ImageError as error:
        return _EncodingFinding("amber", f"File formats could not be compared: {error}")
    changed = {one.encoding.name: one.answers.changed for one in encodings if one.answers}
    shares = estimate_means(context, reference, changed, purpose="encodings")
    strict = estimate_means(
        context, reference, changed, purpose="encodings", confidence=STRICT_CONFIDENCE
    )
    measures = tuple(
        build_measure(
            f"Share of decisions changed, {one.encoding.name} instead of PNG",
            shares[one.encoding.name],
            note=f"largest change of probability {one.answers.difference.max():.4f}",
        )
        for one in encodings
        if one.answers
    )
    verdict = find_worst(_grade_encoding(one, strict) for one in encodings)
    return _EncodingFinding(
        verdict, _describe_encodings(encodings, len(reference.groups)), measures
    )


def _grade_encoding(one: EncodingAnswers, strict: Mapping[str, Estimate]) -> Verdict:
    if one.answers is None:
        return "amber" if one.is_refused else "green"
    share = strict[one.encoding.name]
    if one.encoding.is_lossless:
        if one.answers.changed.any():
            return "red"
        return "amber" if one.answers.difference.max() > _SAME_PROBABILITY else "green"
    if (share.low or 0.0) > _RED:
        return "red"
    return "amber" if (share.value or 0.0) > _HARMLESS_AMBER else "green"


def _describe_encodings(encodings: Sequence[EncodingAnswers], count: int) -> str:
    tried = [one for one in encodings if one.answers]
    changing = [
        f"{one.encoding.name} ({int(one.answers.changed.sum())} of {count})"
        for one in tried
        if one.answers and one.answers.changed.any()
    ]
    refused = [
        f"{one.encoding.name} was not tried: {one.reason}" for one in encodings if one.reason
    ]
    said = (
        f"Another decision than on the PNG of the same image came from {', '.join(changing)}."
        if changing
        else f"The same image as PNG and in {len(tried)} other encodings had the same decision."
    )
    return " ".join([said, *refused])
