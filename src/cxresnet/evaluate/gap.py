"""How much worse a network is on films from elsewhere: internal minus external, on equal terms.

Both sides are judged on the classes that both have, and on films of these classes alone: a source
without a hard class must not look good by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.evaluate.results import GapScore, PatientResult
from cxresnet.evaluate.scores import build_lift, estimate
from cxresnet.metrics.classification import (
    CLASS_SCORES,
    HEADLINE_SCORES,
    Judged,
    build_class_statistics,
    build_headline_statistics,
)
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.independent import compare_independent
from cxresnet.metrics.statistic import Compute, Statistic

__all__ = [
    "JudgedSide",
    "MeasuredGaps",
    "choose_headline_score",
    "compare_patients",
    "describe_gap",
    "measure_gaps",
]

_MEANS = ("macro_auroc", "balanced_accuracy")


@dataclass(frozen=True, kw_only=True)
class JudgedSide:
    """Films as one network judged them.

    Attributes:
        judged: The films.
        image_ids: One a film; the same film has the same id on every side, and only there.
        group_ids: One a film; equal only for films that are not independent.
    """

    judged: Judged
    image_ids: tuple[str, ...]
    group_ids: tuple[str, ...]

    def select(self, chosen: NDArray[np.bool_]) -> JudgedSide:
        """Take some of the films; `chosen` is a mask, (films,)."""
        rows = np.flatnonzero(chosen).tolist()
        return JudgedSide(
            judged=self.judged.select(chosen),
            image_ids=tuple(self.image_ids[row] for row in rows),
            group_ids=tuple(self.group_ids[row] for row in rows),
        )

    def find_classes(self) -> set[int]:
        """Find the classes that the films show."""
        return set(np.unique(self.judged.truth).tolist())


@dataclass(frozen=True)
class MeasuredGaps:
    """What `measure_gaps` found.

    Attributes:
        by_name: From the name of a pair to its scores.
        mean: The scores that all pairs have, averaged over pairs; empty for a single pair.
    """

    by_name: Mapping[str, tuple[GapScore, ...]]
    mean: tuple[GapScore, ...]


@dataclass(frozen=True)
class _OnRows:
    """A number of some of the films, for weights of all of them."""

    rows: NDArray[np.intp]
    compute: Compute

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.compute(weights[:, self.rows])


@dataclass(frozen=True)
class _MeanOf:
    """The mean of several numbers of the same resamples."""

    parts: tuple[Compute, ...]

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = np.mean([part(weights) for part in self.parts], axis=0)
        return mean


def measure_gaps(
    pairs: Mapping[str, tuple[JudgedSide, JudgedSide]], *, config: EvaluateConfig
) -> MeasuredGaps:
    """Measure internal, external and gap of one or several networks, all on the same resamples.

    Args:
        pairs: From a name to (internal, external), each pair judged by one network. Films of one
            group are drawn together, also where they stand in several pairs.
        config: Of the intervals.

    Raises:
        ValueError: Two sides of a pair have no class in common.
    """
    universe = _Universe(pairs.values())
    by_pair: dict[str, list[str]] = {}
    numbers: dict[str, Statistic] = {}
    for name, pair in pairs.items():
        found = _list_pair_statistics(pair, universe)
        by_pair[name] = list(found)
        numbers |= {f"{name}/{part}/{score}": one for score, parts in found.items()
                    for part, one in parts.items()}  # fmt: skip
    shared = _find_shared_scores(list(by_pair.values()))
    for score in shared:
        for part in ("internal", "external", "gap"):
            members = [numbers[f"{name}/{part}/{score}"] for name in pairs]
            numbers[f"mean of all/{part}/{score}"] = _build_mean(members)
    named = [replace(one, name=name) for name, one in numbers.items()]
    estimates = estimate(named, group_ids=universe.group_ids, config=config, strata=universe.strata)
    return MeasuredGaps(
        by_name={
            name: tuple(_collect(estimates, name, score) for score in scores)
            for name, scores in by_pair.items()
        },
        mean=tuple(_collect(estimates, "mean of all", score) for score in shared),
    )


def choose_headline_score(scores: Sequence[GapScore]) -> GapScore:
    """Choose the score that stands for the whole: the first one, macro AUROC if there is one."""
    return scores[0]


def describe_gap(score: GapScore, *, where: str) -> str:
    """Say in one sentence what a gap means.

    Args:
        score: Of a network.
        where: Where the external films are from, for example "in the set hannover".
    """
    inside, outside, gap = score.internal.value, score.external.value, score.gap
    name = score.name.replace("_", " ").replace("auroc", "AUROC").replace("/", " of ", 1)
    if inside is None or outside is None or gap.value is None:
        reason = score.external.reason or score.internal.reason
        return f"The {name} {where} cannot be compared. {reason}".rstrip()
    numbers = f"The {name} is {inside:.3f} on films like those learnt and {outside:.3f} {where}"
    if gap.low is None or gap.high is None:
        return f"{numbers}; too few patients for an interval of the gap {gap.value:.3f}."
    numbers += f": gap {gap.value:.3f} ({gap.low:.3f} to {gap.high:.3f})."
    if gap.low > 0:
        return f"{numbers} The network is clearly worse there."
    if gap.high < 0:
        return f"{numbers} The network is not worse there; the films there may be easier."
    return f"{numbers} No gap is shown, and one of up to {gap.high:.3f} is not ruled out."


def compare_patients(
    internal: Sequence[PatientResult], external: Sequence[PatientResult]
) -> tuple[GapScore, ...]:
    """Set patients elsewhere beside those of the sealed test, by class.

    Args:
        internal: Of the sealed test.
        external: Of other patients, judged by the same network.

    Returns:
        One a class that patients on both sides have, named "patients_found/CLASS".
    """
    inside = {result.class_name: result.recall for result in internal if result.patients}
    return tuple(
        GapScore(
            name=f"patients_found/{result.class_name}",
            internal=inside[result.class_name],
            external=result.recall,
            gap=compare_independent(inside[result.class_name], result.recall),
        )
        for result in external
        if result.patients and result.class_name in inside
    )


class _Universe:
    """All films of all sides, each once.

    Attributes:
        group_ids: One a film.
        strata: One number a film for its class and the sides that it stands on, (films,).
    """

    def __init__(self, pairs: Iterable[tuple[JudgedSide, JudgedSide]]) -> None:
        groups: dict[str, str] = {}
        strata: dict[str, int] = {}
        for pair in pairs:
            for number, side in enumerate(pair):
                groups |= dict(zip(side.image_ids, side.group_ids, strict=True))
                for image_id, label in zip(side.image_ids, side.judged.truth.tolist(), strict=True):
                    strata[image_id] = strata.get(image_id, 4 * label) | (1 << number)
        self._places = {image_id: place for place, image_id in enumerate(groups)}
        self.group_ids = tuple(groups.values())
        self.strata = np.array([strata[image_id] for image_id in groups], dtype=np.int64)

    def place(self, side: JudgedSide, statistic: Statistic) -> Statistic:
        """Turn a number of the films of one side into one of all films."""
        rows = np.array([self._places[image_id] for image_id in side.image_ids], dtype=np.intp)
        parts = []
        for part in statistic.parts:
            mask = np.zeros(len(self.group_ids), dtype=bool)
            mask[rows[part]] = True
            parts.append(mask)
        return replace(statistic, compute=_OnRows(rows, statistic.compute), parts=tuple(parts))


def _list_pair_statistics(
    pair: tuple[JudgedSide, JudgedSide], universe: _Universe
) -> dict[str, dict[str, Statistic]]:
    """List the numbers of one pair: from score to its internal, external and gap."""
    classes = sorted(pair[0].find_classes() & pair[1].find_classes())
    if not classes:
        raise ValueError("the two sides have no class in common")
    sides = []
    for side in pair:
        own = side.select(np.isin(side.judged.truth, classes))
        scores = _list_scores(own.judged, classes)
        sides.append({name: universe.place(own, one) for name, one in scores.items()})
    internal, external = sides
    return {
        name: {
            "internal": internal[name],
            "external": external[name],
            "gap": build_lift("gap", ours=internal[name], theirs=external[name]),
        }
        for name in internal
    }


def _list_scores(judged: Judged, classes: Sequence[int]) -> dict[str, Statistic]:
    """List the scores; with a single class there is nothing to tell it from but its finding."""
    found: dict[str, Statistic] = {}
    several = len(classes) > 1
    if several:
        headline = build_headline_statistics(judged, classes=classes)
        means = dict(zip(HEADLINE_SCORES, headline, strict=True))
        found |= {name: means[name] for name in _MEANS}
    for index in classes:
        scores = dict(zip(CLASS_SCORES, build_class_statistics(judged, index), strict=True))
        kept = ("auroc", "sensitivity") if several else ("sensitivity",)
        found |= {f"{name}/{judged.class_names[index]}": scores[name] for name in kept}
    return found


def _find_shared_scores(lists: Sequence[Sequence[str]]) -> list[str]:
    if len(lists) < 2:
        return []
    return [name for name in lists[0] if all(name in other for other in lists)]


def _build_mean(members: Sequence[Statistic]) -> Statistic:
    return Statistic(
        name="mean",
        compute=_MeanOf(tuple(member.compute for member in members)),
        parts=tuple(part for member in members for part in member.parts),
        undefined=members[0].undefined,
        scale=members[0].scale,
    )


def _collect(estimates: Mapping[str, Estimate], pair: str, score: str) -> GapScore:
    parts = {part: estimates[f"{pair}/{part}/{score}"] for part in ("internal", "external", "gap")}
    return GapScore(name=score, **parts)
