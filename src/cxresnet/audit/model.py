"""The model under audit: from prepared images to probabilities, whoever trained it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import compute_sha256
from cxresnet.core.progress import reporting_nothing
from cxresnet.core.run_folder import RunFolder
from cxresnet.predict.decision import (
    DECISION_NAME,
    CalibratedNetwork,
    Decision,
    read_decision,
)
from cxresnet.predict.predictor import Predictor, load_predictor

Images = NDArray[np.uint8]
"""Prepared images, (images, side, side), 0 to 255."""

Probabilities = NDArray[np.float64]
"""(images, classes)."""


class AuditedModel(Protocol):
    """What the audit asks of a model."""

    @property
    def name(self) -> str:
        """For people: the name of the run, or "package.module:factory"."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Order of the probabilities."""

    @property
    def content(self) -> str:
        """SHA-256 of whatever its answers depend on: an answer of the audit is kept under it."""

    def predict(self, images: Images) -> Probabilities:
        """Compute the probabilities of prepared images."""

    def decide(self, probabilities: Probabilities) -> NDArray[np.int64]:
        """Decide on the class of each image, (images,)."""

    def predict_files(self, contents: Sequence[bytes]) -> Probabilities:
        """Compute the probabilities of files, each decoded and prepared as for a prediction.

        Raises:
            ImageError: A file cannot be used.
        """

    def compute_features(self, images: Images) -> NDArray[np.float32] | None:
        """Compute the features before the last layer, (images, channel); None if it has none."""

    @property
    def predictor(self) -> Predictor | None:
        """Our own network with its preprocessing; None for a model of somebody else."""

    @property
    def network(self) -> nn.Module | None:
        """From normalised images to calibrated logits, for maps; None for somebody else's."""


@dataclass(frozen=True)
class RunModel:
    """The network of a run, with the decision that validation chose.

    Attributes:
        name: Of the run.
        predictor: The network and its preprocessing.
        decision: As `evaluate` wrote it.
        content: SHA-256 of weights and decision.
        batch_size: Images that go through the network at once.
    """

    name: str
    predictor: Predictor
    decision: Decision
    content: str
    batch_size: int = 64

    @property
    def class_names(self) -> tuple[str, ...]:
        """Order of the probabilities."""
        return self.predictor.class_names

    @cached_property
    def network(self) -> CalibratedNetwork:
        """From normalised images to calibrated logits: its softmax is the probability shown."""
        point = self.decision.operating_point
        return CalibratedNetwork(
            self.predictor.model, temperature=point.temperature, shifts=point.shifts
        )

    def predict(self, images: Images) -> Probabilities:
        """Compute the calibrated probabilities of prepared images, (images, classes)."""
        with reporting_nothing():
            logits = self.predictor.predict_images(
                images,
                batch_size=self.batch_size,
                test_time_augmentation=self.decision.test_time_augmentation,
            )
        return self.decision.operating_point.calibrate(logits)

    def decide(self, probabilities: Probabilities) -> NDArray[np.int64]:
        """Decide on the class of each image, (images,), as `predict` does."""
        return self.decision.operating_point.decide(probabilities)

    def predict_files(self, contents: Sequence[bytes]) -> Probabilities:
        """Compute the probabilities of files, decoded and prepared as for a prediction.

        Raises:
            ImageError: A file cannot be used.
        """
        return self.predict(np.stack([self.predictor.prepare(content) for content in contents]))

    def compute_features(self, images: Images) -> NDArray[np.float32]:
        """Compute the pooled features of prepared images, (images, channel)."""
        with reporting_nothing():
            return self.predictor.compute_features(images)


def open_run_model(run: RunFolder, *, batch_size: int = 64) -> RunModel:
    """Open the network of an evaluated run.

    Raises:
        RunFolderError: The run is not evaluated, or its decision was altered.
        CheckpointError: The network is missing or damaged.
    """
    predictor = load_predictor(run.checkpoint)
    decision = read_decision(run)
    if decision is None:
        raise RunFolderError(
            f"The run '{run.path}' is not evaluated yet; call 'cxresnet evaluate {run.path}' first."
        )
    content = f"{decision.network} {compute_sha256(run.evaluate / DECISION_NAME)}"
    return RunModel(
        name=run.path.resolve().name,
        predictor=predictor,
        decision=decision,
        content=content,
        batch_size=batch_size,
    )
