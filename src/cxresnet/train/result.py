"""What came of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

__all__ = ["TrainResult"]


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What came of a training.

    Attributes:
        checkpoint: The folder of the network that validation chose.
        epochs: Done in all.
        best_epoch: The chosen one, 1 and up.
        metrics: Of that epoch: train loss and all of `VALIDATION_NAMES`.
        val_films: How many films the validation numbers rest on.
        chosen: Whether those films chose the epoch.
        seconds: Of all epochs together.
    """

    checkpoint: Path
    epochs: int
    best_epoch: int
    metrics: dict[str, float]
    val_films: int
    seconds: float
    chosen: bool = True

    def describe(self) -> str:
        """Say in one sentence how it went."""
        balanced, auroc = (
            self.metrics[name] for name in ("val_balanced_accuracy", "val_macro_auroc")
        )
        area = "not defined" if math.isnan(auroc) else f"{auroc:.3f}"
        how = "validation chose" if self.chosen else "the config asks for the last,"
        note = "chosen on these very films; " if self.chosen else ""
        return (
            f"Trained {self.epochs} epochs in {self.seconds:.0f} s; {how} epoch "
            f"{self.best_epoch}: balanced accuracy {balanced:.3f}, macro AUROC {area} "
            f"(n={self.val_films} films, {note}'evaluate' says how good)."
        )
