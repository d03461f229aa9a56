from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet.core.errors import DatasetError
from cxresnet.core.finding import (
    FINDINGS_NAME,
    Finding,
    Measure,
    Verdict,
    choose_worst,
    describe_stamp,
    read_findings,
    write_findings,
)


def _build(verdict: Verdict, question: str = "q") -> Finding:
    measure = Measure(name="AUROC", value=0.5, low=0.4, high=0.6, n=10)
    return Finding(
        question=question, title="Q?", verdict=verdict, sentence="It is so.", measures=(measure,)
    )


def test_findings_go_to_the_disk_and_back(tmp_path: Path) -> None:
    findings = (_build("green"), _build("red", "other"))
    write_findings(tmp_path, findings)
    assert read_findings(tmp_path) == findings


def test_a_folder_that_nobody_asked_about_has_no_findings(tmp_path: Path) -> None:
    assert read_findings(tmp_path) == ()
    assert describe_stamp(()) == ""


def test_the_worst_finding_is_the_stamp_and_the_first_of_equals() -> None:
    findings = [_build("amber"), _build("red", "first"), _build("green"), _build("red", "second")]
    worst = choose_worst(findings)
    assert worst is not None
    assert worst.question == "first"
    assert describe_stamp(findings) == "Verdict on the data: RED. It is so."
    assert choose_worst([_build("green"), _build("cannot be tested")]) == _build("cannot be tested")
    assert choose_worst([_build("cannot be tested"), _build("amber")]) == _build("amber")


@pytest.mark.parametrize("content", ["{", "[1]", '[{"question": "q"}]'])
def test_a_damaged_file_is_told_by_name(content: str, tmp_path: Path) -> None:
    (tmp_path / FINDINGS_NAME).write_text(content)
    with pytest.raises(DatasetError, match=r"findings\.json.* is damaged"):
        read_findings(tmp_path)
