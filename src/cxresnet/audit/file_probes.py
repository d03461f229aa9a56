"""Can the class be told from record or file, or from six numbers, without looking at the chest?

Four probes, each a random forest that never sees a patient in training and test at once:

record    view, sex and age as recorded, and which of them are not;
header    width, height, mode, format and size of the file as it came, and its mean border grey;
bytes     bytes per pixel of the prepared film, re-encoded as PNG and as JPEG: how sharp, noisy and
          smooth it is, and nothing about where;
scalars   mean, standard deviation and four percentiles of the prepared film.

What they reach is the floor: a network that reaches no more may not have looked at a lung.

References:
    The idea follows file-level baselines such as bytes per pixel, which on the films of Ozturk et
    al. 2020 as published reach the accuracy of the published network.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold

from cxresnet.core.seeding import build_generator, derive_seed
from cxresnet.data.record_features import describe_record, list_views
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.classification import build_share
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.ranking import Auroc
from cxresnet.metrics.statistic import Statistic

__all__ = [
    "ProbeResult",
    "describe_prepared",
    "probe_bytes",
    "probe_header",
    "probe_record",
    "probe_scalars",
]

_FOLDS = 5
_TREES = 200
_LEAST_FILMS_A_LEAF = 5
_RESAMPLES = 1000
_JPEG_QUALITY = 90
_PERCENTILES = (5, 25, 75, 95)


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """How well one probe tells the class, on patients it has not seen.

    Attributes:
        name: "record", "header", "bytes" or "scalars".
        accuracy: Share of the films whose class it guessed.
        auroc: By class, the area under the ROC curve of that class against all others.
        chance: Accuracy of always saying the commonest class.
        n: Films.
    """

    name: str
    accuracy: Estimate
    auroc: dict[str, Estimate]
    chance: float
    n: int

    @property
    def highest_auroc(self) -> tuple[str, Estimate]:
        """The class that is told best, and how well."""
        return max(self.auroc.items(), key=lambda item: item[1].value or 0.0)


def probe_record(manifest: pd.DataFrame, *, seed: int = 0) -> ProbeResult | None:
    """Probe what the record says of the films and their patients.

    Args:
        manifest: With `class_name`, `group_id`, `view`, `sex` and `age_years`.
        seed: Of the forest, the parts and the bootstrap.

    Returns:
        None where the record says nothing, or the same of all films.

    Raises:
        ValueError: Fewer groups in a class than the probe needs parts.
    """
    features = describe_record(manifest, views=list_views(manifest))
    if (features == features[:1]).all():
        return None
    return _probe("record", features, manifest, seed=seed)


def probe_header(manifest: pd.DataFrame, *, seed: int = 0) -> ProbeResult:
    """Probe what the files were as they came, before `prepare`.

    Args:
        manifest: With `class_name`, `group_id` and the columns `file_…`.
        seed: Of the forest, the parts and the bootstrap.

    Raises:
        ValueError: Fewer groups in a class than the probe needs parts.
    """
    columns = ["file_width", "file_height", "file_bytes", "border_grey"]
    numbers = manifest[columns].astype(np.float64)
    shape = numbers["file_width"] / numbers["file_height"]
    density = numbers["file_bytes"] / (numbers["file_width"] * numbers["file_height"])
    kinds = pd.get_dummies(manifest[["file_format", "file_mode"]].astype(str), dtype=np.float64)
    features = np.column_stack([numbers, shape, density, kinds])
    return _probe("header", features, manifest, seed=seed)


def describe_prepared(manifest: pd.DataFrame, *, side_px: int) -> pd.DataFrame:
    """Say of every prepared film what its file would say: the same of all, as `prepare` wants it.

    Args:
        manifest: Of the films as they came.
        side_px: Side of a prepared film.
    """
    return manifest.assign(
        file_width=side_px,
        file_height=side_px,
        file_bytes=side_px * side_px,
        file_format="array",
        file_mode="L",
        border_grey=0.0,
    )


def probe_bytes(
    films: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    manifest: pd.DataFrame,
    *,
    seed: int = 0,
) -> ProbeResult:
    """Probe how well prepared films compress.

    Args:
        films: (films, side, side), in the order of the manifest; read one at a time.
        manifest: With `class_name` and `group_id`.
        seed: Of the forest, the parts and the bootstrap.

    Raises:
        ValueError: Fewer groups in a class than the probe needs parts.
    """
    features = np.array([_measure_bytes(film) for film in films])
    return _probe("bytes", features, manifest, seed=seed)


def probe_scalars(
    films: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    manifest: pd.DataFrame,
    *,
    seed: int = 0,
) -> ProbeResult:
    """Probe six numbers of prepared films: mean, sd and the 5th, 25th, 75th and 95th percentile.

    Args:
        films: (films, side, side), in the order of the manifest; read one at a time.
        manifest: With `class_name` and `group_id`.
        seed: Of the forest, the parts and the bootstrap.

    Raises:
        ValueError: Fewer groups in a class than the probe needs parts.
    """
    features = np.array(
        [[film.mean(), film.std(), *np.percentile(film, _PERCENTILES)] for film in films]
    )
    return _probe("scalars", features, manifest, seed=seed)


def _measure_bytes(film: NDArray[np.uint8]) -> list[float]:
    sizes = []
    for options in ({"format": "PNG"}, {"format": "JPEG", "quality": _JPEG_QUALITY}):
        stream = io.BytesIO()
        Image.fromarray(np.asarray(film)).save(stream, **options)
        sizes.append(stream.tell() / film.size)
    return sizes


def _probe(
    name: str, features: NDArray[np.float64], manifest: pd.DataFrame, *, seed: int
) -> ProbeResult:
    class_names, truth = np.unique(manifest["class_name"].to_numpy(dtype=str), return_inverse=True)
    groups = manifest["group_id"].astype(str).to_numpy(dtype=str)
    scores = _predict_held_out(features, truth, groups, seed=seed)
    right = scores.argmax(axis=1) == truth
    statistics = [
        build_share("accuracy", part=right, whole=np.ones_like(right), undefined=""),
        *(
            _build_auroc(str(class_name), scores[:, column], truth == column)
            for column, class_name in enumerate(class_names)
        ),
    ]
    estimates = compute_estimates(
        statistics,
        groups=groups,
        resamples=_RESAMPLES,
        confidence=0.95,
        generator=build_generator(seed, "file-probe", name),
    )
    return ProbeResult(
        name=name,
        accuracy=estimates.pop("accuracy"),
        auroc={key.removeprefix("auroc "): value for key, value in estimates.items()},
        chance=float(np.bincount(truth).max() / len(truth)),
        n=len(truth),
    )


def _build_auroc(
    class_name: str, scores: NDArray[np.float64], positive: NDArray[np.bool_]
) -> Statistic:
    return Statistic(
        name=f"auroc {class_name}",
        compute=Auroc(positive=positive, scores=scores),
        parts=(positive, ~positive),
        undefined="One of the two sides has no film.",
    )


def _predict_held_out(
    features: NDArray[np.float64],
    truth: NDArray[np.intp],
    groups: NDArray[np.str_],
    *,
    seed: int,
) -> NDArray[np.float64]:
    """Predict each film by a forest that saw no film of its group: (films, classes)."""
    count = int(truth.max()) + 1
    fewest = min(len(set(groups[truth == column].tolist())) for column in range(count))
    if fewest < 2:
        raise ValueError("a class has films of one group only, so nothing can be held out")
    parts = StratifiedGroupKFold(
        min(_FOLDS, fewest), shuffle=True, random_state=derive_seed(seed, "file-probe", "parts")
    )
    scores = np.zeros((len(truth), count))
    for train, test in parts.split(features, truth, groups):
        forest = RandomForestClassifier(
            _TREES,
            min_samples_leaf=_LEAST_FILMS_A_LEAF,
            random_state=derive_seed(seed, "file-probe", "forest"),
        )
        forest.fit(features[train], truth[train])
        scores[np.ix_(test, forest.classes_)] = forest.predict_proba(features[test])
    return scores
