"""Agreement between baselines: is a map the same, whatever a covered patch is filled with?"""

from __future__ import annotations

import numpy as np
import torch

from cxresnet.core.progress import track
from cxresnet.explain.methods.method import AbstractMethod
from cxresnet.explain.sanity.check import (
    Maps,
    SanityCheck,
    SanityExperiment,
    Values,
    describe_estimate,
    get_low,
    register_check,
    report_untested,
)
from cxresnet.explain.sanity.record import SanityMeasure, TestResult
from cxresnet.metrics.bootstrap import estimate_mean

MIN_AGREEMENT = 0.5

_STRONGEST_SHARE = 0.05


@register_check(
    SanityCheck(
        test="baselines",
        title="Agreement between baselines",
        question="Where the map is strongest, is it stronger than the range between baselines?",
        passes="On more than half of its strongest pixels, the top 5 % of each image (lower end of "
        "the interval above 0.5).",
        reason="A range as large as the map means that another baseline gives nothing there, or "
        "the opposite sign: the map shows the filling, not the image.",
        source="Sturmfels 2020 (choice of the baseline)",
    )
)
def check_baselines(experiment: SanityExperiment, method: AbstractMethod) -> TestResult:
    """Check that the maps of a method do not depend on the baseline."""
    ranges = measure_ranges(experiment, method)
    if ranges is None:
        return report_untested("baselines", "The method has a single baseline, or none.")
    return grade_agreement(measure_agreement(experiment.maps[method.name], ranges))


def grade_agreement(agreement: Values) -> TestResult:
    """Grade the share of the strongest pixels on which the baselines agree, (image,)."""
    if np.isnan(agreement).all():
        return report_untested("baselines", "The maps are empty.")
    estimate = estimate_mean(agreement, scale="share")
    return TestResult(
        test="baselines",
        verdict="pass" if get_low(estimate) > MIN_AGREEMENT else "fail",
        sentence=f"The baselines agree on a share of {describe_estimate(estimate)} of the "
        "strongest pixels.",
        measures=(SanityMeasure(name="share of the strongest pixels", estimate=estimate),),
    )


def measure_agreement(maps: Maps, ranges: Maps) -> Values:
    """Measure on how many of its strongest pixels a map exceeds the range between baselines.

    Args:
        maps: (image, row, column), signed.
        ranges: The same shape, at least 0.

    Returns:
        (image,), 0 to 1; NaN where the map is empty.
    """
    agreement = np.full(len(maps), np.nan)
    for row, (values, spread) in enumerate(zip(np.abs(maps), ranges, strict=True)):
        if values.max() > 0:
            strong = values >= np.quantile(values, 1 - _STRONGEST_SHARE)
            agreement[row] = float((spread[strong] < values[strong]).mean())
    return agreement


def measure_ranges(experiment: SanityExperiment, method: AbstractMethod) -> Maps | None:
    """Measure the range between baselines on each image; None where there is a single one."""
    sample, maps = experiment.sample, experiment.maps[method.name]
    ranges = np.zeros_like(maps)
    for row in track(range(len(sample)), f"Other baselines: {method.title}"):
        image = sample.images[row : row + 1]
        found = method.compute_baseline_range(
            experiment.network,
            image,
            targets=torch.tensor([sample.targets[row]], device=image.device),
            values=torch.from_numpy(maps[row : row + 1]).to(image.device),
        )
        if found is None:
            return None
        ranges[row] = found[0].cpu().numpy()
    return ranges
