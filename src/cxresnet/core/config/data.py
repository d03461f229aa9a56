"""How films are prepared and split."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from cxresnet.core.config.section import Section

__all__ = ["DataConfig"]


class DataConfig(Section):
    """How films become arrays, and arrays become splits.

    Attributes:
        side_px: Side of the square films in the cache, in pixels.
        common_side_px: Every film goes through this side first, whatever its own: what a film was
            must not tell what it shows.
        fit: How a film becomes square: "crop" its longer side about the middle, or "pad" its
            shorter side with black (shows the shape of the film to the network), or "squash".
        low_percentile: Grey level, as a percentile of the film, that becomes black.
        high_percentile: The same for white.
        equalise_limit: Largest factor by which contrast is raised to spread the grey levels of a
            film evenly; 1 leaves them as they are. Even levels tell little about where a film was
            taken.
        border_cut: Share of each side cut off before anything else, 0 to 0.2.
        val_share: Share of the groups for validation.
        test_share: Share of the groups for the sealed test.
        keep_given_split: Keep the train/val/test folders of the source instead of splitting afresh.
        folds: Number of cross-validation folds written into the manifest; 0 for none.
        find_duplicates: Join films that are copies of each other before the split.
        outside: Prepare films to judge networks on that were trained elsewhere: all of them go to
            the sealed test split, and one class is enough.
        label_conflicts: What to do with copies under two classes: "drop" both or "keep" them.
        seed: Seed of the split.
        workers: Decoding processes; 0 means one a core.
    """

    side_px: int = Field(default=128, ge=16, le=2048)
    common_side_px: int = Field(default=192, ge=16, le=4096)
    fit: Literal["crop", "pad", "squash"] = "crop"
    low_percentile: float = Field(default=1.0, ge=0, le=40)
    high_percentile: float = Field(default=99.0, ge=60, le=100)
    equalise_limit: float = Field(default=4.0, ge=1, le=100)
    border_cut: float = Field(default=0.0, ge=0, le=0.2)
    val_share: float = Field(default=0.15, gt=0, lt=1)
    test_share: float = Field(default=0.2, ge=0, lt=1)
    keep_given_split: bool = False
    folds: int = Field(default=0, ge=0, le=50)
    find_duplicates: bool = True
    outside: bool = False
    label_conflicts: Literal["drop", "keep"] = "drop"
    seed: int = Field(default=0, ge=0)
    workers: int = Field(default=0, ge=0, le=512)

    @model_validator(mode="after")
    def _shares_leave_films_for_training(self) -> Self:
        if self.val_share + self.test_share > 0.9:
            raise ValueError("val_share + test_share leave less than 10 % of the films to train on")
        if 0 < self.equalise_limit < 1:
            raise ValueError(
                "equalise_limit below 1 lowers contrast; give 0 for off, or 1 and more"
            )
        if self.outside and (self.keep_given_split or self.folds):
            raise ValueError(
                "outside puts all films into the test split; "
                "keep_given_split and folds do not go with it"
            )
        if self.folds == 1:
            raise ValueError("folds = 1 is no cross-validation; give 0 or at least 2")
        return self
