"""The network: a picture of it, and what each part costs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from cxresnet.model.ensemble import CXResNetEnsemble, Network
from cxresnet.model.picture import draw_architecture
from cxresnet.model.summary import LayerRow, Totals, compute_totals, summarise_model
from cxresnet.report.section import Section

__all__ = ["ArchitectureView", "build_architecture_section"]


@dataclass(frozen=True)
class ArchitectureView:
    """What the template shows.

    Attributes:
        preset: Name of the network.
        side_px: Side of the film that the picture was drawn for.
        address: The picture, as a `data:` address: apart from the page, so that neither its style
            nor a class's name can reach out of it.
        rows: Its parts in order.
        totals: Sums of the rows.
        members: Networks of this kind whose answers are averaged; 1 is a single network.
    """

    preset: str
    side_px: int
    address: str
    rows: tuple[LayerRow, ...]
    totals: Totals
    members: int = 1


def build_architecture_section(
    model: Network | None, *, preset: str, side_px: int, class_names: Sequence[str]
) -> Section:
    """Build the section; without a network it says how to get one.

    Args:
        model: The network that was trained.
        preset: Its name.
        side_px: Side of the films it was trained on.
        class_names: In the order of the logits.
    """
    anchor, title, short = "architecture", "The network", "Network"
    if model is None:
        missing = "Not trained yet. 'cxresnet train DATASET --out RUN' builds and trains a network."
        return Section(anchor, title, short, view=None, missing=missing)
    networks = model.networks if isinstance(model, CXResNetEnsemble) else (model,)
    picture = draw_architecture(networks[0], side_px=side_px, class_names=class_names)
    rows = tuple(summarise_model(networks[0], side_px=side_px))
    view = ArchitectureView(
        preset=preset,
        side_px=side_px,
        address="data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode("ascii"),
        rows=rows,
        totals=compute_totals(rows),
        members=len(networks),
    )
    return Section(anchor, title, short, view=view)
