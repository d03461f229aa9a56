"""Which zones of the lungs the network uses for which answer, over many films."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxresnet.explain.concept import ClassConcept, Concept
from cxresnet.explain.concept_picture import RADIOLOGY, draw_class_panel
from cxresnet.explain.zones import OUTSIDE
from cxresnet.report.images import build_data_address
from cxresnet.report.section import Section

__all__ = ["ClassPanel", "ConceptView", "build_concept_section"]

_PANEL_PX = 700


@dataclass(frozen=True)
class ClassPanel:
    """One class.

    Attributes:
        concept: The numbers.
        address: The picture.
        words: The picture in words, for those who do not see it.
        radiology: What radiology expects; "" where the class is not known by name.
    """

    concept: ClassConcept
    address: str
    words: str
    radiology: str


@dataclass(frozen=True)
class ConceptView:
    """What the template shows.

    Attributes:
        method: Title of the map.
        panels: One a class.
    """

    method: str
    panels: tuple[ClassPanel, ...]


def build_concept_section(concept: Concept) -> Section:
    """Build the section."""
    anchor, title, short = "concept", "Where it looks, class by class", "Zones"
    panels = tuple(
        ClassPanel(
            concept=one,
            address=build_data_address(
                np.asarray(draw_class_panel(one)), largest_side_px=_PANEL_PX
            ),
            words=_describe(one),
            radiology=RADIOLOGY.get(one.class_name, ""),
        )
        for one in concept.classes
    )
    return Section(anchor, title, short, view=ConceptView(concept.method, panels))


def _describe(concept: ClassConcept) -> str:
    """Name the three zones that hold most for their size, and what lies outside of the lungs."""
    if not concept.zones:
        return f"No film that the network calls {concept.class_name} could be measured."
    inside = [use for use in concept.zones if use.zone != OUTSIDE]
    inside.sort(key=lambda use: use.area - (use.share.value or 0.0))
    most = ", ".join(f"{use.zone} {use.share.value or 0:.0%}" for use in inside[:3])
    outside = next(use for use in concept.zones if use.zone == OUTSIDE)
    return (
        f"Answer {concept.class_name}: most for their size in {most}; outside the lungs "
        f"{outside.share.value or 0:.0%} on {outside.area:.0%} of the film."
    )
