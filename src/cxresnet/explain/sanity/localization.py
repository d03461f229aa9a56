"""Localisation: does the map lie in the lungs, and does its maximum point at the lesion?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from cxresnet.explain.lungs import compute_lung_area_share, compute_lung_share
from cxresnet.explain.methods.method import AbstractMethod
from cxresnet.explain.sanity.check import (
    Maps,
    SanityCheck,
    SanityExperiment,
    SanityImages,
    Values,
    describe_estimate,
    get_low,
    register_check,
    report_untested,
)
from cxresnet.explain.sanity.record import SanityMeasure, TestResult
from cxresnet.metrics.bootstrap import estimate_mean

MIN_HIT_RATE = 0.5

_POINTING_TOLERANCE = 15 / 224


@register_check(
    SanityCheck(
        test="lungs",
        title="Attribution in the lungs",
        question="Is the share of the map in the lungs larger than the lungs' share of the image?",
        passes="Larger over all images (lower end of the interval above 0), and larger for each "
        "explained class.",
        reason="The diseases are in the lungs; a shortcut for one class hides in a mean over all.",
        source="DeGrave 2021 (shortcuts outside of the lungs)",
    )
)
def check_lungs(experiment: SanityExperiment, method: AbstractMethod) -> TestResult:
    """Check that the maps of a method lie in the lungs."""
    shares, areas = measure_lungs(experiment.maps[method.name], experiment.sample)
    return grade_lungs(
        shares, areas, targets=experiment.sample.targets, class_names=experiment.class_names
    )


@register_check(
    SanityCheck(
        test="pointing",
        title="Pointing game",
        question="Does the maximum of the map lie in the lesion?",
        passes="More often than a random point in the lungs (lower end of the interval above that "
        "rate), and on at least half of the images.",
        reason="A pointer that is wrong more often than right misleads, even if it beats chance.",
        source="Zhang 2018 (pointing game)",
    )
)
def check_pointing(experiment: SanityExperiment, method: AbstractMethod) -> TestResult:
    """Check that the maps of a method point at the lesion."""
    return grade_pointing(*measure_pointing(experiment.maps[method.name], experiment.sample))


def grade_lungs(
    shares: Values, areas: Values, *, targets: Sequence[int], class_names: Sequence[str]
) -> TestResult:
    """Grade the share of the map in the lungs, over all images and for each explained class."""
    known = ~np.isnan(shares)
    if not known.any():
        return report_untested("lungs", "No image has a lung mask, or the maps are empty.")
    excess = shares - areas
    measures = [
        SanityMeasure(name="all images", estimate=estimate_mean(excess, scale="difference"))
    ]
    for index, name in enumerate(class_names):
        ours = excess[known & (np.array(targets) == index)]
        if len(ours):
            measures.append(
                SanityMeasure(name=name, estimate=estimate_mean(ours, scale="difference"))
            )
    worst = min(measures[1:], key=lambda measure: measure.estimate.value or 0.0)
    fails_in_class = (worst.estimate.value or 0.0) <= 0
    passed = get_low(measures[0].estimate) > 0 and not fails_in_class
    first = worst if fails_in_class else measures[0]
    share, area = float(shares[known].mean()), float(areas[known].mean())
    sentence = (
        f"{share:.0%} of the weight lies in the lungs, which cover {area:.0%} of the image; "
        f"difference for {first.name}: {describe_estimate(first.estimate, signed=True)}."
    )
    return TestResult(
        test="lungs",
        verdict="pass" if passed else "fail",
        sentence=sentence,
        measures=(first, *(measure for measure in measures if measure is not first)),
    )


def grade_pointing(hits: Values, chance: Values) -> TestResult:
    """Grade the pointing game."""
    if np.isnan(hits).all():
        return report_untested("pointing", "No correctly classified image has a lesion mask.")
    blind = float(np.nanmean(chance))
    estimate = estimate_mean(hits, scale="share")
    measure = SanityMeasure(name="hit rate", estimate=estimate, chance=blind)
    passed = get_low(estimate) > blind and (estimate.value or 0.0) >= MIN_HIT_RATE
    return TestResult(
        test="pointing",
        verdict="pass" if passed else "fail",
        sentence=f"The maximum of the map hits the lesion with a rate of "
        f"{describe_estimate(estimate)}; a random point in the lungs would hit {blind:.2f}.",
        measures=(measure,),
    )


def measure_lungs(maps: Maps, sample: SanityImages) -> tuple[Values, Values]:
    """Measure the share of each map's weight in the lungs, and the lungs' share of the image.

    Returns:
        Both (image,), 0 to 1; NaN where the lungs are not known or the map is empty.
    """
    shares, areas = np.full(len(sample), np.nan), np.full(len(sample), np.nan)
    for row, mask in enumerate(sample.lung_masks):
        share = compute_lung_share(maps[row], mask) if mask.any() else None
        if share is not None:
            shares[row], areas[row] = share, compute_lung_area_share(mask)
    return shares, areas


def measure_pointing(maps: Maps, sample: SanityImages) -> tuple[Values, Values]:
    """Play the pointing game: does the maximum of the map lie in or near the lesion?

    Only correctly classified images count: on the others the map explains another class than that
    of the lesion. Where several pixels share the maximum, the share of them that hits counts.

    Returns:
        Hits (image,), 0 to 1, and the hit rate of a random point in the lungs (in the image, where
        the lungs are not known); NaN where there is no lesion mask.

    References:
        Zhang 2018 (excitation backprop), section 4.1, with their tolerance of 15 px (of 224).
    """
    tolerance_px = round(_POINTING_TOLERANCE * maps.shape[-1])
    hits, chance = np.full(len(sample), np.nan), np.full(len(sample), np.nan)
    for row, mask in enumerate(sample.lesion_masks):
        if mask.any() and sample.targets[row] == sample.truth[row]:
            near = ndimage.distance_transform_edt(mask == 0) <= tolerance_px
            hits[row] = float(near[maps[row] == maps[row].max()].mean())
            lungs = sample.lung_masks[row] > 0
            chance[row] = float(near[lungs].mean() if lungs.any() else near.mean())
    return hits, chance
