"""Where in the lungs the network looks, class by class, over many films.

A fair sample of the films that the network calls a class, one a patient, each film's map cut into
the zones of a common frame (`zones.py`). The mean over films says which zones the network uses for
that answer, whatever the films show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from cxresnet.core.seeding import build_generator
from cxresnet.explain.film_lungs import FilmLungs
from cxresnet.explain.story import compute_zone_shares
from cxresnet.explain.zones import ZONE_NAMES, compute_zones, sum_zones
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.classification import Judged
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import build_mean

__all__ = ["ClassConcept", "Concept", "ZoneUse", "choose_concept_films", "compute_class_concept"]

_RESAMPLES = 2000
_CONFIDENCE = 0.95


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ZoneUse(_Record):
    """One zone of the common frame.

    Attributes:
        zone: One of `ZONE_NAMES`.
        share: Mean over films of the zone's share of all that argues for the class.
        area: Mean over films of the zone's share of the film: what a map that knows nothing gives.
    """

    zone: str
    share: Estimate
    area: float = Field(ge=0, le=1)


class ClassConcept(_Record):
    """One class.

    Attributes:
        class_name: What the network says of these films.
        films: Films measured.
        patients: Patients or clusters of copies among them.
        without_lungs: Films left out because no lungs could be relied on.
        found_lungs: Films whose lungs are the lung finder's.
        without_evidence: Films left out because nothing in their map argues for the class.
        zones: One entry a zone, in the order of `ZONE_NAMES`; empty without films.
    """

    class_name: str
    films: int = Field(ge=0)
    patients: int = Field(ge=0)
    without_lungs: int = Field(ge=0)
    found_lungs: int = Field(ge=0)
    without_evidence: int = Field(ge=0)
    zones: tuple[ZoneUse, ...]


class Concept(_Record):
    """All classes.

    Attributes:
        method: Title of the map.
        classes: In the dataset's order.
    """

    format: Literal[1] = 1
    method: str
    classes: tuple[ClassConcept, ...]


def choose_concept_films(
    judged: Judged, *, group_ids: Sequence[str], label: int, count: int, seed: int = 0
) -> list[int]:
    """Draw films that the network calls a class, one a group, without regard to confidence.

    Args:
        judged: Films of the test, and what was decided.
        group_ids: One a film.
        label: The class.
        count: At most so many.
        seed: Of the draw.

    Returns:
        Rows of `judged`, in their order.
    """
    rows = np.flatnonzero(judged.predicted == label)
    order = build_generator(seed, "concept", label).permutation(rows)
    one_a_group: dict[str, int] = {}
    for row in order.tolist():
        one_a_group.setdefault(group_ids[row], row)
    return sorted(list(one_a_group.values())[:count])


def compute_class_concept(
    class_name: str,
    *,
    lungs: Sequence[FilmLungs],
    group_ids: Sequence[str],
    attribute: Callable[[int], NDArray[np.float32]],
) -> ClassConcept:
    """Average the films of one class in the common frame.

    Args:
        class_name: The class.
        lungs: Of each film.
        group_ids: One a film.
        attribute: Computes the map of film i, (row, column); asked only where there are lungs.
    """
    shares, areas, kept = [], [], []
    for row, one in enumerate(lungs):
        zones = compute_zones(one.right_lung, one.left_lung)
        if one.source == "none" or not zones.any():
            continue
        found = compute_zone_shares(attribute(row), zones)
        if found:
            shares.append([found[name] for name in ZONE_NAMES])
            areas.append(sum_zones(np.ones(zones.shape), zones) / zones.size)
            kept.append(row)
    with_lungs = [one for one in lungs if one.source != "none"]
    groups = [group_ids[row] for row in kept]
    return ClassConcept(
        class_name=class_name,
        films=len(kept),
        patients=len(set(groups)),
        without_lungs=len(lungs) - len(with_lungs),
        found_lungs=sum(lungs[row].source == "lung finder" for row in kept),
        without_evidence=len(with_lungs) - len(kept),
        zones=_average(np.array(shares), np.array(areas), groups) if kept else (),
    )


def _average(
    shares: NDArray[np.float64], areas: NDArray[np.float64], groups: Sequence[str]
) -> tuple[ZoneUse, ...]:
    estimates = compute_estimates(
        [build_mean(name, shares[:, number]) for number, name in enumerate(ZONE_NAMES)],
        groups=groups,
        resamples=_RESAMPLES,
        confidence=_CONFIDENCE,
        generator=build_generator(0, "concept", "bootstrap"),
    )
    return tuple(
        ZoneUse(zone=name, share=estimates[name], area=float(areas[:, number].mean()))
        for number, name in enumerate(ZONE_NAMES)
    )
