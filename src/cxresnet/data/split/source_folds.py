"""Leave sources out: which sets of sources, and what can be tested on each.

A single source that holds two classes tests whether these are told apart where the source says
nothing. Where no source holds both of two classes, a set of two sources does, one for each class:
a network that learnt which collection is which class has seen neither of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.core.errors import ConfigError
from cxresnet.data.dataset.dataset import ImageSet

_MAX_SETS_PER_PAIR = 6
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class SourceTask:
    """Two classes that a network tells apart on images of sources that it never saw.

    Attributes:
        classes: The class that the score argues for, and the class that it argues against.
        sources: Where the images of each come from; the same source twice where it holds both.
    """

    classes: tuple[str, str]
    sources: tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class SourceFold:
    """A set of sources, and what a network that never saw them can be tested on.

    Attributes:
        sources: Their names in the manifest.
        images: Of them.
        patients: Independent groups among them.
        classes: Classes of their images, in the order of the dataset.
        compared: Of these, those that the other sources can teach and be tested on.
        tasks: What can be tested.
        reason: Why nothing can be tested, one sentence; "" where something can.
    """

    sources: tuple[str, ...]
    images: int
    patients: int
    classes: tuple[str, ...]
    compared: tuple[str, ...]
    tasks: tuple[SourceTask, ...]
    reason: str

    @property
    def name(self) -> str:
        """For people and as a key."""
        return " + ".join(self.sources)


def plan_source_folds(
    manifest: pd.DataFrame,
    *,
    class_names: Sequence[str],
    sets: Sequence[Sequence[str]] = (),
    min_images: int = 20,
) -> tuple[SourceFold, ...]:
    """Plan which sources are left out together, and the tasks that each set allows.

    Without `sets`, every source that holds two classes or more in number is left out alone. For
    each pair of classes that no source holds both of in number, sets of two sources are left out as
    well. The sources of each class are sorted by their images of it, most first, then by name, and
    the sets run down both lists at once, starting the shorter list again at its end, until each
    source of the longer list was taken, but at most six times. A set without which nothing shows
    the two classes is dropped, and a source that is then in no set is listed with the reason.

    A pair of classes that some source of the dataset holds both of is tested within sources alone;
    any other pair is tested between the images of one class from one source of the set and those
    of the other class from another.

    Args:
        manifest: Of a prepared dataset.
        class_names: In the order of the dataset.
        sets: Sets of sources to be left out instead.
        min_images: A source holds a class in number if it has this many images of it.
    """
    plan = _Plan(manifest, tuple(class_names), min_images)
    if sets:
        return tuple(plan.build_fold(tuple(sources)) for sources in sets)
    folds = [plan.build_fold(sources) for sources in plan.choose_sets()]
    tested = [fold for fold in folds if not fold.reason]
    covered = {source for fold in tested for source in fold.sources}
    rest = [source for source in plan.counts.index if source not in covered]
    return (*tested, *(plan.build_fold((source,)) for source in rest))


def parse_source_sets(text: str, manifest: pd.DataFrame) -> tuple[tuple[str, ...], ...]:
    """Parse sets of sources as a user writes them: "hannover+openist,radiopaedia".

    Raises:
        ConfigError: The dataset has no such source, or a set names one twice.
    """
    known = sorted(manifest["source"].unique())
    sets: dict[tuple[str, ...], tuple[str, ...]] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        names = (part,) if part in known else tuple(one.strip() for one in part.split("+"))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ConfigError(
                f"--sets '{text}': the dataset has no source '{unknown[0]}'. Its sources are "
                f"{', '.join(known)}."
            )
        if len(set(names)) < len(names):
            raise ConfigError(f"--sets '{text}': '{part}' names a source twice.")
        sets.setdefault(tuple(sorted(names)), names)
    if not sets:
        raise ConfigError("--sets is empty. Write for example --sets hannover+openist,radiopaedia.")
    return tuple(sets.values())


def find_other_images(
    manifest: pd.DataFrame, sources: Sequence[str], *, of: pd.DataFrame | None = None
) -> NDArray[np.bool_]:
    """Find the images that have nothing to do with some sources, (images,).

    Images of a group (a patient, a near-duplicate cluster) with images of the sources are out: a
    network that learnt from them would have seen the sources after all.

    Args:
        manifest: Of the whole dataset.
        sources: That are left out.
        of: The rows that are asked about; None for the whole dataset.
    """
    touched = manifest.loc[manifest["source"].isin(list(sources)), "group_id"]
    rows = manifest if of is None else of
    found: NDArray[np.bool_] = ~rows["group_id"].isin(set(touched)).to_numpy(dtype=bool)
    return found


def find_taught_classes(manifest: pd.DataFrame, sources: Sequence[str]) -> set[str]:
    """Find the classes that all splits show without some sources."""
    others = manifest[find_other_images(manifest, sources)]
    shown = [set(others.loc[others["split"] == split, "class_name"]) for split in _SPLITS]
    return set.intersection(*shown)


def take_images(image_set: ImageSet, chosen: NDArray[np.bool_]) -> ImageSet:
    """Take some images of a set into memory, without their masks; `chosen` is (images,)."""
    rows = np.flatnonzero(chosen)
    return ImageSet(
        images=image_set.images[rows],
        labels=image_set.labels[rows],
        manifest=image_set.manifest.iloc[rows].reset_index(drop=True),
    )


class _Plan:
    """The images of each source and class, and what follows from them."""

    def __init__(
        self, manifest: pd.DataFrame, class_names: tuple[str, ...], min_images: int
    ) -> None:
        self._manifest = manifest
        self._class_names = class_names
        self._min_images = min_images
        self.counts = pd.crosstab(manifest["source"], manifest["class_name"]).reindex(
            columns=list(class_names), fill_value=0
        )
        self._held = {
            source: {
                name for name, count in zip(class_names, row, strict=True) if count >= min_images
            }
            for source, row in zip(self.counts.index, self.counts.to_numpy(), strict=True)
        }
        self._pairs = tuple(itertools.combinations(class_names, 2))
        self._held_together = {
            pair for pair in self._pairs if any(set(pair) <= held for held in self._held.values())
        }

    def choose_sets(self) -> list[tuple[str, ...]]:
        """Choose the sets, see `plan_source_folds`."""
        sets: list[tuple[str, ...]] = [
            (source,) for source in self.counts.index if len(self._held[source]) > 1
        ]
        for pair in self._pairs:
            sides = [self._rank_sources(name) for name in pair]
            if pair in self._held_together or not all(sides):
                continue
            count = min(_MAX_SETS_PER_PAIR, max(map(len, sides)))
            found: list[tuple[str, ...]] = [
                tuple(sorted(side[number % len(side)] for side in sides)) for number in range(count)
            ]
            sets += [one for one in found if set(pair) <= find_taught_classes(self._manifest, one)]
        return list(dict.fromkeys(sets))

    def _rank_sources(self, class_name: str) -> list[str]:
        own = self.counts[class_name]
        return sorted(own.index[own >= self._min_images], key=lambda source: (-own[source], source))

    def build_fold(self, sources: tuple[str, ...]) -> SourceFold:
        """Find what can be tested on a set of sources."""
        own = self._manifest[self._manifest["source"].isin(sources)]
        present = set(own["class_name"])
        compared = present & find_taught_classes(self._manifest, sources)
        tasks = tuple(self._list_tasks(sources, compared))
        has_others = bool(find_other_images(self._manifest, sources).any())
        return SourceFold(
            sources=sources,
            images=len(own),
            patients=own["group_id"].nunique(),
            classes=tuple(name for name in self._class_names if name in present),
            compared=tuple(name for name in self._class_names if name in compared),
            tasks=tasks,
            reason=""
            if tasks
            else _find_reason(
                present, compared, has_others=has_others, min_images=self._min_images
            ),
        )

    def _list_tasks(self, sources: tuple[str, ...], compared: set[str]) -> Iterator[SourceTask]:
        for against, argued_for in self._pairs:
            if not {against, argued_for} <= compared:
                continue
            within = (against, argued_for) in self._held_together
            places = (
                [(one, one) for one in sources] if within else itertools.permutations(sources, 2)
            )
            for one, other in places:
                if argued_for in self._held[one] and against in self._held[other]:
                    yield SourceTask((argued_for, against), (one, other))


def _find_reason(
    present: set[str], compared: set[str], *, has_others: bool, min_images: int
) -> str:
    if not has_others:
        return "Cannot be tested: without it no image is left to learn from."
    if len(present) < 2:
        (name,) = present
        return (
            f"Cannot be tested: all its images show {name}, so that knowing the source and knowing "
            "the class are the same."
        )
    if len(compared) < 2:
        unknown = ", ".join(sorted(present - compared))
        return (
            f"Cannot be tested: the other sources do not show {unknown} in training, validation "
            "and test, so that fewer than two classes could be compared."
        )
    return (
        "Cannot be tested: there are no two classes to compare with at least "
        f"{min_images} images each."
    )
