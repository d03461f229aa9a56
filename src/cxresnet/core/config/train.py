"""How the network is trained."""

from __future__ import annotations

from pydantic import Field

from cxresnet.core.config.section import Section

__all__ = ["TrainConfig"]


class TrainConfig(Section):
    """How the network is trained.

    Attributes:
        epochs: Passes over the training films, at most.
        batch_size: Films a step.
        learning_rate: Peak of the schedule.
        weight_decay: Decoupled; not applied to norms and biases.
        warmup_epochs: Linear climb to the peak before the cosine.
        label_smoothing: Share of the truth spread over all classes.
        patience_epochs: Stop when validation has not improved for so long; 0 never stops early.
        seed: Seed of weights, order and augmentation.
    """

    epochs: int = Field(default=30, ge=1, le=100_000)
    batch_size: int = Field(default=32, ge=2, le=65_536)
    learning_rate: float = Field(default=3e-3, gt=0, le=10)
    weight_decay: float = Field(default=0.02, ge=0, le=10)
    warmup_epochs: float = Field(default=1.0, ge=0)
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    patience_epochs: int = Field(default=10, ge=0)
    seed: int = Field(default=0, ge=0)
