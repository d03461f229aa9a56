"""The page about the films alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet import DISCLAIMER
from cxresnet.core.errors import DatasetError
from cxresnet.core.finding import Finding, Measure, write_findings
from cxresnet.report.data_report import write_data_report


def test_it_counts_shows_and_warns(dataset_folder: Path, tmp_path: Path) -> None:
    path = write_data_report(dataset_folder, tmp_path / "data.html")
    html = path.read_text()
    for text in (
        "Class covid-19 equals its source",
        "Patients unknown",
        "Films by class and split",
        "What the files were",
        "Copies that were found",
        "blank",
        DISCLAIMER,
    ):
        assert text in html
    assert "<script" not in html


def test_the_findings_of_the_dataset_stand_at_the_top_with_evidence(
    dataset_folder: Path, tmp_path: Path
) -> None:
    finding = Finding(
        question="source_oracle",
        title="Does the source tell the class?",
        verdict="red",
        sentence="It does.",
        measures=(Measure(name="Cramér's V", value=0.875, n=12),),
    )
    write_findings(dataset_folder, (finding,))
    html = write_data_report(dataset_folder, tmp_path / "data.html").read_text()
    assert html.index("Does the source tell the class?") < html.index("Films by class and split")
    assert "0.875" in html


def test_the_test_split_stays_sealed(dataset_folder: Path, tmp_path: Path) -> None:
    write_data_report(dataset_folder, tmp_path / "data.html")
    assert not (dataset_folder / "test_openings.csv").exists()


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cxresnet prepare"):
        write_data_report(tmp_path, tmp_path / "data.html")
