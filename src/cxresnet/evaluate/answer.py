"""What a run says about one film: a class, or that it cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxresnet.core.run_folder import RunFolder
from cxresnet.evaluate.opener import compute_network_hash
from cxresnet.evaluate.operating_point import decide
from cxresnet.evaluate.record import OperatingPoint, read_evaluation
from cxresnet.evaluate.selective import (
    SELECTIVE_NAME,
    SelectiveResult,
    name_set,
    read_selective,
)
from cxresnet.metrics.conformal import build_prediction_sets

__all__ = ["Answer", "AnswerRule", "read_answer_rule"]

_SMALLEST = 1e-30


@dataclass(frozen=True)
class Answer:
    """What is said about one film.

    Attributes:
        class_name: The class decided for at the operating point.
        possible: Classes that belong to the film's set, in order; may be none or several.
        said: The class, or "cannot tell" where the set is not that one class.
        probabilities: After calibration, one a class, in order.
    """

    class_name: str
    possible: tuple[str, ...]
    said: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class AnswerRule:
    """How an evaluated run turns probabilities into an answer.

    Attributes:
        point: How probabilities become a class.
        selective: When a class may be named.
    """

    point: OperatingPoint
    selective: SelectiveResult

    def answer(self, probabilities: Sequence[float]) -> Answer:
        """Answer for one film.

        Args:
            probabilities: The network's own, before calibration, one a class, in order.
        """
        logits = np.log(np.maximum(np.array([probabilities]), _SMALLEST))
        calibrated = self.point.calibrate(logits)
        names = self.selective.class_names
        members = build_prediction_sets(calibrated, self.selective.thresholds)[0]
        decided = decide(calibrated, np.array(self.point.weights))
        return Answer(
            class_name=names[int(decided[0])],
            possible=tuple(name for name, held in zip(names, members, strict=True) if held),
            said=name_set(members, names),
            probabilities=tuple(calibrated[0].tolist()),
        )


def read_answer_rule(run: RunFolder) -> AnswerRule | None:
    """Read how a run answers; None where its network was not evaluated.

    Raises:
        RunFolderError: What `evaluate` wrote cannot be read.
    """
    path = run.evaluate / SELECTIVE_NAME
    if not path.is_file() or not run.metrics.is_file():
        return None
    evaluation = read_evaluation(run.metrics)
    if evaluation.provenance.checkpoint != compute_network_hash(run):
        return None
    return AnswerRule(point=evaluation.operating_point, selective=read_selective(path))
