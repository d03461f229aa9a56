from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from cxresnet import DISCLAIMER
from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.evaluate.from_predictions import evaluate_predictions
from cxresnet.evaluate.record import Evaluation, read_evaluation, write_evaluation
from cxresnet.predict import Predictions


@pytest.fixture
def evaluation(draw_predictions: Callable[..., Predictions], config: EvaluateConfig) -> Evaluation:
    return evaluate_predictions(draw_predictions(60), config=config)


@pytest.mark.slow
def test_what_is_written_is_read_again(evaluation: Evaluation, tmp_path: Path) -> None:
    path = write_evaluation(tmp_path / "metrics.json", evaluation)
    assert read_evaluation(path) == evaluation


@pytest.mark.slow
def test_every_number_stands_with_its_interval_and_the_disclaimer_is_there(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    content = json.loads(write_evaluation(tmp_path / "metrics.json", evaluation).read_text())
    assert set(content["headline"]["accuracy"]) == {"value", "low", "high", "n", "groups", "reason"}
    assert content["disclaimer"] == DISCLAIMER


@pytest.mark.slow
def test_the_record_is_frozen(evaluation: Evaluation) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        evaluation.images = 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is damaged: it is not valid JSON"),
        ("{}", r"was written by another version \(format None; this one reads 3\)"),
        ("[]", "was written by another version"),
        ('{"format": 1}', r"was written by another version \(format 1; this one reads 3\)"),
        ('{"format": 2}', r"was written by another version \(format 2; this one reads 3\)"),
        ('{"format": 3}', "cannot be read by this version"),
    ],
)
def test_a_file_of_another_version_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(content)
    with pytest.raises(RunFolderError, match=message):
        read_evaluation(path)


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="Make it with 'cxresnet evaluate RUN'"):
        read_evaluation(tmp_path / "metrics.json")
