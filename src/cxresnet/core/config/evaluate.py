"""How the network is tested."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cxresnet.core.config.section import Section

CalibrationImages = Literal["validation", "left-out sources"]


class EvaluateConfig(Section):
    """How the network is tested.

    Attributes:
        bootstrap_resamples: Resamples of the patients for each bootstrap interval.
        confidence_level: Nominal coverage of every interval.
        seed: Seed of the bootstrap and of the baselines.
        operating_point: How probabilities become a class: "argmax", "balanced" or "youden", or
            "auto" for the one that does best on validation images.
        calibrate_on: What calibration, decision rule and prediction sets are chosen on: images of
            the sources trained on ("validation"), or of "left-out sources", as networks without
            these saw them. The latter abstains more, and promises less that an unseen hospital
            would not keep; run `cxresnet evaluate RUN --leave-sources-out` before.
        test_time_augmentation: Average the network over five slightly moved and scaled views of
            each image; takes five times as long.
        shortcut_baselines: Compare with baselines that see no anatomy, on the same images.
        target_sensitivity: Target of the threshold "sensitivity" of each class.
        false_negative_cost: Used for the threshold "cost" of each class: this many false positives
            cost as much as one false negative.
        prevalence: From class to its share of the images where the network would be used, for the
            predictive values there, for example {"covid": 0.02}.
        coverage: Target share of each class's images whose prediction set holds the true class.
        min_slice_patients: A slice (a source, a view, an age band) with fewer patients shows
            "too few" instead of a number.
        min_patients_per_class: A class with fewer patients than this gets a warning.
        min_left_out_images: With sources left out: a class of which a source has fewer images is
            not scored in that source.
        batch_size: Images that go through the network at once.
    """

    bootstrap_resamples: int = Field(default=2000, ge=100, le=1_000_000)
    confidence_level: float = Field(default=0.95, gt=0.5, lt=1)
    seed: int = Field(default=0, ge=0)
    operating_point: Literal["auto", "argmax", "balanced", "youden"] = "auto"
    calibrate_on: CalibrationImages = "validation"
    test_time_augmentation: bool = False
    shortcut_baselines: bool = True
    target_sensitivity: float = Field(default=0.95, gt=0, le=1)
    false_negative_cost: float = Field(default=10, gt=0)
    prevalence: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(default={})
    coverage: float = Field(default=0.9, ge=0.5, lt=1)
    min_slice_patients: int = Field(default=10, ge=2)
    min_patients_per_class: int = Field(default=20, ge=0)
    min_left_out_images: int = Field(default=20, ge=2)
    batch_size: int = Field(default=64, ge=1, le=65_536)
