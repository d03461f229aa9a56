"""What every question of the audit is asked about: a model, images, and what is shared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.audit.model import AuditedModel, Images, Probabilities
from cxresnet.core.config import Config
from cxresnet.core.config.audit import AuditConfig
from cxresnet.core.errors import ClassMapError
from cxresnet.core.run_folder import RunFolder
from cxresnet.core.seeding import build_generator
from cxresnet.data.dataset.dataset import ImageSet, PreparedDataset
from cxresnet.explain.lungs import ImageLungs, choose_lungs
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import Key, Statistic

Result = TypeVar("Result")

STRICT_CONFIDENCE = 0.99
"""Of the intervals that turn a light red: with a dozen questions, 95 % would blame the innocent."""

EACH_END_CONFIDENCE = 0.9
"""Of the intervals that show that there is no effect: each end holds with 95 %."""


class CannotBeTestedError(Exception):
    """The images or the model do not allow an answer; the message is one sentence that says why."""


@dataclass(frozen=True, eq=False)
class AuditContext:
    """A model and the images that it is audited on.

    Attributes:
        model: Under audit.
        dataset: Where the images come from; small networks learn from its training images.
        test: The images of the audit: the test split, labels in the order of the
            model's classes.
        settings: The whole config that small networks are trained with.
        folder: Where pictures are written.
        run: The run of the model; None for a model of somebody else.
    """

    model: AuditedModel
    dataset: PreparedDataset
    test: ImageSet
    settings: Config
    folder: Path
    run: RunFolder | None = None
    _shared: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def config(self) -> AuditConfig:
        """How many images are asked about, and with which seed."""
        return self.settings.audit

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the model's probabilities."""
        return self.model.class_names

    @property
    def truth(self) -> NDArray[np.int64]:
        """Class of each test image, (images,), as a column of the probabilities."""
        return self.test.labels

    @cached_property
    def groups(self) -> NDArray[np.str_]:
        """Patient or cluster of each test image, (images,)."""
        return self.test.manifest["group_id"].to_numpy(dtype=str)

    @cached_property
    def sources(self) -> NDArray[np.str_]:
        """Source of each test image, (images,)."""
        return self.test.manifest["source"].to_numpy(dtype=str)

    @cached_property
    def probabilities(self) -> Probabilities:
        """Of the test images as they are, (images, classes)."""
        return self.model.predict(self.test.images)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The class that the model decides on for each test image, (images,)."""
        return self.model.decide(self.probabilities)

    @cached_property
    def training(self) -> ImageSet:
        """The training images of the dataset, labels in the order of the model's classes.

        Raises:
            CannotBeTestedError: The dataset is an external test set, and has none.
        """
        if self.dataset.record.config.external_test:
            raise CannotBeTestedError(
                "This dataset is for testing only: it has no images that something could be "
                "trained on."
            )
        return number_classes(self.dataset.select("train"), self.class_names)

    @cached_property
    def validation(self) -> ImageSet:
        """The validation images of the dataset, likewise.

        Raises:
            CannotBeTestedError: The dataset is an external test set, and has none.
        """
        self.training  # noqa: B018  says why there is none
        return number_classes(self.dataset.select("val"), self.class_names)

    def take_images(self, rows: NDArray[np.intp]) -> Images:
        """Take test images into memory, (images, side, side)."""
        return np.stack([np.asarray(self.test.images[row]) for row in rows.tolist()])

    def find_lungs(self, row: int) -> ImageLungs:
        """Find the lungs of a test image once: the dataset's mask, else that of the lung finder."""
        return self.once(
            f"lungs {row}",
            lambda: choose_lungs(np.asarray(self.test.images[row]), self.test.lung_mask(row)),
        )

    def draw_rows(self, count: int, purpose: str) -> NDArray[np.intp]:
        """Draw test images at random: one a group, the classes in turn, at most `count`.

        Args:
            count: The largest number of images.
            purpose: Of the draw, so that no two questions share one.

        Returns:
            Rows of the test split, sorted.
        """
        generator = build_generator(self.config.seed, "audit", purpose)
        order = generator.permutation(len(self.truth))
        _, first = np.unique(self.groups[order], return_index=True)
        one_a_group = order[np.sort(first)]
        place_in_class = np.empty(len(one_a_group), dtype=np.int64)
        for label in range(len(self.class_names)):
            of_class = self.truth[one_a_group] == label
            place_in_class[of_class] = np.arange(of_class.sum())
        chosen = one_a_group[np.argsort(place_in_class, kind="stable")][:count]
        return np.sort(chosen)

    def estimate(
        self,
        statistics: list[Statistic],
        *,
        groups: NDArray[np.str_],
        purpose: str,
        confidence: float = 0.95,
    ) -> dict[Key, Estimate]:
        """Estimate numbers with their intervals over groups; see `compute_estimates`."""
        return compute_estimates(
            statistics,
            groups=groups,
            resamples=self.config.bootstrap_resamples,
            confidence=confidence,
            generator=build_generator(self.config.seed, "audit", "bootstrap", purpose),
        )

    def once(self, name: str, make: Callable[[], Result]) -> Result:
        """Make something that several questions share, once."""
        if name not in self._shared:
            self._shared[name] = make()
        found: Result = self._shared[name]
        return found


def number_classes(images: ImageSet, class_names: tuple[str, ...]) -> ImageSet:
    """Number the classes of images in the order of a model.

    Raises:
        ClassMapError: An image shows a class that the model does not have.
    """
    require_classes(images.manifest, class_names)
    column = {name: number for number, name in enumerate(class_names)}
    labels = [column[name] for name in images.manifest["class_name"]]
    return replace(images, labels=np.array(labels, dtype=np.int64))


def require_classes(manifest: pd.DataFrame, class_names: tuple[str, ...]) -> None:
    """Check that a model has every class of a manifest.

    Raises:
        ClassMapError: An image shows a class that the model does not have.
    """
    unknown = sorted(set(manifest["class_name"]) - set(class_names))
    if unknown:
        raise ClassMapError(
            f"The dataset has images of {', '.join(unknown)}; the model has the classes "
            f"{', '.join(class_names)}. Prepare the dataset again with --classes, as in "
            f"'--classes {class_names[0]}={unknown[0]}', or name the classes of an adapter as the "
            "dataset does."
        )
