"""`cxresnet lint`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cxresnet.cli.app import run_command_line


@pytest.fixture
def lists(tmp_path: Path) -> list[str]:
    """A training and a test list that share one patient."""
    heading = "image,patient,label,source\n"
    train = "".join(f"{at:05}_0.png,p{at},{'ab'[at % 2]},s\n" for at in range(8))
    test = "".join(f"{at:05}_1.png,p{at},{'ab'[at % 2]},s\n" for at in range(7, 12))
    (tmp_path / "train.csv").write_text(heading + train)
    (tmp_path / "test.csv").write_text(heading + test)
    return [str(tmp_path / "train.csv"), str(tmp_path / "test.csv")]


@pytest.mark.slow
def test_a_table_of_findings_fits_80_columns(
    lists: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["lint", *lists]) == 0
    shown, messages = capfd.readouterr()
    table = shown.partition("13 rows of")[0].splitlines()
    assert max(map(len, table)) <= 80
    told = " ".join(shown.split())
    assert "1 of 12 patients (8.3 %) has images in more than one split" in told
    assert "row 9 of train.csv and row 2 of test.csv" in told
    assert "13 rows of train.csv, test.csv: 1 red," in shown
    assert "Note: The split of 'train.csv' is read as 'train'." in messages


@pytest.mark.slow
def test_json_holds_every_finding(lists: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["lint", *lists, "--format", "json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert (result["rows"], result["splits"]) == (13, {"train": 8, "test": 5})
    verdicts = {one["question"]: one["verdict"] for one in result["findings"]}
    assert len(verdicts) == 11
    assert (verdicts["patient_overlap"], verdicts["validation_set"]) == ("red", "amber")


@pytest.mark.slow
def test_strict_ends_with_1_on_red_alone(lists: list[str]) -> None:
    assert run_command_line(["lint", *lists, "--strict"]) == 1
    assert run_command_line(["lint", lists[0], "--strict"]) == 0


def test_splits_and_columns_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"X,Y\n{name}.png,1\n")
    files = [f"--split=train={tmp_path / 'a.csv'}", f"--split=test={tmp_path / 'b.csv'}"]
    assert run_command_line(["lint", *files, "--columns", "path=X,patient=Y", "--strict"]) == 1
    assert "1 of 1 patients" in " ".join(capfd.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lint"], "Name at least one table"),
        (["lint", "none.csv"], "There is no 'none.csv'"),
        (["lint", "--split", "test"], "not of the form NAME=FILE"),
        (["lint", "x.csv", "--columns", "paht=x"], "'paht' is not a known column"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(
    words: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(words) == 2
    assert message in " ".join(capfd.readouterr().err.split())
