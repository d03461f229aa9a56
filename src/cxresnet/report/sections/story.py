"""Films in plain words: film, map, contour of the lungs, sentences, and the films most alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.explain.insights import Insights, choose_told_method
from cxresnet.explain.neighbours import FilmNeighbours, Neighbour
from cxresnet.explain.overlay import draw_colour_bar, find_outline
from cxresnet.explain.record import Attributions, ExplainedFilm
from cxresnet.explain.story import FilmStory
from cxresnet.report.images import build_data_address, paint_outline
from cxresnet.report.map_picture import build_map_address
from cxresnet.report.section import Section
from cxresnet.report.zone_drawing import draw_zones_svg

__all__ = ["AlikeView", "StoryFilm", "StoryView", "build_story_section"]

_MOST_FILMS = 18
_SIDE_PX = 256
_ALIKE_SIDE_PX = 112


@dataclass(frozen=True)
class AlikeView:
    """One training film that is alike.

    Attributes:
        address: The picture.
        neighbour: What is known of it.
    """

    address: str
    neighbour: Neighbour


@dataclass(frozen=True)
class StoryFilm:
    """One film in words.

    Attributes:
        film: What is known of it.
        right: The network says what the label says.
        story: What was measured on it, and the sentences.
        film_address: The film with the contour of its lungs.
        map_address: The same with the map over it.
        alike: The most alike training films, nearest first.
        neighbours: How near they are; None where nobody asked.
    """

    film: ExplainedFilm
    right: bool
    story: FilmStory
    film_address: str
    map_address: str
    alike: tuple[AlikeView, ...]
    neighbours: FilmNeighbours | None


@dataclass(frozen=True)
class StoryView:
    """What the template shows.

    Attributes:
        films: In the order of the index.
        left_out: Films that lie in the run folder but not on the page.
        method: Title of the map.
        unit: Of the map.
        scale_limit: The value at both ends of the scale.
        bar_address: The scale itself.
        zones_svg: The zones and their names.
    """

    films: tuple[StoryFilm, ...]
    left_out: int
    method: str
    unit: str
    scale_limit: float
    bar_address: str
    zones_svg: str


def build_story_section(attributions: Attributions, insights: Insights) -> Section:
    """Build the section."""
    anchor, title, short = "story", "Films in plain words", "In words"
    index = attributions.index
    method = choose_told_method(index)
    rows = min(len(index.films), len(insights.index.stories), _MOST_FILMS)
    view = StoryView(
        films=tuple(_build_film(attributions, insights, row) for row in range(rows)),
        left_out=len(index.films) - rows,
        method=method.title,
        unit=method.unit,
        scale_limit=attributions.get_scale_limit(method),
        bar_address=build_data_address(
            draw_colour_bar(width_px=256, height_px=1), largest_side_px=256
        ),
        zones_svg=draw_zones_svg(),
    )
    return Section(anchor, title, short, view=view)


def _build_film(attributions: Attributions, insights: Insights, row: int) -> StoryFilm:
    index, film = attributions.index, attributions.films[row]
    outline = find_outline(attributions.lung_masks[row])
    method = choose_told_method(index)
    neighbours = insights.index.neighbours[row] if insights.index.neighbours else None
    return StoryFilm(
        film=index.films[row],
        right=index.films[row].true_class == index.films[row].predicted_class,
        story=insights.index.stories[row],
        film_address=build_data_address(paint_outline(film, outline), largest_side_px=_SIDE_PX),
        map_address=build_map_address(attributions, method, row, side_px=_SIDE_PX, outline=outline),
        alike=_build_alike(neighbours, insights.neighbour_films[row]),
        neighbours=neighbours,
    )


def _build_alike(
    neighbours: FilmNeighbours | None, films: NDArray[np.uint8]
) -> tuple[AlikeView, ...]:
    if neighbours is None:
        return ()
    return tuple(
        AlikeView(build_data_address(film, largest_side_px=_ALIKE_SIDE_PX), neighbour)
        for film, neighbour in zip(films, neighbours.neighbours, strict=False)
    )
