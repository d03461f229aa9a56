"""What the model sees: each chosen film beside its maps, on one scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.explain.overlay import (
    draw_colour_bar,
    draw_spread,
    find_outline,
)
from cxresnet.explain.record import Attributions, ExplainedFilm, MethodRecord
from cxresnet.report.images import build_data_address
from cxresnet.report.map_picture import build_map_address
from cxresnet.report.section import Section

__all__ = ["ExplanationView", "FilmView", "LungRow", "MapView", "build_explanation_section"]

_MOST_FILMS = 30
_SIDE_PX = 192


@dataclass(frozen=True)
class MapView:
    """One map over its film.

    Attributes:
        title: Of the method.
        address: The picture.
        words: What stands below: the strongest value, and the scale where it is not the shared one.
        lung_share: Share of the map's weight in the lungs, 0 to 1; None where not known.
        distrusted: The method failed its trust card.
    """

    title: str
    address: str
    words: str
    lung_share: float | None
    distrusted: bool = False


@dataclass(frozen=True)
class FilmView:
    """One film with its maps.

    Attributes:
        film: What is known of it.
        right: The network says what the label says.
        address: The bare film.
        maps: One a method.
    """

    film: ExplainedFilm
    right: bool
    address: str
    maps: tuple[MapView, ...]


@dataclass(frozen=True)
class LungRow:
    """How much of a method's maps lies in the lungs, over the films that have a mask.

    Attributes:
        title: Of the method.
        films: How many have a mask and a map.
        share: Mean share of the map's weight in the lungs, 0 to 1.
        chance: Mean share of the film that is lung.
    """

    title: str
    films: int
    share: float
    chance: float


@dataclass(frozen=True)
class ExplanationView:
    """What the template shows.

    Attributes:
        methods: What was computed.
        scale_limit: Change of probability at both ends of the scale.
        bar_address: The scale itself.
        films: In the order of the index.
        left_out: Films that lie in the run folder but not on the page.
        lungs: One row a method; empty where no film has a mask.
    """

    methods: tuple[MethodRecord, ...]
    scale_limit: float
    bar_address: str
    films: tuple[FilmView, ...]
    left_out: int
    lungs: tuple[LungRow, ...]


def build_explanation_section(attributions: Attributions | None) -> Section:
    """Build the section; without an explanation it says how to get one."""
    anchor, title, short = "explanation", "What the network looks at", "Explanation"
    if attributions is None:
        missing = "Not explained yet. 'cxresnet explain RUN' computes the maps."
        return Section(anchor, title, short, view=None, missing=missing)
    index = attributions.index
    count = min(len(index.films), _MOST_FILMS)
    view = ExplanationView(
        methods=index.methods,
        scale_limit=index.scale_limit,
        bar_address=build_data_address(
            draw_colour_bar(width_px=256, height_px=1), largest_side_px=256
        ),
        films=tuple(_build_film(attributions, row) for row in range(count)),
        left_out=len(index.films) - count,
        lungs=_summarise_lungs(index.films, index.methods),
    )
    return Section(anchor, title, short, view=view)


def _build_film(attributions: Attributions, row: int) -> FilmView:
    record, film = attributions.index.films[row], attributions.films[row]
    outline = find_outline(attributions.lung_masks[row])
    maps = []
    for method in attributions.index.methods:
        values = attributions.compute_drawn(method, row)
        maps.append(
            MapView(
                title=method.title,
                address=build_map_address(
                    attributions, method, row, side_px=_SIDE_PX, outline=outline
                ),
                words=_describe_values(method, values, limit=attributions.get_scale_limit(method)),
                distrusted=method.distrusted,
                lung_share=record.lung_shares.get(method.name),
            )
        )
    maps += [
        MapView(
            title=f"{method.title}, covers apart",
            address=build_data_address(
                draw_spread(film, spread[row], scale_limit=attributions.get_scale_limit(method)),
                largest_side_px=_SIDE_PX,
            ),
            words=f"at most {float(spread[row].max()):.3f}",
            lung_share=None,
        )
        for method in attributions.index.methods
        for spread in [attributions.spreads.get(method.name)]
        if spread is not None
    ]
    return FilmView(
        film=record,
        right=record.true_class == record.predicted_class,
        address=build_data_address(film, largest_side_px=_SIDE_PX),
        maps=tuple(maps),
    )


def _describe_values(method: MethodRecord, drawn: NDArray[np.float32], *, limit: float) -> str:
    """Say the value farthest from 0; of an own scale, its ends and its unit instead."""
    if method.own_scale_limit is None:
        strongest = float(drawn.flat[np.abs(drawn).argmax()])
        beyond = ", beyond the scale" if abs(strongest) > 1.001 * limit else ""
        return f"strongest {strongest:+.3f}{beyond}"
    return f"own scale ±{method.own_scale_limit:g}, {method.unit}"


def _summarise_lungs(
    films: tuple[ExplainedFilm, ...], methods: tuple[MethodRecord, ...]
) -> tuple[LungRow, ...]:
    rows = []
    for method in methods:
        pairs = [
            (film.lung_shares[method.name], film.lung_area_share)
            for film in films
            if method.name in film.lung_shares and film.lung_area_share is not None
        ]
        if pairs:
            share, chance = np.mean(pairs, axis=0)
            rows.append(LungRow(method.title, len(pairs), float(share), float(chance)))
    return tuple(rows)
