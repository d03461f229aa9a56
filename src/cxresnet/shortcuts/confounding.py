"""Class-source confounding: can the class be predicted from where an image comes from?

If every COVID-19 image comes from one collection and every other image from another, a model can be
perfect on these data and worthless on the next patient. So, before any training, we measure how
well the source alone predicts the class of patients that were not used to learn it.

References:
    DeGrave et al. 2021 (Nature Machine Intelligence): one source a class is near worst-case
    confounding. Zech et al. 2018 (PLoS Medicine): the hospital alone predicted pneumonia. Cramér
    1946: V, without bias correction, which errs towards suspicion.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats.contingency import association

from cxresnet.core.finding import Finding, Measure, Verdict
from cxresnet.core.seeding import build_generator
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.classification import build_share
from cxresnet.shortcuts.features import count_by_source

_RED_V, _AMBER_V = 0.8, 0.3
_FOLDS = 5
_RESAMPLES = 1000
_SOURCE_UNKNOWN = (
    "No source is recorded, so class-source confounding cannot be checked. Public data sets often "
    "took each class from another hospital. Name the sources in a table or a manifest.csv."
)


def find_single_source_classes(
    sources: Iterable[str], class_names: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Find classes whose every image comes from a source that holds no other class.

    Args:
        sources: Source of each image.
        class_names: Class of each image.

    Returns:
        From such a class to its sources, both sorted; empty with fewer than two sources, where
        there is nothing to compare.

    >>> find_single_source_classes(["nih", "nih", "cohen"], ["normal", "pneumonia", "covid-19"])
    {'covid-19': ('cohen',)}
    """
    counts = count_by_source(
        pd.Series(list(sources), dtype=str), pd.Series(list(class_names), dtype=str)
    )
    if len(counts) < 2:
        return {}
    holds = counts > 0
    mixed = holds.sum(axis=1) > 1
    return {
        str(name): tuple(str(source) for source in counts.index[holds[name]])
        for name in counts.columns
        if not (holds[name] & mixed).any()
    }


def compute_cramers_v(manifest: pd.DataFrame) -> float | None:
    """Compute how strongly source and class are associated.

    Args:
        manifest: With the columns `source` and `class_name`.

    Returns:
        Cramér's V from 0 (independent) to 1 (one determines the other); None with one source or one
        class, where there is nothing to compare.

    >>> images = pd.DataFrame({"source": list("aabb"), "class_name": list("xxyy")})
    >>> compute_cramers_v(images)
    1.0
    """
    table = count_by_source(manifest["source"], manifest["class_name"]).to_numpy()
    if min(table.shape) < 2:
        return None
    return float(association(table, method="cramer"))


def predict_from_source(manifest: pd.DataFrame, *, seed: int = 0) -> NDArray[np.str_]:
    """Predict each image's class as the most frequent one of its source among other patients.

    Args:
        manifest: With the columns `source`, `class_name` and `group_id`.
        seed: Of the assignment of patients to five folds.

    Returns:
        A class name an image, (images,), learnt without the fold of the image.
    """
    groups = manifest["group_id"].to_numpy()
    names, index = np.unique(groups, return_inverse=True)
    folds = build_generator(seed, "source-oracle").permutation(len(names)) % _FOLDS
    fold_of_image = folds[index]
    predicted = np.empty(len(manifest), dtype=object)
    for fold in range(_FOLDS):
        held_out = fold_of_image == fold
        others = manifest[~held_out] if (~held_out).any() else manifest
        fallback = others["class_name"].mode().iloc[0]
        rule = others.groupby("source")["class_name"].agg(lambda classes: classes.mode().iloc[0])
        predicted[held_out] = manifest["source"][held_out].map(rule).fillna(fallback)
    return predicted.astype(str)


def check_source_confounding(
    manifest: pd.DataFrame, *, unknown_source: str = "", seed: int = 0
) -> Finding:
    """Check whether the source alone predicts the class.

    Args:
        manifest: The whole manifest of a dataset.
        unknown_source: What stands in the manifest where no source is recorded: the dataset's own
            name.
        seed: Of the folds and of the bootstrap.

    Returns:
        Red from V = 0.8 on, or where a class shares no source with another class; amber from
        V = 0.3 on, or where no source is recorded; else green.
    """
    strength = compute_cramers_v(manifest)
    single_source = (
        tuple(find_single_source_classes(manifest["source"], manifest["class_name"]))
        if strength is not None
        else ()
    )
    is_unknown = strength is None and set(manifest["source"]) == {unknown_source}
    verdict = "amber" if is_unknown else _grade(strength, single_source)
    return Finding(
        question="source_confounding",
        title="Can the source alone predict the class?",
        verdict=verdict,
        sentence=_SOURCE_UNKNOWN
        if is_unknown
        else _word(manifest, strength, single_source, verdict),
        measures=_measure(manifest, strength, seed=seed),
    )


def _grade(strength: float | None, single_source: tuple[str, ...]) -> Verdict:
    if strength is None:
        return "green"
    if single_source or strength >= _RED_V:
        return "red"
    return "amber" if strength >= _AMBER_V else "green"


def _word(
    manifest: pd.DataFrame, strength: float | None, single_source: tuple[str, ...], verdict: Verdict
) -> str:
    if strength is None:
        return (
            f"All images have one recorded source ('{manifest['source'].iloc[0]}'), so the source "
            "cannot predict the class. Whether they really come from one place cannot be checked."
        )
    shown = f"Cramér's V {strength:.2f}"
    if single_source:
        names = " and ".join(single_source)
        return (
            f"Every image of {names} comes from a source that has no other class ({shown}): a "
            "model can recognise the source instead of the disease, and no test on these data can "
            "distinguish the two."
        )
    return {
        "red": (
            f"The source almost determines the class ({shown}): scores on this dataset are not "
            "evidence of disease recognition."
        ),
        "amber": f"Source and class are clearly associated ({shown}): read the scores by source.",
        "green": f"Source and class are hardly associated ({shown}).",
    }[verdict]


def _measure(manifest: pd.DataFrame, strength: float | None, *, seed: int) -> tuple[Measure, ...]:
    images = len(manifest)
    truth = manifest["class_name"].to_numpy(dtype=str)
    correct = predict_from_source(manifest, seed=seed) == truth
    statistic = build_share("rule", part=correct, whole=np.ones(images, dtype=bool), undefined="")
    estimate = compute_estimates(
        [statistic],
        groups=manifest["group_id"].astype(str).to_numpy(dtype=str),
        resamples=_RESAMPLES,
        confidence=0.95,
        generator=build_generator(seed, "source-oracle", "bootstrap"),
    )["rule"]
    most = float(manifest["class_name"].value_counts(normalize=True).iloc[0])
    return (
        Measure(
            name="Cramér's V of source and class",
            value=strength,
            n=images,
            note="0: independent, 1: one determines the other",
        ),
        Measure(
            name="Accuracy of predicting the class from the source alone, on held-out patients",
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            n=images,
            note=f"always predicting the most frequent class: {most:.3f}",
        ),
    )
