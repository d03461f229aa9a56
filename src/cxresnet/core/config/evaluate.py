"""How the network is tested."""

from __future__ import annotations

from pydantic import Field

from cxresnet.core.config.section import Section

__all__ = ["EvaluateConfig"]


class EvaluateConfig(Section):
    """How the network is tested.

    Attributes:
        bootstrap_resamples: Times the patients are drawn again for an interval.
        confidence: Coverage aimed at by every interval.
        seed: Seed of the bootstrap.
    """

    bootstrap_resamples: int = Field(default=2000, ge=100, le=1_000_000)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    seed: int = Field(default=0, ge=0)
