"""How images are prepared and split."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from cxresnet.core.config.section import Section


class DataConfig(Section):
    """How images become arrays, and arrays become splits.

    Attributes:
        side_px: Side of the square images in the cache, in pixels.
        common_side_px: Every image is resized to this side first, whatever its own, so that the
            resolution of a file does not predict its class.
        resize_mode: How an image becomes square: "crop" its longer side about the middle, or "pad"
            its shorter side with black (which shows the network the shape of the image), or
            "squash" it to a square.
        low_percentile: Grey level, as a percentile of the image, that becomes black.
        high_percentile: The same for white.
        equalisation_clip_limit: Largest factor by which histogram equalisation raises contrast; 1
            turns it off. Equalised grey levels hold little information about the device.
        spectrum_strength: How far every image is given the power spectrum (the sharpness) of a
            typical one, 0 (not at all) to 1: scanners sharpen and smooth each in their own way, and
            a network learns that instead of the disease.
        border_cut: Share of each side cut off before anything else, 0 to 0.2.
        val_share: Share of the groups for validation.
        test_share: Share of the groups for the held-out test set.
        keep_given_split: Keep the train/val/test folders of the source instead of splitting afresh.
        folds: Number of cross-validation folds written into the manifest; 0 for none.
        find_duplicates: Find near-duplicates and keep them in one split.
        external_test: The images are an external test set for networks that were trained
            elsewhere: all of them go to the held-out test set, and one class is enough.
        allow_empty_classes: Continue where no image is left of a class that a folder, a label or
            --classes names.
        no_patients: Patient ids that stand for nobody, beside "unknown", "N/A", "0" and the like.
        max_patient_share: Largest share of the images of a class that one patient may have; more
            may be a placeholder, and is asked about.
        label_conflicts: What to do with near-duplicates of two classes: "drop" both or "keep" them.
        seed: Seed of the split.
        workers: Decoding processes; 0 means one a core.
        decode_memory_mib: Memory that decoding one image may take, in MiB; an image that needs
            more is left out.
        decode_seconds: Processor time that decoding one image may take; an image that needs more
            is left out.
    """

    side_px: int = Field(default=128, ge=16, le=2048)
    common_side_px: int = Field(default=192, ge=16, le=4096)
    resize_mode: Literal["crop", "pad", "squash"] = "crop"
    low_percentile: float = Field(default=1.0, ge=0, le=40)
    high_percentile: float = Field(default=99.0, ge=60, le=100)
    equalisation_clip_limit: float = Field(default=4.0, ge=1, le=100)
    spectrum_strength: float = Field(default=0.0, ge=0, le=1)
    border_cut: float = Field(default=0.0, ge=0, le=0.2)
    val_share: float = Field(default=0.15, gt=0, lt=1)
    test_share: float = Field(default=0.2, ge=0, lt=1)
    keep_given_split: bool = False
    folds: int = Field(default=0, ge=0, le=50)
    find_duplicates: bool = True
    external_test: bool = False
    allow_empty_classes: bool = False
    no_patients: tuple[str, ...] = ()
    max_patient_share: float = Field(default=0.2, gt=0, le=1)
    label_conflicts: Literal["drop", "keep"] = "drop"
    seed: int = Field(default=0, ge=0)
    workers: int = Field(default=0, ge=0, le=512)
    decode_memory_mib: int = Field(default=512, ge=64, le=65536)
    decode_seconds: float = Field(default=10.0, ge=1, le=3600)

    @model_validator(mode="after")
    def _shares_leave_images_for_training(self) -> Self:
        if self.val_share + self.test_share > 0.9:
            raise ValueError(
                "val_share + test_share leave less than 10 % of the images to train on"
            )
        if self.external_test and (self.keep_given_split or self.folds):
            raise ValueError(
                "external_test puts all images into the test set; "
                "it cannot be combined with keep_given_split or folds"
            )
        if self.folds == 1:
            raise ValueError("folds = 1 is not a cross-validation; give 0 or at least 2")
        return self
