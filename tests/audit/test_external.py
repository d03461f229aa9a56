from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cxresnet.audit.context import AuditContext, CannotBeTestedError
from cxresnet.audit.questions import external
from cxresnet.audit.questions.external import answer_external
from cxresnet.audit.scorecard import UNSEEN_SOURCES
from cxresnet.core.run_folder import RunFolder
from cxresnet.evaluate.results import GeneralisationGap
from cxresnet.metrics.estimate import Estimate

Numbers = tuple[float, float, float]
"""A number, and the ends of its interval."""


def _estimate(numbers: Numbers) -> Estimate:
    value, low, high = numbers
    return Estimate(value=value, low=low, high=high, n=50, groups=40)


@pytest.fixture
def context(tmp_path: Path) -> AuditContext:
    return cast("Any", SimpleNamespace(run=RunFolder(tmp_path), model=SimpleNamespace()))


def _test_elsewhere(patch: pytest.MonkeyPatch, *, score: Numbers, gap: Numbers) -> None:
    """Let the run have been tested on another dataset."""
    found = GeneralisationGap(
        name="macro_auroc",
        internal=_estimate((0.95, 0.9, 0.98)),
        external=_estimate(score),
        generalisation_gap=_estimate(gap),
    )
    test = SimpleNamespace(name="hannover", scores=(found,))
    patch.setattr(external, "list_external_folders", lambda run: [Path("evaluate-hannover")])
    patch.setattr(external, "read_external", lambda path: test)


@pytest.mark.parametrize(
    ("score", "gap", "verdict"),
    [
        ((0.93, 0.88, 0.96), (0.02, -0.04, 0.08), "green"),
        ((0.93, 0.80, 0.99), (0.02, -0.08, 0.12), "amber"),
        ((0.80, 0.70, 0.88), (0.15, 0.05, 0.25), "red"),
        ((0.55, 0.45, 0.65), (0.40, -0.1, 0.60), "red"),
        # Too few images to exclude chance, of a score that is far above it.
        ((0.80, 0.48, 0.97), (0.15, -0.1, 0.40), "amber"),
    ],
)
def test_the_light_depends_on_the_score_and_on_the_gap(
    context: AuditContext,
    monkeypatch: pytest.MonkeyPatch,
    score: Numbers,
    gap: Numbers,
    verdict: str,
) -> None:
    _test_elsewhere(monkeypatch, score=score, gap=gap)
    answer = answer_external(context)
    assert answer.verdict == verdict
    assert answer.measures[0].name == UNSEEN_SOURCES
    assert answer.measures[0].value == score[0]
    assert answer.sentence.startswith("Hannover: macro AUROC ")
    assert f"({score[1]:.2f}–{score[2]:.2f}, n = 50)" in answer.sentence


def test_a_run_that_was_tested_on_its_own_sources_only_is_not_tested(
    context: AuditContext,
) -> None:
    with pytest.raises(CannotBeTestedError, match="--leave-sources-out"):
        answer_external(context)


@pytest.mark.parametrize(
    ("predictor", "message"), [(None, "which sources this model"), (object(), "--data DATASET")]
)
def test_images_that_are_not_those_of_a_run_are_not_tested(predictor: object, message: str) -> None:
    model = SimpleNamespace(predictor=predictor)
    with pytest.raises(CannotBeTestedError, match=message):
        answer_external(cast("Any", SimpleNamespace(run=None, model=model)))
