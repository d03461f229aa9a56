"""All commands end to end, as a newcomer would type them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from cxresnet import DISCLAIMER
from cxresnet.cli.app import run_command_line
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.phantoms.plan import parse_phantom_settings
from cxresnet.data.sources.phantom import write_phantom_folder
from cxresnet.evaluate.record import read_evaluation

SMOKE = "smoke"
SOURCE = "phantoms:images_per_class=40"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, few_trees: None) -> RunFolder:
    """One whole run on drawn images, that the tests below look at."""
    path = tmp_path_factory.mktemp("journey") / "run"
    assert run_command_line(["run", SOURCE, "--out", str(path), "--config", SMOKE]) == 0
    return RunFolder(path)


def test_a_run_leaves_every_room_its_files(run: RunFolder) -> None:
    for path in (
        run.path / "dataset" / "data_report.html",
        run.checkpoint / "MANIFEST.json",
        run.history,
        run.predictions,
        run.metrics,
        run.explain / "index.json",
        run.report,
    ):
        assert path.is_file(), path


def test_every_headline_number_has_its_interval_and_n(run: RunFolder) -> None:
    evaluation = read_evaluation(run.metrics)
    headline = evaluation.headline
    for estimate in (headline.accuracy, headline.balanced_accuracy, headline.macro_auroc):
        assert estimate.value is not None
        assert estimate.n == evaluation.images
        if estimate.low is None or estimate.high is None:
            # A network that learned nothing in two epochs may say one class for every image.
            assert estimate.reason
        else:
            assert estimate.low <= estimate.value <= estimate.high


def test_the_predictions_are_of_the_test_split_alone(run: RunFolder) -> None:
    with run.predictions.open(newline="", encoding="utf-8") as stream:
        predicted = {row["image_id"] for row in csv.DictReader(stream)}
    with (run.path / "dataset" / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        sealed = {row["image_id"] for row in csv.DictReader(stream) if row["split"] == "test"}
    assert predicted == sealed


def test_the_report_loads_nothing_and_says_what_it_is_not(run: RunFolder) -> None:
    page = run.report.read_text(encoding="utf-8")
    assert DISCLAIMER in page
    assert "Drawings, not patients" in page
    assert "<script" not in page
    assert 'src="http' not in page
    assert "default-src 'none'" in page


def test_the_dataset_holds_and_tells_that_the_test_was_opened(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["verify", str(run.path / "dataset")]) == 0
    shown = capsys.readouterr().out
    assert "no patient" in shown
    assert "accessed 2 times" in shown


def test_each_room_can_be_run_again_alone(run: RunFolder) -> None:
    before = read_evaluation(run.metrics).headline
    for command in ("evaluate", "explain"):
        assert run_command_line([command, str(run.path), "--config", SMOKE]) == 0
    assert run_command_line(["report", str(run.path)]) == 0
    assert read_evaluation(run.metrics).headline == before


def test_a_folder_that_holds_a_run_is_not_written_over(
    run: RunFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = (run.checkpoint / "MANIFEST.json").read_bytes()
    assert run_command_line(["run", SOURCE, "--out", str(run.path), "--config", SMOKE]) == 2
    assert "already holds a run" in capfd.readouterr().err
    assert (run.checkpoint / "MANIFEST.json").read_bytes() == weights


def test_a_finished_run_that_is_resumed_changes_nothing_and_ends_with_the_headline(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = (run.checkpoint / "MANIFEST.json").read_bytes()
    words = ["run", SOURCE, "--out", str(run.path), "--config", SMOKE, "--resume"]
    assert run_command_line(words) == 0
    assert (run.checkpoint / "MANIFEST.json").read_bytes() == weights
    headline, path = capsys.readouterr().out.splitlines()[-2:]
    assert "balanced accuracy" in headline
    assert "n = " in headline
    assert path == f"Wrote {run.report}"


def test_a_folder_of_images_is_predicted_one_row_an_image_or_why_not(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = parse_phantom_settings("images_per_class=2,seed=9")
    write_phantom_folder(settings, tmp_path / "images")
    (tmp_path / "images" / "empty.png").write_bytes(b"")
    words = ["predict", str(tmp_path / "images"), "--run", str(run.path), "--format", "json"]
    assert run_command_line(words) == 0
    rows = json.loads(capsys.readouterr().out)
    answered = [row for row in rows if not row["refused"]]
    assert len(answered) >= 6
    for row in answered:
        shares = [value for key, value in row.items() if key.startswith("probability_")]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
    (refused,) = [row for row in rows if row["file"].endswith("empty.png")]
    assert "empty" in refused["refused"].lower()


def test_predictions_can_be_read_as_csv(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "note.png").write_text("not an image")
    words = ["predict", str(tmp_path / "note.png"), "--run", str(run.path), "--format", "csv"]
    assert run_command_line(words) == 2, "nothing was answered"
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["refused"]
    assert row["probability_normal"] == ""


@pytest.mark.images
def test_real_images_are_prepared_and_hold(images_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    source = str(images_root / "kaggle317")
    assert run_command_line(["prepare", source, "--out", str(out), "--config", SMOKE]) == 0
    assert run_command_line(["verify", str(out)]) == 0
    findings = json.loads((out / "findings.json").read_text(encoding="utf-8"))
    verdicts = {finding["question"]: finding["verdict"] for finding in findings}
    assert verdicts["file_header"] == "red"
