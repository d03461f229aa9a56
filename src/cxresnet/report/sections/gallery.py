"""Mistakes worth looking at: sure and wrong, and right by a hair, with what argued for them."""

from __future__ import annotations

from dataclasses import dataclass

from cxresnet.explain.record import Attributions, ExplainedFilm
from cxresnet.report.images import build_data_address
from cxresnet.report.map_picture import build_map_address
from cxresnet.report.section import Section

__all__ = ["GalleryFilm", "GalleryRow", "GalleryView", "build_gallery_section"]

_SIDE_PX = 160
_KINDS = ("most confident wrong", "least confident right")


@dataclass(frozen=True)
class GalleryFilm:
    """One film of the gallery.

    Attributes:
        film: What is known of it.
        address: The bare film.
        map_address: With the first method's map over it.
    """

    film: ExplainedFilm
    address: str
    map_address: str


@dataclass(frozen=True)
class GalleryRow:
    """Films of one true class.

    Attributes:
        class_name: The label.
        wrong: Those about which the network was surest, and wrong.
        close: Right ones about which it was least sure.
    """

    class_name: str
    wrong: tuple[GalleryFilm, ...]
    close: tuple[GalleryFilm, ...]


@dataclass(frozen=True)
class GalleryView:
    """What the template shows: a row a class, and the method of the maps."""

    rows: tuple[GalleryRow, ...]
    method: str


def build_gallery_section(attributions: Attributions | None) -> Section:
    """Build the section from the films that `explain` chose."""
    anchor, title, short = "gallery", "Mistakes worth looking at", "Mistakes"
    if attributions is None:
        missing = "Not explained yet. 'cxresnet explain RUN' picks the films and draws the maps."
        return Section(anchor, title, short, view=None, missing=missing)
    rows = tuple(
        GalleryRow(name, *(_choose(attributions, name, why) for why in _KINDS))
        for name in attributions.index.class_names
    )
    view = GalleryView(rows=rows, method=attributions.index.methods[0].title)
    return Section(anchor, title, short, view=view)


def _choose(attributions: Attributions, class_name: str, why: str) -> tuple[GalleryFilm, ...]:
    index = attributions.index
    return tuple(
        _build_film(attributions, row)
        for row, film in enumerate(index.films)
        if film.true_class == class_name and film.why == why
    )


def _build_film(attributions: Attributions, row: int) -> GalleryFilm:
    index = attributions.index
    return GalleryFilm(
        film=index.films[row],
        address=build_data_address(attributions.films[row], largest_side_px=_SIDE_PX),
        map_address=build_map_address(attributions, index.methods[0], row, side_px=_SIDE_PX),
    )
