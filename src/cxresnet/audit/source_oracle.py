"""Can the class be told from where a film comes from, without looking at it?

If every COVID-19 film comes from one collection and every other film from another, a network can
be perfect on these data and worthless on the next patient. So, before any training, we measure how
well the source alone tells the class: for patients that the rule has not seen.

References:
    DeGrave et al. 2021 (Nature Machine Intelligence): one source a class is near worst-case
    confounding. Zech et al. 2018 (PLoS Medicine): the hospital alone tells pneumonia. Cramér 1946:
    V, without bias correction, which errs towards suspicion.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats.contingency import association

from cxresnet.core.finding import Finding, Measure, Verdict
from cxresnet.core.seeding import build_generator
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.classification import build_share

__all__ = ["ask_source_oracle", "compute_cramers_v", "predict_from_source"]

_RED_V, _AMBER_V = 0.8, 0.3
_FOLDS = 5
_RESAMPLES = 1000
_UNSAID = (
    "Nobody says where the films come from, so nobody can tell whether the source gives the class "
    "away. Public sets often took each class from another hospital. Name the sources in a table or "
    "a manifest.csv."
)


def compute_cramers_v(manifest: pd.DataFrame) -> float | None:
    """Compute how strongly source and class hang together.

    Args:
        manifest: With the columns `source` and `class_name`.

    Returns:
        Cramér's V from 0 (nothing in common) to 1 (one tells the other); None with one source or
        one class, where there is nothing to compare.

    >>> films = pd.DataFrame({"source": list("aabb"), "class_name": list("xxyy")})
    >>> compute_cramers_v(films)
    1.0
    """
    table = pd.crosstab(manifest["source"], manifest["class_name"]).to_numpy()
    if min(table.shape) < 2:
        return None
    return float(association(table, method="cramer"))


def predict_from_source(manifest: pd.DataFrame, *, seed: int = 0) -> NDArray[np.str_]:
    """Guess each film's class by the commonest class of its source among the other patients.

    Args:
        manifest: With the columns `source`, `class_name` and `group_id`.
        seed: Of the deal of the patients into five parts.

    Returns:
        A class name a film, (films,); the film's own part was not used for it.
    """
    groups = manifest["group_id"].to_numpy()
    names, index = np.unique(groups, return_inverse=True)
    parts = build_generator(seed, "source-oracle").permutation(len(names)) % _FOLDS
    part_of_film = parts[index]
    guesses = np.empty(len(manifest), dtype=object)
    for part in range(_FOLDS):
        held_out = part_of_film == part
        others = manifest[~held_out] if (~held_out).any() else manifest
        fallback = others["class_name"].mode().iloc[0]
        rule = others.groupby("source")["class_name"].agg(lambda classes: classes.mode().iloc[0])
        guesses[held_out] = manifest["source"][held_out].map(rule).fillna(fallback)
    return guesses.astype(str)


def ask_source_oracle(manifest: pd.DataFrame, *, unsaid: str = "", seed: int = 0) -> Finding:
    """Ask whether the source alone tells the class.

    Args:
        manifest: The whole manifest of a dataset.
        unsaid: What stands in the manifest where nobody said the source: the dataset's own name.
        seed: Of the deal and of the bootstrap.

    Returns:
        Red from V = 0.8 on, or where a class has no source in common with another class; amber
        from V = 0.3 on, or where nobody says where any film comes from; else green.
    """
    strength = compute_cramers_v(manifest)
    lonely = _find_lonely_classes(manifest) if strength is not None else ()
    silent = strength is None and set(manifest["source"]) == {unsaid}
    verdict = "amber" if silent else _judge(strength, lonely)
    return Finding(
        question="source_oracle",
        title="Does the source alone tell the class?",
        verdict=verdict,
        sentence=_UNSAID if silent else _word(manifest, strength, lonely, verdict),
        measures=_measure(manifest, strength, seed=seed),
    )


def _find_lonely_classes(manifest: pd.DataFrame) -> tuple[str, ...]:
    """Find classes none of whose sources has a film of another class."""
    table = pd.crosstab(manifest["source"], manifest["class_name"]) > 0
    mixed = table.sum(axis=1) > 1
    return tuple(str(name) for name in table.columns if not (table[name] & mixed).any())


def _judge(strength: float | None, lonely: tuple[str, ...]) -> Verdict:
    if strength is None:
        return "green"
    if lonely or strength >= _RED_V:
        return "red"
    return "amber" if strength >= _AMBER_V else "green"


def _word(
    manifest: pd.DataFrame, strength: float | None, lonely: tuple[str, ...], verdict: Verdict
) -> str:
    if strength is None:
        return (
            f"All films name one source ('{manifest['source'].iloc[0]}'), so the source tells "
            "nothing here; whether they really come from one place cannot be seen from the data."
        )
    shown = f"Cramér's V {strength:.2f}"
    if lonely:
        names = " and ".join(lonely)
        return (
            f"Every film of {names} comes from a source that has no other class ({shown}): a "
            "network can recognise the source instead of the disease, and no test on these data "
            "can tell the two apart."
        )
    return {
        "red": f"The source nearly tells the class ({shown}): scores here prove little.",
        "amber": f"The source tells a good deal about the class ({shown}): read scores by source.",
        "green": f"The source tells little about the class ({shown}).",
    }[verdict]


def _measure(manifest: pd.DataFrame, strength: float | None, *, seed: int) -> tuple[Measure, ...]:
    films = len(manifest)
    truth = manifest["class_name"].to_numpy(dtype=str)
    right = predict_from_source(manifest, seed=seed) == truth
    statistic = build_share("rule", part=right, whole=np.ones(films, dtype=bool), undefined="")
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
            n=films,
            note="0 nothing in common, 1 one tells the other",
        ),
        Measure(
            name="Accuracy of the best rule from the source alone, on held-out patients",
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            n=films,
            note=f"always saying the commonest class: {most:.3f}",
        ),
    )
