"""How the network is tested."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cxresnet.core.config.section import Section

__all__ = ["EvaluateConfig"]


class EvaluateConfig(Section):
    """How the network is tested.

    Attributes:
        bootstrap_resamples: Times the patients are drawn again for an interval.
        confidence: Coverage aimed at by every interval.
        seed: Seed of the bootstrap and of the baselines.
        operating_point: How probabilities become a class: "argmax", "balanced" or "youden", or
            "auto" for the one that does best on validation films.
        test_views: Average the network over five slightly moved and scaled views of each film;
            takes five times as long.
        baselines: Try what rules without lungs reach on the same films.
        least_sensitivity: Aimed at by the threshold "sensitivity" of each class.
        cost_of_miss: Aimed at by the threshold "cost" of each class: so many false alarms weigh as
            much as one film that is missed.
        prevalence: From class to its share of the films where the network would be used, for the
            predictive values there, for example {"covid": 0.02}.
        coverage: Share of each class's films whose set of classes shall hold the true one.
        slice_patients: A slice (a source, a view, an age band) with fewer patients says "too few"
            instead of a number.
        few_patients: A class with fewer patients than this gets a warning.
        batch_size: Films that go through the network at once.
    """

    bootstrap_resamples: int = Field(default=2000, ge=100, le=1_000_000)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    seed: int = Field(default=0, ge=0)
    operating_point: Literal["auto", "argmax", "balanced", "youden"] = "auto"
    test_views: bool = False
    baselines: bool = True
    least_sensitivity: float = Field(default=0.95, gt=0, le=1)
    cost_of_miss: float = Field(default=10, gt=0)
    prevalence: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(default={})
    coverage: float = Field(default=0.9, ge=0.5, lt=1)
    slice_patients: int = Field(default=10, ge=2)
    few_patients: int = Field(default=20, ge=0)
    batch_size: int = Field(default=64, ge=1, le=65_536)
