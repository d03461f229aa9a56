from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from cxresnet.audit.context import AuditContext
from cxresnet.audit.questions import confounding
from cxresnet.audit.questions.confounding import answer_confounding
from cxresnet.audit.scorecard import ABOVE_BASELINE, OWN_SCORE
from cxresnet.core.config import Config
from cxresnet.core.config.audit import AuditConfig
from cxresnet.core.finding import Finding, Measure, Verdict, write_findings
from cxresnet.data.dataset.dataset import ImageSet

IMAGES = 120
CLASS_NAMES = ("normal", "covid-19")
LABELS = np.arange(IMAGES) % 2


class TableModel:
    """Is right on a share of the images."""

    class_names = CLASS_NAMES

    def __init__(self, right: float) -> None:
        self.right = right

    def predict(self, images: object) -> np.ndarray[Any, np.dtype[np.float64]]:
        return _answer(self.right)

    def decide(self, probabilities: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return probabilities.argmax(axis=1)


def _answer(right: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """QuestionAnswer rightly for the first images, alike in both classes."""
    shown = np.where(np.arange(IMAGES) < right * IMAGES, LABELS, 1 - LABELS)
    return np.where(np.arange(2) == shown[:, None], 0.8, 0.2)


Build = Callable[..., AuditContext]


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Build an audit, called with how often model and baselines are right, and with a finding."""

    def build_context(
        *, model: float, baselines: dict[str, float], data: Verdict | None = "green"
    ) -> AuditContext:
        found = [
            SimpleNamespace(
                rule=SimpleNamespace(name=name, title=name.capitalize()),
                probabilities=_answer(right),
            )
            for name, right in baselines.items()
        ]
        monkeypatch.setattr(confounding, "predict_baselines", lambda *args, **kwargs: found)
        monkeypatch.setattr(AuditContext, "training", None)
        if data is not None:
            write_findings(tmp_path, [_find("header", "red", "file_header"), _find("data", data)])
        manifest = pd.DataFrame({"group_id": np.arange(IMAGES)})
        record = SimpleNamespace(config=SimpleNamespace(external_test=False))
        return AuditContext(
            model=cast("Any", TableModel(model)),
            dataset=cast("Any", SimpleNamespace(path=tmp_path, record=record)),
            test=ImageSet(np.zeros((IMAGES, 4, 4), np.uint8), LABELS, manifest),
            settings=Config(audit=AuditConfig(bootstrap_resamples=100)),
            folder=tmp_path,
        )

    return build_context


def _find(title: str, verdict: Verdict, question: str = "source_confounding") -> Finding:
    measure = Measure(name="Cramér's V", value=0.1, n=IMAGES)
    return Finding(
        question=question, title=title, verdict=verdict, sentence="It is.", measures=(measure,)
    )


def test_a_model_above_the_best_baseline_is_green(build: Build) -> None:
    answer = answer_confounding(build(model=0.95, baselines={"border": 0.5, "thumbnail": 0.7}))
    assert answer.verdict == "green"
    assert answer.measures[0].name == ABOVE_BASELINE
    assert answer.measures[0].value == pytest.approx(0.25)
    assert answer.measures[0].note == "Thumbnail"
    # What the files were before `prepare` is not seen by the model, and red there does not count.
    assert len(answer.measures) == 3
    assert (answer.measures[1].name, answer.measures[1].value) == (OWN_SCORE, 0.95)


@pytest.mark.parametrize(("model", "verdict"), [(0.715, "amber"), (0.7, "amber"), (0.6, "red")])
def test_a_model_that_is_not_clearly_above_it_is_not_green(
    build: Build, model: float, verdict: str
) -> None:
    assert answer_confounding(build(model=model, baselines={"thumbnail": 0.7})).verdict == verdict


@pytest.mark.parametrize(("data", "verdict"), [("red", "red"), ("amber", "amber"), (None, "amber")])
def test_the_checks_of_the_data_count_as_they_are(
    build: Build, data: Verdict | None, verdict: str
) -> None:
    answer = answer_confounding(build(model=0.95, baselines={"border": 0.5}, data=data))
    assert answer.verdict == verdict
    if data is None:
        assert "The data were not checked" in answer.sentence


def test_without_baselines_the_checks_of_the_data_stand_alone(build: Build) -> None:
    answer = answer_confounding(build(model=0.95, baselines={}))
    assert answer.verdict == "green"
    assert "No shortcut baseline could be tried." in answer.sentence
