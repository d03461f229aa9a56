"""The model's answers to altered copies of some images, compared with those to the originals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.audit.context import STRICT_CONFIDENCE, AuditContext, CannotBeTestedError
from cxresnet.audit.experiments.alterations import GreyImage
from cxresnet.audit.model import Images, Probabilities
from cxresnet.audit.pictures import Tile
from cxresnet.audit.question import build_measure
from cxresnet.core.finding import Measure
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import build_mean

MIN_PATIENTS = 10
"""Fewer say nothing about a share."""


@dataclass(frozen=True, eq=False)
class OriginalAnswers:
    """Images, one a patient, with the answers that altered copies are compared with.

    Attributes:
        images: (images, side, side).
        groups: Patient of each, (images,).
        probabilities: (images, classes).
        decisions: Column of the decided class, (images,).
    """

    images: Images
    groups: NDArray[np.str_]
    probabilities: Probabilities
    decisions: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class AlteredAnswers:
    """The answers to copies of the images that were all altered in one way.

    Attributes:
        images: The copies, (images, side, side).
        probabilities: (images, classes).
        decisions: Column of the decided class, (images,).
        changed: Where the decision is another one than that on the original, (images,).
        difference: Largest change of the probability of any class, (images,), 0 to 1.
    """

    images: Images
    probabilities: Probabilities
    decisions: NDArray[np.int64]
    changed: NDArray[np.bool_]
    difference: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TurnedAnswers:
    """How many answers an alteration turns to one class, of those that it can turn.

    A share of changed answers cannot say that all answers follow an alteration: where a third of
    the images has the answer already, at most two thirds can change.

    Attributes:
        target: Column of the class that most changed answers go to.
        count: Images that turned to it.
        share: Of the images with another answer before, those that turned; n is their number.
        strict: The same with `STRICT_CONFIDENCE`.
    """

    target: int
    count: int
    share: Estimate
    strict: Estimate

    def build_measure(self, class_names: Sequence[str], where: str) -> Measure:
        """Build the measure of the share, named after the class and what turned the answers."""
        name = f"Share of other answers that turn to {class_names[self.target]}, {where}"
        return build_measure(name, self.share)


def take_originals(context: AuditContext, purpose: str) -> OriginalAnswers:
    """Draw `audit.altered_images` images, one a patient, with their answers.

    Raises:
        CannotBeTestedError: There are fewer than `MIN_PATIENTS` patients.
    """
    rows = context.draw_rows(context.config.altered_images, purpose)
    if len(rows) < MIN_PATIENTS:
        raise CannotBeTestedError(
            f"The test images are of {len(rows)} patients; at least {MIN_PATIENTS} are needed to "
            "say how often an answer changes."
        )
    return OriginalAnswers(
        images=context.take_images(rows),
        groups=context.groups[rows],
        probabilities=context.probabilities[rows],
        decisions=context.predicted[rows],
    )


def predict_altered(
    context: AuditContext,
    originals: OriginalAnswers,
    change: Callable[[GreyImage], GreyImage],
) -> AlteredAnswers:
    """Predict copies of the images that are all altered in one way."""
    images = np.stack([change(image) for image in originals.images])
    return compare(context, originals, images=images, probabilities=context.model.predict(images))


def compare(
    context: AuditContext,
    originals: OriginalAnswers,
    *,
    images: Images,
    probabilities: Probabilities,
) -> AlteredAnswers:
    """Compare the probabilities of altered images with those of the originals."""
    decisions = context.model.decide(probabilities)
    return AlteredAnswers(
        images=images,
        probabilities=probabilities,
        decisions=decisions,
        changed=decisions != originals.decisions,
        difference=np.abs(probabilities - originals.probabilities).max(axis=1),
    )


def estimate_means(
    context: AuditContext,
    originals: OriginalAnswers,
    values: Mapping[str, NDArray[np.generic]],
    *,
    purpose: str,
    confidence: float = 0.95,
) -> dict[str, Estimate]:
    """Estimate the mean over patients of several values an image; NaN is left out.

    Args:
        context: Of the audit.
        originals: Whose patients are resampled.
        values: From name to one value an image, 0 to 1, (images,).
        purpose: Of the random draws.
        confidence: Coverage of the intervals.
    """
    means = [build_mean(name, value.astype(np.float64)) for name, value in values.items()]
    found = context.estimate(means, groups=originals.groups, purpose=purpose, confidence=confidence)
    return {name: found[name] for name in values}


def estimate_turned(
    context: AuditContext, originals: OriginalAnswers, answers: AlteredAnswers, *, purpose: str
) -> TurnedAnswers | None:
    """Estimate how many answers turn to the class that most go to; None where none changed."""
    changed = answers.decisions[answers.changed]
    if not len(changed):
        return None
    target = int(np.bincount(changed).argmax())
    is_target = answers.decisions == target
    turned = {"turned": np.where(originals.decisions == target, np.nan, is_target)}
    share, strict = (
        estimate_means(context, originals, turned, purpose=purpose, confidence=confidence)["turned"]
        for confidence in (0.95, STRICT_CONFIDENCE)
    )
    return TurnedAnswers(target, int((answers.changed & is_target).sum()), share, strict)


def show_answer(
    context: AuditContext,
    image: GreyImage,
    probabilities: NDArray[np.float64],
    text: str,
    *,
    has_changed: bool = False,
) -> Tile:
    """Show an image with what was done to it, and the decision with its probability."""
    decision = int(context.model.decide(probabilities[None])[0])
    name, probability = context.class_names[decision], float(probabilities[decision])
    changed = " (changed)" if has_changed else ""
    return Tile(image, f"{text}: {name} {probability:.2f}{changed}")


def describe_share(estimate: Estimate) -> str:
    """Describe a share in percent with its interval, for a sentence.

    >>> describe_share(Estimate(value=0.25, low=0.181, high=0.334, n=120, groups=120))
    '25 % (18–33 %)'
    """
    if estimate.value is None:
        return "unknown"
    value = f"{100 * estimate.value:.0f} %"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({100 * estimate.low:.0f}–{100 * estimate.high:.0f} %)"
