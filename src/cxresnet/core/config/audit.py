"""How a model is audited."""

from __future__ import annotations

from pydantic import Field

from cxresnet.core.config.section import Section


class AuditConfig(Section):
    """How a model is audited.

    Attributes:
        swaps: Pairs of images whose lungs are swapped, and as many of one class as control.
        altered_images: Images, at most one per patient, that every alteration is tried on.
        map_images: Swapped images whose attribution maps are computed.
        matched_tolerance_sd: Images count as alike in tone or sharpness if they differ by at most
            this many standard deviations.
        small_epochs: Epochs of the small networks that are trained for the audit, for example on
            images without lungs; up to four times as many where the images are few.
        small_side_px: Images larger than this are reduced to it for the small networks.
        label_folds: Parts of the cross-validation that looks for wrong labels.
        bootstrap_resamples: Resamples of the patients for each interval.
        seed: Of all random draws and of the small networks.
        batch_size: Images that go through a network at once.
    """

    swaps: int = Field(default=120, ge=10, le=100_000)
    altered_images: int = Field(default=120, ge=10, le=100_000)
    map_images: int = Field(default=16, ge=4, le=1000)
    matched_tolerance_sd: float = Field(default=0.5, gt=0, le=5)
    small_epochs: int = Field(default=12, ge=1, le=1000)
    small_side_px: int = Field(default=64, ge=32, le=512)
    label_folds: int = Field(default=3, ge=2, le=10)
    bootstrap_resamples: int = Field(default=1000, ge=100, le=100_000)
    seed: int = Field(default=0, ge=0)
    batch_size: int = Field(default=64, ge=1, le=65_536)
