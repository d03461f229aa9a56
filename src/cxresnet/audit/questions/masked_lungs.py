"""Question 3: what is left of the score where the lungs are painted out, or only the border shown?

Three small networks are trained on the training images: whole, without lungs, and on the border
alone. They are scored on validation and test images together, as nothing was chosen on either. The
question is about the images: what a network can learn from them without the lungs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from cxresnet.audit.context import STRICT_CONFIDENCE, AuditContext, CannotBeTestedError
from cxresnet.audit.experiments.painting import (
    choose_border,
    describe_border,
    find_common_chest,
    find_known,
    gather_lung_masks,
    keep_border,
    paint_lungs_out,
)
from cxresnet.audit.experiments.small_network import (
    join_reduced,
    measure_preprocessing,
    predict_small,
    train_small_network,
)
from cxresnet.audit.model import Images, Probabilities
from cxresnet.audit.pictures import Tile, draw_tiles
from cxresnet.audit.question import QuestionAnswer, build_measure, register_question
from cxresnet.core.finding import Measure, Verdict
from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.metrics.classification import (
    CLASS_SCORES,
    HEADLINE_SCORES,
    ClassifiedImages,
    build_class_statistics,
    build_headline_statistics,
)
from cxresnet.metrics.estimate import Estimate, format_estimate
from cxresnet.metrics.statistic import Key, Scale, Statistic, divide
from cxresnet.shortcuts.probe import probe_features

WHOLE, WITHOUT_LUNGS, BORDER = "whole images", "lungs painted out", "border alone"

_BORDER_LIMIT = 0.3
_LUNGS_LIMIT = 0.5
_CLASS_LIMIT = 0.55
_SCALE: Scale = "area"
"""Of single classes: that of log-odds reaches down to chance where an AUROC is next to 1."""

_CHANCE = 0.5
_ABOVE_CHANCE = 0.6
"""The network on whole images must be shown to be above this, or a share of it means nothing."""

_SMALLEST_ABOVE = 0.02
_MIN_FOUND = 0.5


@dataclass(frozen=True, eq=False)
class _Views:
    """Images as the three networks see them, each from its name to (images, side, side).

    Attributes:
        learned: Of the training images.
        evaluated: Of validation and test images.
        shown: Mean share of the image that is left without the lungs, and on the border.
        border: What is kept of the image on the border, (side, side).
    """

    learned: dict[str, Images]
    evaluated: dict[str, Images]
    shown: dict[str, float]
    border: NDArray[np.bool_]


@dataclass(frozen=True)
class Remains:
    """What is left without the lungs, as shares of the AUROC above chance.

    Attributes:
        usual: 95 % intervals, by the names of the numbers.
        strict: 99 % intervals.
        border_class: The class that the border predicts best, with its AUROC; the interval allows
            for the number of classes.
        forest_class: The same of a random forest that is given the border's pixels and sharpness,
            cross-validated over all images: it needs fewer images to learn a weak shortcut.
    """

    usual: Mapping[Key, Estimate]
    strict: Mapping[Key, Estimate]
    border_class: tuple[str, Estimate]
    forest_class: tuple[str, Estimate] | None = None


@register_question(
    "masked_lungs",
    number=3,
    title="What is left of the score without the lungs?",
    threshold=f"Red where the 99 % interval shows that the border alone keeps more than "
    f"{100 * _BORDER_LIMIT:.0f} % of the AUROC above chance, or images without lungs more than "
    f"{100 * _LUNGS_LIMIT:.0f} %, or that the network or a random forest predicts one class "
    f"from the border with an AUROC above {_CLASS_LIMIT}; green where the 95 % intervals lie below "
    "these shares; else amber.",
    next_step="Look at the pictures for what lies outside of the lungs: letters, edges, tone. "
    "Crop to the lungs or erase the border (data.border_cut, train.augment.border_erase_share), "
    "add images of every class from every source, train and audit again.",
    cost=150,
)
def answer_masked_lungs(context: AuditContext) -> QuestionAnswer:
    """Train on whole images, without lungs and on the border alone, and compare the scores."""
    training = context.training
    evaluated_sets = (context.validation, context.test)
    side = min(context.config.small_side_px, training.images.shape[1])
    learned, evaluated = join_reduced([training], side), join_reduced(evaluated_sets, side)
    views = _paint(learned, evaluated, training, evaluated_sets)
    preprocessing = measure_preprocessing(context, learned.images)
    probabilities = {}
    for name, images in views.learned.items():
        network = train_small_network(
            context,
            name.replace(" ", "-"),
            replace(learned, images=images),
            preprocessing=preprocessing,
            purpose="masked_lungs",
        )
        probabilities[name] = predict_small(network, views.evaluated[name])
    remains = replace(
        _estimate(context, evaluated, probabilities),
        forest_class=_probe_border(context, (training, *evaluated_sets), views.border),
    )
    verdict = grade_remains(remains)
    _require_above_chance(remains, verdict)
    return QuestionAnswer(
        verdict,
        _describe(remains, verdict, views),
        _list_measures(remains, views),
        (_draw_views(context, evaluated, views, probabilities),),
    )


def _paint(
    learned: ImageSet,
    evaluated: ImageSet,
    training: ImageSet,
    evaluated_sets: Sequence[ImageSet],
) -> _Views:
    """Paint all images; shape, border and grey are those of the training images.

    Raises:
        CannotBeTestedError: The lungs were found on too few images.
    """
    side = learned.images.shape[1]
    masks = gather_lung_masks(training, side)
    found = find_known(masks)
    if found.mean() < _MIN_FOUND:
        raise CannotBeTestedError(
            f"The lungs were found on {found.sum()} of {len(found)} training images only, so they "
            "cannot be painted out. Prepare the dataset with lung masks."
        )
    chest, border = find_common_chest(masks), choose_border(masks)
    grey = round(float(learned.images.mean()))
    other_masks = np.concatenate([gather_lung_masks(images, side) for images in evaluated_sets])
    without, painted = paint_lungs_out(learned.images, masks, chest=chest, grey=grey)
    other_without, _ = paint_lungs_out(evaluated.images, other_masks, chest=chest, grey=grey)
    return _Views(
        learned={
            WHOLE: learned.images,
            WITHOUT_LUNGS: without,
            BORDER: keep_border(learned.images, border, grey=grey),
        },
        evaluated={
            WHOLE: evaluated.images,
            WITHOUT_LUNGS: other_without,
            BORDER: keep_border(evaluated.images, border, grey=grey),
        },
        shown={WITHOUT_LUNGS: 1 - float(painted.mean()), BORDER: float(border.mean())},
        border=border,
    )


# The numbers.


def build_statistics(
    truth: NDArray[np.int64],
    probabilities: Mapping[str, Probabilities],
    *,
    class_names: tuple[str, ...],
) -> list[Statistic]:
    """Build the numbers of the three networks, all on the same images.

    Args:
        truth: (images,).
        probabilities: By network, each (images, classes).
        class_names: In the order of the columns.

    Returns:
        ("auroc", network) the macro AUROC, one class against the rest; ("share", network) the share
        of what it has above chance that is left; ("border", class) the AUROC on the border alone.
    """
    shown = [label for label in range(len(class_names)) if 0 < (truth == label).mean() < 1]
    areas = {}
    border: list[Statistic] = []
    for name, table in probabilities.items():
        classified = ClassifiedImages(
            class_names=class_names,
            truth=truth,
            predicted=table.argmax(axis=1),
            probabilities=table,
        )
        headline = build_headline_statistics(classified, classes=shown)
        macro = headline[HEADLINE_SCORES.index("macro_auroc")]
        areas[name] = replace(macro, name=("auroc", name))
        if name == BORDER:
            place = CLASS_SCORES.index("auroc")
            border = [
                replace(
                    build_class_statistics(classified, label)[place],
                    name=("border", class_names[label]),
                )
                for label in shown
            ]
    shares = [
        build_share_above_chance(("share", name), areas[name], areas[WHOLE])
        for name in areas
        if name != WHOLE
    ]
    return [*areas.values(), *shares, *border]


def build_share_above_chance(name: Key, altered: Statistic, whole: Statistic) -> Statistic:
    """Build the share of an AUROC above chance that is left: (altered - 0.5) / (whole - 0.5).

    It may be below 0, or above 1. Both are computed on the same resample; where the whole is at
    chance in it, the share is not defined.
    """

    def compute(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        above = whole.compute(weights) - _CHANCE
        denominator = np.where(above > _SMALLEST_ABOVE, above, 0.0)
        return divide(altered.compute(weights) - _CHANCE, denominator)

    return Statistic(
        name=name,
        compute=compute,
        parts=whole.parts,
        undefined=whole.undefined,
        scale="real",
    )


def _estimate(
    context: AuditContext, evaluated: ImageSet, probabilities: Mapping[str, Probabilities]
) -> Remains:
    """Estimate all numbers with three kinds of interval, on the same resamples."""
    statistics = build_statistics(evaluated.labels, probabilities, class_names=context.class_names)
    by_class = [replace(one, scale=_SCALE) for one in statistics if one.name[0] == "border"]
    groups = evaluated.manifest["group_id"].to_numpy(dtype=str)

    def estimate(chosen: list[Statistic], confidence: float) -> dict[Key, Estimate]:
        return context.estimate(
            chosen, groups=groups, purpose="masked_lungs", confidence=confidence
        )

    corrected = estimate(by_class, 1 - (1 - STRICT_CONFIDENCE) / max(1, len(by_class)))
    best = max(corrected, key=lambda name: _get_low(corrected[name]))
    return Remains(
        usual=estimate(statistics, 0.95),
        strict=estimate(statistics, STRICT_CONFIDENCE),
        border_class=(str(best[1]), corrected[best]),
    )


def _probe_border(
    context: AuditContext, image_sets: Sequence[ImageSet], border: NDArray[np.bool_]
) -> tuple[str, Estimate] | None:
    """Let a random forest predict the class from the border of images that it did not learn from.

    Returns:
        The class that is predicted best, with its AUROC; the interval allows for the number of
        classes, and for this being the second classifier. None where a class has one patient only.
    """
    features = np.concatenate([describe_border(images.images, border) for images in image_sets])
    manifest = pd.concat([images.manifest for images in image_sets], ignore_index=True)
    confidence = 1 - (1 - STRICT_CONFIDENCE) / (2 * len(context.class_names))
    seed = context.config.seed
    try:
        result = probe_features(
            "border", features, manifest, seed=seed, confidence=confidence, scale=_SCALE
        )
    except ValueError:
        return None
    return max(result.auroc.items(), key=lambda item: _get_low(item[1]))


def _get_low(estimate: Estimate) -> float:
    return -1.0 if estimate.low is None else estimate.low


def grade_remains(remains: Remains) -> Verdict:
    """Grade what is left without the lungs; see the question's threshold."""
    border, lungs = ("share", BORDER), ("share", WITHOUT_LUNGS)
    strict, usual = remains.strict, remains.usual
    if (
        _get_low(strict[border]) > _BORDER_LIMIT
        or _get_low(strict[lungs]) > _LUNGS_LIMIT
        or any(
            _get_low(one[1]) > _CLASS_LIMIT
            for one in (remains.border_class, remains.forest_class)
            if one is not None
        )
    ):
        return "red"
    is_low = (
        _is_below(usual[border], _BORDER_LIMIT),
        _is_below(usual[lungs], _LUNGS_LIMIT),
    )
    return "green" if all(is_low) else "amber"


def _is_below(estimate: Estimate, limit: float) -> bool:
    return estimate.high is not None and estimate.high < limit


def _require_above_chance(remains: Remains, verdict: Verdict) -> None:
    """Refuse shares of next to nothing; what the border shows by itself stands nevertheless.

    Raises:
        CannotBeTestedError: The network on whole images learnt too little.
    """
    whole = remains.usual["auroc", WHOLE]
    if _get_low(whole) <= _ABOVE_CHANCE and verdict != "red":
        raise CannotBeTestedError(
            "A small network did not learn the classes from whole images (AUROC "
            f"{format_estimate(whole, digits=2)}), so nothing can be missing without the lungs. "
            "Train it longer: --set audit.small_epochs=60."
        )


# What is said and shown.


def _describe(remains: Remains, verdict: Verdict, views: _Views) -> str:
    usual = remains.usual
    found = [(*remains.border_class, "a small network")]
    if remains.forest_class is not None:
        found.append((*remains.forest_class, "a random forest"))
    class_name, border, classifier = max(found, key=lambda one: _get_low(one[1]))
    meaning = {
        "red": "The classes can be predicted here without the lungs, so a good score is no proof "
        "that a model reads them.",
        "green": "What predicts the class in these images lies in and around the lungs.",
    }.get(
        verdict,
        "Part of the score may come from outside of the lungs, or there are too few images to say.",
    )
    return (
        "Small networks were trained anew, and tested on validation and test images. On whole "
        "images the AUROC is "
        f"{format_estimate(usual['auroc', WHOLE], digits=2)}. Of what it has above chance, "
        f"{_format_share(usual['share', WITHOUT_LUNGS])} is left with the lungs and all "
        "between them painted out "
        f"({100 * views.shown[WITHOUT_LUNGS]:.0f} % of the image remains), and "
        f"{_format_share(usual['share', BORDER])} on the border alone, from which {classifier} "
        f"predicts {class_name} with an AUROC of {border.value or 0:.2f}. {meaning} "
        "On X-rays of patients the size of the heart, lines and tubes, or soft tissue may rightly "
        "carry something outside of the lungs; the border should carry next to nothing."
    )


def _format_share(estimate: Estimate) -> str:
    if estimate.value is None:
        return "an unknown share"
    if estimate.low is None or estimate.high is None:
        return f"{100 * estimate.value:.0f} %"
    return f"{100 * estimate.value:.0f} % ({100 * estimate.low:.0f} to {100 * estimate.high:.0f} %)"


def _list_measures(remains: Remains, views: _Views) -> tuple[Measure, ...]:
    usual = remains.usual
    class_name, border = remains.border_class
    areas = [
        build_measure(
            f"AUROC on {name}" if name == WHOLE else f"AUROC, {name}",
            usual["auroc", name],
            note="mean over the classes, each against the rest",
        )
        for name in (WHOLE, WITHOUT_LUNGS, BORDER)
    ]
    shares = [
        build_measure(
            f"Share of the AUROC above chance, {name}",
            usual["share", name],
            note=f"{100 * views.shown[name]:.0f} % of the image remain",
        )
        for name in (WITHOUT_LUNGS, BORDER)
    ]
    best = build_measure(
        f"AUROC of {class_name}, {BORDER}",
        border,
        note="the class with the highest lower end; 99 % interval, for all classes at once",
    )
    if remains.forest_class is None:
        return (*shares, *areas, best)
    class_name, area = remains.forest_class
    note = "cross-validated over all images; 99 % interval, allowing for all that was compared"
    forest = build_measure(f"AUROC of {class_name}, random forest on the {BORDER}", area, note=note)
    return (*shares, *areas, best, forest)


def _draw_views(
    context: AuditContext,
    evaluated: ImageSet,
    views: _Views,
    probabilities: Mapping[str, Probabilities],
) -> tuple[str, str, Image.Image]:
    """Draw one test image a class as the three networks see it."""
    before = len(evaluated) - len(context.test)
    drawn = context.draw_rows(len(context.class_names), "masked_lungs")
    rows = []
    for row in sorted((drawn + before).tolist(), key=lambda one: int(evaluated.labels[one])):
        label = int(evaluated.labels[row])
        name = context.class_names[label]
        rows.append(
            [
                Tile(
                    views.evaluated[view][row],
                    f"{name}, {view}: probability of {name} {probabilities[view][row, label]:.2f}",
                )
                for view in (WHOLE, WITHOUT_LUNGS, BORDER)
            ]
        )
    caption = (
        "One test image of each class as the three small networks see it, and the probability that "
        "each gives to its class."
    )
    return "masked_lungs-views.png", caption, draw_tiles(rows)
