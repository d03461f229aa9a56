"""How the network is explained."""

from __future__ import annotations

from pydantic import Field

from cxresnet.core.config.section import Section

__all__ = ["ExplainConfig"]


class ExplainConfig(Section):
    """How the network is explained.

    Attributes:
        films_per_class: Most confident right and most confident wrong films, each, of each class.
        occlusion_window_share: Side of the grey patch, as a share of the film's side.
        occlusion_stride_share: Step of the patch, likewise.
    """

    films_per_class: int = Field(default=2, ge=1, le=100)
    occlusion_window_share: float = Field(default=0.125, gt=0, le=0.5)
    occlusion_stride_share: float = Field(default=0.0625, gt=0, le=0.5)
