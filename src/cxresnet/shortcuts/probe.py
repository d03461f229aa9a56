"""Cross-validated probes: can the class be predicted from record, file, bytes or six scalars alone?

Each probe is a random forest that never has the same patient in training and in testing:

record    view, sex and age as recorded, and which of them are not;
header    width, height, mode, format and size of the file as it came, and its mean border grey;
bytes     bytes per pixel of the prepared image, stored again as PNG and as JPEG: how sharp, noisy
          and smooth it is, and nothing about where;
scalars   mean, standard deviation and four percentiles of the prepared image.

Their scores are a floor: a model that does not exceed them may not have looked at the lungs.

References:
    The idea follows file-level baselines such as bytes per pixel, which on the images of Ozturk et
    al. 2020 as published reach the accuracy of the published network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from cxresnet.core.seeding import build_generator, derive_seed
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.classification import build_share
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.ranking import Auroc
from cxresnet.metrics.statistic import Scale, Statistic
from cxresnet.shortcuts.estimators import PROBE_FOREST, build_random_forest, fit_and_predict
from cxresnet.shortcuts.features import (
    Features,
    compute_bytes_features,
    compute_file_features,
    compute_record_features,
    compute_scalar_features,
    is_constant,
    list_file_kinds,
    list_views,
)

_FOLDS = 5
_RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """How well one probe predicts the class of patients that it has not seen.

    Attributes:
        name: "record", "header", "bytes", "scalars", or as given to `probe_features`.
        accuracy: Share of the images whose class it predicted correctly.
        auroc: By class, the area under the ROC curve of that class against all others.
        majority_accuracy: Accuracy of always predicting the most frequent class.
        n: Images.
    """

    name: str
    accuracy: Estimate
    auroc: dict[str, Estimate]
    majority_accuracy: float
    n: int

    @property
    def highest_auroc(self) -> tuple[str, Estimate]:
        """The class that is predicted best, and its AUROC."""
        return max(self.auroc.items(), key=lambda item: item[1].value or 0.0)


def probe_record(manifest: pd.DataFrame, *, seed: int = 0) -> ProbeResult | None:
    """Probe what is recorded about the images and their patients.

    Args:
        manifest: With `class_name`, `group_id`, `view`, `sex` and `age_years`.
        seed: Of the random forest, the folds and the bootstrap.

    Returns:
        None where nothing is recorded, or the same for all images.

    Raises:
        ValueError: A class has fewer groups than the probe needs folds.
    """
    features = compute_record_features(manifest, views=list_views(manifest))
    return (
        None if is_constant(features) else probe_features("record", features, manifest, seed=seed)
    )


def probe_header(manifest: pd.DataFrame, *, seed: int = 0) -> ProbeResult:
    """Probe what the files were as they came, before `prepare`.

    Args:
        manifest: With `class_name`, `group_id`, `border_grey` and the columns `file_…`.
        seed: Of the random forest, the folds and the bootstrap.

    Raises:
        ValueError: A class has fewer groups than the probe needs folds.
    """
    kinds = list_file_kinds(manifest)
    features = compute_file_features(manifest, kinds=kinds, with_border=True)
    return probe_features("header", features, manifest, seed=seed)


def probe_bytes(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    manifest: pd.DataFrame,
    *,
    seed: int = 0,
) -> ProbeResult:
    """Probe how well prepared images compress.

    Args:
        images: (images, side, side), in the order of the manifest; read one at a time.
        manifest: With `class_name` and `group_id`.
        seed: Of the random forest, the folds and the bootstrap.

    Raises:
        ValueError: A class has fewer groups than the probe needs folds.
    """
    return probe_features("bytes", compute_bytes_features(images), manifest, seed=seed)


def probe_scalars(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    manifest: pd.DataFrame,
    *,
    seed: int = 0,
) -> ProbeResult:
    """Probe six scalars of prepared images: mean, spread and four percentiles.

    Args:
        images: (images, side, side), in the order of the manifest; read one at a time.
        manifest: With `class_name` and `group_id`.
        seed: Of the random forest, the folds and the bootstrap.

    Raises:
        ValueError: A class has fewer groups than the probe needs folds.
    """
    return probe_features("scalars", compute_scalar_features(images), manifest, seed=seed)


def probe_features(
    name: str,
    features: Features,
    manifest: pd.DataFrame,
    *,
    seed: int = 0,
    confidence: float = 0.95,
    scale: Scale = "share",
) -> ProbeResult:
    """Probe features of any kind with a cross-validated random forest.

    Args:
        name: Of the probe.
        features: (images, features).
        manifest: With `class_name` and `group_id`.
        seed: Of the random forest, the folds and the bootstrap.
        confidence: Of the intervals.
        scale: Of the intervals of the AUROCs: "share", or "area", which is not so wide where an
            AUROC is next to 1.

    Raises:
        ValueError: A class has fewer groups than the probe needs folds.
    """
    class_names, truth = np.unique(manifest["class_name"].to_numpy(dtype=str), return_inverse=True)
    groups = manifest["group_id"].astype(str).to_numpy(dtype=str)
    scores = _predict_held_out(features, truth, groups, seed=seed)
    correct = scores.argmax(axis=1) == truth
    statistics = [
        build_share("accuracy", part=correct, whole=np.ones_like(correct), undefined=""),
        *(
            _build_auroc(str(class_name), scores[:, column], truth == column, scale=scale)
            for column, class_name in enumerate(class_names)
        ),
    ]
    estimates = compute_estimates(
        statistics,
        groups=groups,
        resamples=_RESAMPLES,
        confidence=confidence,
        generator=build_generator(seed, "file-probe", name),
    )
    return ProbeResult(
        name=name,
        accuracy=estimates.pop("accuracy"),
        auroc={str(key).removeprefix("auroc "): value for key, value in estimates.items()},
        majority_accuracy=float(np.bincount(truth).max() / len(truth)),
        n=len(truth),
    )


def _build_auroc(
    class_name: str, scores: NDArray[np.float64], positive: NDArray[np.bool_], *, scale: Scale
) -> Statistic:
    return Statistic(
        name=f"auroc {class_name}",
        compute=Auroc(positive=positive, scores=scores),
        parts=(positive, ~positive),
        undefined="One of the two sides has no image.",
        scale=scale,
    )


def _predict_held_out(
    features: Features,
    truth: NDArray[np.intp],
    groups: NDArray[np.str_],
    *,
    seed: int,
) -> NDArray[np.float64]:
    """Predict each image by a random forest trained without its group: (images, classes)."""
    count = int(truth.max()) + 1
    fewest = min(len(set(groups[truth == column].tolist())) for column in range(count))
    if fewest < 2:
        raise ValueError("a class has images of one group only, so nothing can be held out")
    folds = StratifiedGroupKFold(
        min(_FOLDS, fewest), shuffle=True, random_state=derive_seed(seed, "file-probe", "parts")
    )
    scores = np.zeros((len(truth), count))
    for train, test in folds.split(features, truth, groups):
        forest = build_random_forest(PROBE_FOREST, seed=derive_seed(seed, "file-probe", "forest"))
        scores[test] = fit_and_predict(
            forest, features[train], truth[train], features[test], class_count=count
        )
    return scores
