"""How the network is explained."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from cxresnet.core.config.section import Section

__all__ = ["ExplainConfig"]


class ExplainConfig(Section):
    """How the network is explained.

    Attributes:
        films_per_class: Most confident right, most confident wrong and least confident right
            films, each, of each class.
        occlusion_window_share: Side of the grey patch, as a share of the film's side.
        occlusion_stride_share: Step of the patch, likewise; at most the patch itself.
        batch_size: Films, covered ones included, that go through the network at once.
    """

    films_per_class: int = Field(default=2, ge=1, le=100)
    occlusion_window_share: float = Field(default=0.125, gt=0, le=0.5)
    occlusion_stride_share: float = Field(default=0.0625, gt=0, le=0.5)
    batch_size: int = Field(default=64, ge=1, le=65_536)

    @model_validator(mode="after")
    def _patches_leave_no_gap(self) -> Self:
        if self.occlusion_stride_share > self.occlusion_window_share:
            raise ValueError(
                "occlusion_stride_share is larger than occlusion_window_share, "
                "so that parts of the film would never be covered"
            )
        return self
