"""Generalisation gap: internal minus external score of a network, on equal terms.

Both sides are evaluated on the classes that both have, and on images of these classes alone: a
source without a hard class must not look good because of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.evaluate.results import GeneralisationGap, join_key
from cxresnet.evaluate.topic import Estimates, add_prefix, build_difference, estimate
from cxresnet.metrics.classification import (
    CLASS_SCORES,
    HEADLINE_SCORES,
    ClassifiedImages,
    build_class_statistics,
    build_headline_statistics,
    build_mean_statistic,
)
from cxresnet.metrics.estimate import format_estimate
from cxresnet.metrics.statistic import CachedCompute, Compute, Key, Statistic

_MEANS = ("macro_auroc", "balanced_accuracy")
_PARTS = ("internal", "external", "generalisation_gap")


@dataclass(frozen=True, kw_only=True)
class EvaluatedSide:
    """Images as one network classified them.

    Attributes:
        evaluated: The images.
        image_ids: One an image; the same image has the same id on every side, and only there.
        group_ids: One an image; equal only for images that are not independent.
    """

    evaluated: ClassifiedImages
    image_ids: tuple[str, ...]
    group_ids: tuple[str, ...]

    def select(self, chosen: NDArray[np.bool_]) -> EvaluatedSide:
        """Take some of the images; `chosen` is a mask, (images,)."""
        rows = np.flatnonzero(chosen).tolist()
        return EvaluatedSide(
            evaluated=self.evaluated.select(chosen),
            image_ids=tuple(self.image_ids[row] for row in rows),
            group_ids=tuple(self.group_ids[row] for row in rows),
        )

    def find_classes(self) -> set[int]:
        """Find the classes that the images show."""
        return set(np.unique(self.evaluated.truth).tolist())


@dataclass(frozen=True)
class MeasuredGeneralisationGaps:
    """What `measure_generalisation_gaps` found.

    Attributes:
        by_name: From the name of a pair to its scores.
        mean: The scores that all pairs have, averaged over pairs; empty for a single pair.
    """

    by_name: Mapping[str, tuple[GeneralisationGap, ...]]
    mean: tuple[GeneralisationGap, ...]


@dataclass(frozen=True)
class _OnRows:
    """A statistic of some of the images, for weights of all of them."""

    rows: NDArray[np.intp]
    compute: Compute

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.compute(weights[:, self.rows])


def measure_generalisation_gaps(
    pairs: Mapping[str, tuple[EvaluatedSide, EvaluatedSide]], *, config: EvaluateConfig
) -> MeasuredGeneralisationGaps:
    """Measure internal, external and gap of one or several networks, all on the same resamples.

    Args:
        pairs: From a name to (internal, external), each pair classified by one network. Images of
            one group are resampled together, also where they are in several pairs.
        config: Of the intervals.

    Raises:
        ValueError: Two sides of a pair have no class in common.
    """
    universe = ImageUniverse(pairs.values())
    by_pair: dict[str, list[Key]] = {}
    numbers: dict[Key, Statistic] = {}
    for name, pair in pairs.items():
        found = _list_pair_statistics(pair, universe)
        by_pair[name] = list(found)
        for score, parts in found.items():
            numbers |= {_join(name, part, score): one for part, one in parts.items()}
    shared = _find_shared_scores(list(by_pair.values()))
    for score in shared:
        for part in _PARTS:
            members = [numbers[_join(name, part, score)] for name in pairs]
            numbers[_join("mean of all", part, score)] = build_mean_statistic("mean", members)
    named = [replace(one, name=key) for key, one in numbers.items()]
    estimates = estimate(named, group_ids=universe.group_ids, config=config, strata=universe.strata)
    return MeasuredGeneralisationGaps(
        by_name={
            name: tuple(_collect(estimates, name, score) for score in scores)
            for name, scores in by_pair.items()
        },
        mean=tuple(_collect(estimates, "mean of all", score) for score in shared),
    )


def choose_headline_score(scores: Sequence[GeneralisationGap]) -> GeneralisationGap:
    """Choose the score that stands for the whole: the first one, macro AUROC if there is one."""
    return scores[0]


def describe_generalisation_gap(score: GeneralisationGap, *, where: str) -> str:
    """Describe a generalisation gap in one or two sentences.

    Args:
        score: Of a network.
        where: Where the external images are from, for example "on hannover".
    """
    internal, external, gap = score.internal, score.external, score.generalisation_gap
    if internal.value is None or external.value is None or gap.value is None:
        return (
            f"The {score.title} {where} cannot be compared with that of internal images. "
            f"{external.reason or internal.reason}".rstrip()
        )
    numbers = (
        f"The {score.title} is {internal.value:.3f} on internal images and {external.value:.3f} "
        f"{where}: generalisation gap {format_estimate(gap, signed=True)}."
    )
    if gap.low is None or gap.high is None:
        return f"{numbers} There are too few patients for an interval."
    if gap.low > 0:
        return f"{numbers} The network is clearly worse there."
    if gap.high < 0:
        return f"{numbers} The network is not worse there; those images may be easier."
    return f"{numbers} No gap is shown, but a gap of up to {gap.high:.3f} is not ruled out."


class ImageUniverse:
    """All images of several sides, each once, so that their numbers share resamples.

    Attributes:
        group_ids: One an image.
        strata: One number an image for its class and the sides that it is on, (images,).
    """

    def __init__(self, pairs: Iterable[Sequence[EvaluatedSide]]) -> None:
        """Gather the images of all sides.

        Args:
            pairs: One a network: its (internal, external) sides, or a single side.
        """
        groups: dict[str, str] = {}
        strata: dict[str, int] = {}
        for pair in pairs:
            for number, side in enumerate(pair):
                groups |= dict(zip(side.image_ids, side.group_ids, strict=True))
                for image_id, label in zip(
                    side.image_ids, side.evaluated.truth.tolist(), strict=True
                ):
                    strata[image_id] = strata.get(image_id, 4 * label) | (1 << number)
        self._places = {image_id: place for place, image_id in enumerate(groups)}
        self.group_ids = tuple(groups.values())
        self.strata = np.array([strata[image_id] for image_id in groups], dtype=np.int64)

    def place(self, side: EvaluatedSide, statistic: Statistic) -> Statistic:
        """Turn a statistic of the images of one side into one of all images."""
        rows = np.array([self._places[image_id] for image_id in side.image_ids], dtype=np.intp)
        parts = []
        for part in statistic.parts:
            mask = np.zeros(len(self.group_ids), dtype=bool)
            mask[rows[part]] = True
            parts.append(mask)
        compute = CachedCompute(_OnRows(rows, statistic.compute))
        return replace(statistic, compute=compute, parts=tuple(parts))


def _list_pair_statistics(
    pair: tuple[EvaluatedSide, EvaluatedSide], universe: ImageUniverse
) -> dict[Key, dict[str, Statistic]]:
    """List the statistics of one pair: from score to its internal, external and gap."""
    classes = sorted(pair[0].find_classes() & pair[1].find_classes())
    if not classes:
        raise ValueError("the two sides have no class in common")
    sides = []
    for side in pair:
        own = side.select(np.isin(side.evaluated.truth, classes))
        scores = _list_scores(own.evaluated, classes)
        sides.append({key: universe.place(own, one) for key, one in scores.items()})
    internal, external = sides
    return {
        key: {
            "internal": internal[key],
            "external": external[key],
            "generalisation_gap": build_difference(
                "generalisation_gap", ours=internal[key], theirs=external[key]
            ),
        }
        for key in internal
    }


def _list_scores(evaluated: ClassifiedImages, classes: Sequence[int]) -> dict[Key, Statistic]:
    """List the scores; for a single class only its sensitivity is defined."""
    found: dict[Key, Statistic] = {}
    several = len(classes) > 1
    if several:
        headline = build_headline_statistics(evaluated, classes=classes)
        means = dict(zip(HEADLINE_SCORES, headline, strict=True))
        found |= {name: means[name] for name in _MEANS}
    for index in classes:
        scores = dict(zip(CLASS_SCORES, build_class_statistics(evaluated, index), strict=True))
        kept = ("auroc", "sensitivity") if several else ("sensitivity",)
        found |= {(name, evaluated.class_names[index]): scores[name] for name in kept}
    return found


def _find_shared_scores(lists: Sequence[Sequence[Key]]) -> list[Key]:
    if len(lists) < 2:
        return []
    return [key for key in lists[0] if all(key in other for other in lists)]


def _join(pair: str, part: str, score: Key) -> Key:
    return add_prefix((pair, part), score)


def _collect(estimates: Estimates, pair: str, score: Key) -> GeneralisationGap:
    parts = {part: estimates[_join(pair, part, score)] for part in _PARTS}
    return GeneralisationGap(name=join_key(score), **parts)
