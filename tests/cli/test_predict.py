"""`cxresnet predict`: which files are read, and what is shown of the predictions."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from cxresnet.api import classifier
from cxresnet.api.classifier import Prediction
from cxresnet.cli.app import run_command_line
from cxresnet.cli.predict import list_files
from cxresnet.core.errors import EmptySourceError

CLASS_NAMES = ("normal", "pneumonia", "covid-19")


def test_hidden_files_and_folders_are_passed_over_and_the_rest_is_sorted(tmp_path: Path) -> None:
    for name in ("b/2.png", "a/1.png", ".hidden.png", "b/.cache/3.png", "c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    named = tmp_path / "b" / "2.png"
    found = list(list_files([named, tmp_path]))
    assert found == [named, tmp_path / "a/1.png", tmp_path / "b/2.png", tmp_path / "c.png"]


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptySourceError, match="holds no file"):
        list(list_files([tmp_path]))


Predict = Callable[..., tuple[int, str, str]]

ABSTAINED = Prediction(
    probabilities=dict(zip(CLASS_NAMES, (0.1, 0.6, 0.3), strict=True)),
    class_name="pneumonia",
    decision="abstain",
    prediction_set=("normal", "pneumonia"),
)
PLAIN = Prediction(
    probabilities=dict(zip(CLASS_NAMES, (0.2, 0.3, 0.5), strict=True)),
    class_name="covid-19",
    decision="covid-19",
    prediction_set=("covid-19",),
)
REFUSED = Prediction(reason="It is empty.", code="empty")


@pytest.fixture
def predict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Predict:
    """Call the command on files whose predictions are given."""

    def call(
        *predictions: Prediction, is_evaluated: bool = True, form: str = "csv", verdict: str = ""
    ) -> tuple[int, str, str]:
        def predict_each(paths: list[Path]) -> Iterator[Prediction]:
            for path, one in zip(paths, predictions, strict=True):
                yield dataclasses.replace(one, path=path)

        model = SimpleNamespace(
            class_names=CLASS_NAMES,
            is_evaluated=is_evaluated,
            verdict=verdict,
            predict_each=predict_each,
        )
        monkeypatch.setattr(classifier, "load", lambda _: model)
        paths = [str(tmp_path / f"{number}.png") for number in range(len(predictions))]
        words = ["predict", *paths, "--run", str(tmp_path), "--format", form]
        code = run_command_line(words)
        shown = capfd.readouterr()
        return code, shown.out, shown.err

    return call


def test_a_network_that_was_not_evaluated_is_said_to_be_raw(predict: Predict) -> None:
    code, out, err = predict(PLAIN, REFUSED, is_evaluated=False)
    first, second = csv.DictReader(io.StringIO(out))
    assert code == 0
    assert "not evaluated yet" in err
    columns = ("decision", "predicted_class", "prediction_set")
    assert [first[column] for column in columns] == ["covid-19"] * 3
    assert [float(first[f"probability_{name}"]) for name in CLASS_NAMES] == [0.2, 0.3, 0.5]
    assert first["refused"] == ""
    assert (second["decision"], second["probability_normal"]) == ("", "")
    assert second["refused"] == "It is empty."


def test_decision_class_and_prediction_set_are_shown_apart(predict: Predict) -> None:
    code, out, err = predict(ABSTAINED, form="json", verdict="Verdict: RED.")
    (row,) = json.loads(out)
    assert code == 0
    assert row["decision"] == "abstain"
    assert row["predicted_class"] == "pneumonia"
    assert row["prediction_set"] == "normal|pneumonia"
    assert [row[f"probability_{name}"] for name in CLASS_NAMES] == [0.1, 0.6, 0.3]
    assert "Verdict: RED." in err
    assert "not evaluated yet" not in err
    _, table, _ = predict(ABSTAINED, form="table")
    assert "abstain" in " ".join(table.split())
    assert "0.600" in table


def test_where_every_file_is_refused_the_command_fails(predict: Predict) -> None:
    code, out, err = predict(REFUSED, REFUSED)
    assert code == 2
    assert "2 of 2 were refused" in err
    assert len(list(csv.DictReader(io.StringIO(out)))) == 2
