"""From judged films to the record of their calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.seeding import build_generator
from cxresnet.evaluate.calibration_records import Calibration, CalibrationBin, ClassCalibration
from cxresnet.metrics.calibration import compute_reliability_bins
from cxresnet.metrics.calibration_noise import compute_calibration_noise
from cxresnet.metrics.classification import Judged
from cxresnet.metrics.estimate import Estimate

__all__ = ["build_calibration"]

_CALIBRATION_SCORES = ("expected_calibration_error", "brier", "negative_log_likelihood")
_NOISE_DRAWS = 200


def build_calibration(
    judged: Judged,
    estimates: Mapping[str, Estimate],
    *,
    before: NDArray[np.float64],
    group_ids: Sequence[str],
    config: EvaluateConfig,
) -> Calibration:
    """Collect bins and calibration scores.

    Args:
        judged: The films.
        estimates: Of `list_statistics`.
        before: Probabilities before calibration, (films, classes).
        group_ids: Patient with duplicates, one a film.
        config: Has the seed.
    """
    scores = {
        f"{name}{suffix}": estimates[f"{prefix}{name}"]
        for name in _CALIBRATION_SCORES
        for prefix, suffix in (("", ""), ("before/", "_before"))
    }
    return Calibration(
        bins=_build_bins(judged.probabilities, judged.truth),
        bins_before=_build_bins(before, judged.truth),
        noise=compute_calibration_noise(
            judged.probabilities,
            np.array(group_ids),
            draws=_NOISE_DRAWS,
            generator=build_generator(config.seed, "calibration noise"),
        ),
        by_class=tuple(
            ClassCalibration(
                class_name=name,
                slope=estimates[f"calibration_slope/{name}"],
                intercept=estimates[f"calibration_intercept/{name}"],
            )
            for name in judged.class_names
        ),
        **scores,
    )


def _build_bins(
    probabilities: NDArray[np.float64], truth: NDArray[np.int64]
) -> tuple[CalibrationBin, ...]:
    bins = compute_reliability_bins(probabilities, truth)
    return tuple(CalibrationBin.model_validate(vars(item)) for item in bins)
