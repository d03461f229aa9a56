"""Which network."""

from __future__ import annotations

from pydantic import Field

from cxresnet.core.config.section import Section

__all__ = ["ModelConfig"]


class ModelConfig(Section):
    """Which network: a named preset, and what differs from it.

    Attributes:
        preset: Name of a preset; `cxresnet model` lists them.
    """

    preset: str = Field(default="nano", min_length=1)
