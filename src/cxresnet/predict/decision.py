"""From logits to a decision: calibration, decision rule, prediction sets and abstention.

`evaluate` chooses all of it on validation images and writes it as `decision.json`, which travels
with the weights: whoever has both can classify an image exactly as the evaluation did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from cxresnet import DISCLAIMER
from cxresnet.core.errors import ModelModeError
from cxresnet.core.files import compute_sha256
from cxresnet.core.record import Record, read_record, write_record
from cxresnet.core.run_folder import RunFolder
from cxresnet.metrics.calibration import compute_probabilities
from cxresnet.metrics.classification import ClassifiedImages
from cxresnet.metrics.conformal import build_prediction_sets
from cxresnet.model.checkpoint import find_valid_checkpoint
from cxresnet.model.ensemble import Network
from cxresnet.model.folding import Step, fold_network
from cxresnet.predict.predictions import Predictions

ABSTAIN = "abstain"
"""The decision where the prediction set of an image does not hold exactly one class."""

DECISION_NAME = "decision.json"
"""Name of the file in a folder that `evaluate` writes."""

RuleName = Literal["argmax", "balanced", "youden"]


class OperatingPoint(Record):
    """How logits become probabilities, and these a class; chosen on validation images only.

    An image is assigned to the class with the largest `weights[c] * probability[c]`, where the
    probabilities are softmax(logits / temperature + shifts).

    Attributes:
        rule: "argmax" (the largest logit), "balanced" (1 / share of the class among the training
            images) or "youden" (1 / the probability at the best sensitivity + specificity of each
            class).
        temperature: The logits are divided by it; above 1 the network was overconfident.
        shifts: One a class, in log-odds; above 0 the network predicted the class too rarely. Empty
            for none. They change the probabilities, not the class: the weights compensate for them.
        weights: One a class, mean 1.
        chosen_on: Which images chose it.
        scores: Balanced accuracy of each rule on those images, each image classified by a rule that
            was fitted without it.
    """

    rule: RuleName
    temperature: float
    shifts: tuple[float, ...] = ()
    weights: tuple[float, ...]
    chosen_on: str
    scores: dict[str, float] = Field(default={})

    def calibrate(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Compute calibrated probabilities, (images, classes), from logits of that shape."""
        return compute_probabilities(logits, temperature=self.temperature, shifts=self.shifts)

    def decide(self, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
        """Decide the class of each image, (images,), from calibrated probabilities."""
        return decide(probabilities, np.array(self.weights))


def build_plain_operating_point(class_count: int) -> OperatingPoint:
    """Build the operating point for which nothing was chosen: the largest raw probability wins."""
    return OperatingPoint(
        rule="argmax",
        temperature=1.0,
        weights=(1.0,) * class_count,
        chosen_on="no images: the largest raw probability of the network wins",
    )


def decide(probabilities: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Decide the class of each image, (images,): the largest weighted probability."""
    decided: NDArray[np.int64] = (probabilities * weights).argmax(axis=1)
    return decided


def apply_operating_point(predictions: Predictions, point: OperatingPoint) -> ClassifiedImages:
    """Apply an operating point to images whose class is known."""
    probabilities = point.calibrate(predictions.logits)
    return ClassifiedImages(
        class_names=predictions.class_names,
        truth=predictions.truth,
        predicted=point.decide(probabilities),
        probabilities=probabilities,
    )


@dataclass(frozen=True)
class ImageDecision:
    """The decision about one image.

    Attributes:
        class_name: The class chosen at the operating point.
        prediction_set: Classes of the image's prediction set, in order; may be none or several.
        decision: The class, or "abstain" where the prediction set is not that one class.
        probabilities: Calibrated, one a class, in order.
        abstention_reason: Which classes remain possible, and why; "" where one was decided on.
    """

    class_name: str
    prediction_set: tuple[str, ...]
    decision: str
    probabilities: tuple[float, ...]
    abstention_reason: str = ""

    @property
    def abstains(self) -> bool:
        """Whether no class is decided on."""
        return self.decision == ABSTAIN


class Decision(Record):
    """`decision.json`: everything that turns the logits of one network into decisions.

    Attributes:
        format: Version of this file.
        disclaimer: Part of every output.
        network: SHA-256 of the weights that it belongs to; "" where that is not recorded.
        class_names: Order of logits, weights and thresholds.
        test_time_augmentation: Whether all of it was chosen on logits averaged over the views of
            `build_test_time_views`: then it holds only for logits that are averaged likewise.
        operating_point: Calibration and decision rule.
        set_thresholds: Lowest probability with which each class belongs to a prediction set, in
            order; 0 is always. Empty where none were fitted: nothing is abstained from.
        nominal_coverage: Share of the images of each class whose set should hold it; None without
            thresholds.
    """

    format: Literal[1] = 1
    disclaimer: str = DISCLAIMER
    network: str
    class_names: tuple[str, ...]
    test_time_augmentation: bool = False
    operating_point: OperatingPoint
    set_thresholds: tuple[float, ...] = ()
    nominal_coverage: float | None = None

    def calibrate(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Compute calibrated probabilities, (images, classes), from logits of that shape."""
        return self.operating_point.calibrate(logits)

    def decide(self, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
        """Decide the class of each image, (images,), from calibrated probabilities."""
        return self.operating_point.decide(probabilities)

    def build_sets(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Build prediction sets from calibrated probabilities, both (images, classes).

        Without thresholds the set of an image is the class decided on.
        """
        if not self.set_thresholds:
            classes = np.arange(len(self.class_names))
            decided: NDArray[np.bool_] = self.decide(probabilities)[:, None] == classes
            return decided
        return build_prediction_sets(probabilities, np.array(self.set_thresholds))

    def decide_images(self, logits: NDArray[np.floating]) -> tuple[ImageDecision, ...]:
        """Decide on images by their logits, (images, classes)."""
        probabilities = self.calibrate(logits)
        rows = zip(
            self.decide(probabilities),
            self.build_sets(probabilities),
            probabilities.tolist(),
            strict=True,
        )
        return tuple(
            ImageDecision(
                class_name=self.class_names[int(decided)],
                prediction_set=tuple(
                    name for name, held in zip(self.class_names, members, strict=True) if held
                ),
                decision=decide_from_set(members, self.class_names),
                probabilities=tuple(shares),
                abstention_reason=self._explain_abstention(members, shares),
            )
            for decided, members, shares in rows
        )

    def describe_weights(self) -> str:
        """Say by which weights the class is chosen; "" where the largest probability wins."""
        point = self.operating_point
        if len(set(point.weights)) < 2:
            return ""
        weights = self._join_by_class(f"× {weight:.2f}" for weight in point.weights)
        return (
            f"The predicted class is the one with the largest weighted probability ({weights}); "
            f"the weights were chosen on {point.chosen_on}."
        )

    def describe_thresholds(self) -> str:
        """Say from which probability on each class remains possible; "" where none was fitted."""
        if not self.set_thresholds:
            return ""
        thresholds = self._join_by_class(f"{threshold:.3f}" for threshold in self.set_thresholds)
        return (
            f"A class remains possible from its threshold on ({thresholds}), chosen so that the "
            f"possible classes hold the true one in {self.nominal_coverage:.0%} of the images "
            "of each class. Where it is not exactly one, none is decided on."
        )

    def _join_by_class(self, numbers: Iterable[str]) -> str:
        """Join one number a class, in order, as in "normal 0.300, covid-19 0.200"."""
        pairs = zip(self.class_names, numbers, strict=True)
        return ", ".join(f"{name} {number}" for name, number in pairs)

    def _explain_abstention(self, members: NDArray[np.bool_], shares: Sequence[float]) -> str:
        """Say which classes remain possible and why; "" where exactly one does."""
        if members.sum() == 1:
            return ""
        shown = [
            f"{name} {share:.3f} {'≥' if held else '<'} {threshold:.3f}"
            for name, share, held, threshold in zip(
                self.class_names, shares, members, self.set_thresholds, strict=True
            )
            if held or not members.any()
        ]
        names = [name for name, held in zip(self.class_names, members, strict=True) if held]
        remain = f"possible: {' or '.join(names)}" if names else "no class fits"
        return f"{remain} (probability against the threshold of the class: {', '.join(shown)})"


def decide_from_set(members: NDArray[np.bool_], class_names: Sequence[str]) -> str:
    """Give the decision that follows from a prediction set: its class, or "abstain".

    Args:
        members: Which classes the set holds, (classes,).
        class_names: In order.

    >>> decide_from_set(np.array([False, True]), ("normal", "covid-19"))
    'covid-19'
    >>> decide_from_set(np.array([True, True]), ("normal", "covid-19"))
    'abstain'
    """
    return class_names[int(members.argmax())] if members.sum() == 1 else ABSTAIN


def build_plain_decision(class_names: Sequence[str], *, network: str = "") -> Decision:
    """Build the decision of a network that was not evaluated: raw probabilities, no abstention."""
    names = tuple(class_names)
    return Decision(
        network=network,
        class_names=names,
        operating_point=build_plain_operating_point(len(names)),
    )


def write_decision(path: Path, decision: Decision) -> Path:
    """Write `decision.json` whole or not at all; returns the path.

    Raises:
        StorageError: The file cannot be written.
    """
    return write_record(path, decision)


def read_decision(run: RunFolder) -> Decision | None:
    """Read the decision of a run; None where its present network was not evaluated.

    Raises:
        RunFolderError: The file is damaged or was written by another version.
        CheckpointError: The network is missing or damaged.
    """
    path = run.evaluate / DECISION_NAME
    if not path.is_file():
        return None
    decision = read_record(path, Decision, command="cxresnet evaluate RUN")
    return decision if decision.network == compute_network_hash(run) else None


def compute_network_hash(run: RunFolder) -> str:
    """Compute the SHA-256 of the weights of a run's network.

    Raises:
        CheckpointError: The network is missing or damaged.
    """
    return compute_sha256(find_valid_checkpoint(run.checkpoint) / "weights.safetensors")


class CalibratedNetwork(nn.Module):
    """Wraps a network, so that the softmax of its output is the reported probability.

    Attributes:
        network: Is not changed.
        temperature: Above 0; logits are divided by it.
        shifts: Added then, one a class; empty for none.
    """

    def __init__(
        self, network: Network, *, temperature: float, shifts: Sequence[float] = ()
    ) -> None:
        """Wrap a network.

        Raises:
            ModelModeError: The network is training.
        """
        if any(module.training for module in network.modules()):
            raise ModelModeError(
                "The network is training, so its output depends on the batch; "
                "call network.eval() first."
            )
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.shifts = tuple(shifts)
        self.eval()

    @property
    def target_layer(self) -> nn.Module:
        """The layer whose output is the last feature map."""
        return self.network.target_layer

    def forward(self, images: Tensor) -> Tensor:
        """Compute calibrated logits, (batch, class), of normalised images."""
        logits: Tensor = self.network(images)
        return calibrate_logits(logits, temperature=self.temperature, shifts=self.shifts)


def fold_for_inference(network: nn.Module) -> Step:
    """Fold a network, calibrated or not, whose weights stay as they are; see `fold_network`.

    Args:
        network: In evaluation mode. Its weights must not change afterwards.

    Returns:
        From images (batch, 1, height, width) to logits (batch, class), up to rounding the same.
    """
    if not isinstance(network, CalibratedNetwork):
        return fold_network(network) if isinstance(network, Network) else network
    folded = fold_network(network.network)
    return lambda images: calibrate_logits(
        folded(images), temperature=network.temperature, shifts=network.shifts
    )


def calibrate_logits(logits: Tensor, *, temperature: float, shifts: Sequence[float]) -> Tensor:
    """Divide logits, (batch, class), by the temperature, and add the shifts."""
    scaled = logits / temperature
    return scaled + scaled.new_tensor(shifts) if len(shifts) else scaled
