"""Copies that were found: the same film under several names."""

from __future__ import annotations

from dataclasses import dataclass

from cxresnet.report.images import build_data_address
from cxresnet.report.section import Section
from cxresnet.report.sections.films import FilmMaterial

__all__ = ["ClusterView", "CopiesView", "Copy", "build_copies_section"]

_MOST_CLUSTERS = 12
_MOST_COPIES = 6
_SIDE_PX = 112


@dataclass(frozen=True)
class Copy:
    """One film of a cluster."""

    address: str
    image_id: str
    class_name: str
    source: str


@dataclass(frozen=True)
class ClusterView:
    """One cluster: its films, as far as they are shown, and how many there are."""

    copies: tuple[Copy, ...]
    films: int


@dataclass(frozen=True)
class CopiesView:
    """What the template shows.

    Attributes:
        clusters: The largest clusters of the training split.
        films: Films that have a copy, in all splits.
        found: Clusters of two or more, in all splits.
    """

    clusters: tuple[ClusterView, ...]
    films: int
    found: int


def build_copies_section(material: FilmMaterial) -> Section:
    """Build the section; pictures come from the training split alone, the test stays sealed."""
    sizes = material.manifest["cluster_id"].value_counts()
    training = material.training.reset_index(drop=True)
    repeated = training["cluster_id"].value_counts()
    repeated = repeated[repeated > 1].sort_index().sort_values(ascending=False, kind="stable")
    view = CopiesView(
        clusters=tuple(
            _show_cluster(material, cluster) for cluster in repeated.index[:_MOST_CLUSTERS]
        ),
        films=int(sizes[sizes > 1].sum()),
        found=int((sizes > 1).sum()),
    )
    return Section("copies", "Copies that were found", "Copies", view=view)


def _show_cluster(material: FilmMaterial, cluster: int) -> ClusterView:
    training = material.training.reset_index(drop=True)
    films = training[training["cluster_id"] == cluster]
    copies = tuple(
        Copy(
            address=build_data_address(material.training_films[row], largest_side_px=_SIDE_PX),
            image_id=str(film["image_id"]),
            class_name=str(film["class_name"]),
            source=str(film["source"]),
        )
        for row, film in zip(
            films.index[:_MOST_COPIES].tolist(),
            films.head(_MOST_COPIES).to_dict("records"),
            strict=True,
        )
    )
    return ClusterView(copies, len(films))
