from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from cxresnet.core.config import DataConfig
from cxresnet.core.errors import HeldOutTestError
from cxresnet.core.finding import Finding, read_findings
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.data.prepare.prepare import run_prepare
from cxresnet.data.sources.open import open_source
from cxresnet.shortcuts import data_checks
from cxresnet.shortcuts.data_checks import run_data_checks

CONFIG = DataConfig(side_px=48, common_side_px=64, workers=1, find_duplicates=False)
TEXT = "phantoms:images_per_class=60"

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_trees")]


def _prepare(text: str, out: Path) -> Path:
    return run_prepare(open_source(text), config=CONFIG, out=out).path


@dataclass(frozen=True)
class Asked:
    """A dataset after the questions, and its access log from before."""

    path: Path
    findings: tuple[Finding, ...]
    access_log: bytes


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, few_trees: None) -> Asked:
    path = _prepare(TEXT, tmp_path_factory.mktemp("plain") / "dataset")
    access_log = (path / "test_access_log.csv").read_bytes()
    return Asked(path, run_data_checks(path), access_log)


def test_drawings_without_a_shortcut_are_not_red_and_the_findings_are_kept(plain: Asked) -> None:
    assert [finding.question for finding in plain.findings] == [
        "source_confounding",
        "image_processing",
        "record",
        "file_header",
        "prepared_header",
        "prepared_bytes",
        "prepared_scalars",
    ]
    assert all(finding.verdict != "red" for finding in plain.findings)
    assert read_findings(plain.path) == plain.findings
    assert open_dataset(plain.path).verdict.startswith("Verdict on the data: ")


def test_a_planted_tone_is_found_in_six_numbers(plain: Asked, tmp_path: Path) -> None:
    planted = run_data_checks(_prepare(f"{TEXT},shortcut=tone:covid-19:1.0", tmp_path / "tone"))
    areas = [
        next(m.value for m in one.measures if m.name == "AUROC of covid-19")
        for one in (plain.findings[-1], planted[-1])
    ]
    assert areas[0] is not None
    assert areas[1] is not None
    assert areas[1] > areas[0] + 0.1


def test_the_audit_does_not_open_the_test(plain: Asked) -> None:
    assert (plain.path / "test_access_log.csv").read_bytes() == plain.access_log
    with pytest.raises(HeldOutTestError):
        open_dataset(plain.path).select("test")


def test_green_must_be_shown_not_only_not_be_refuted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_checks, "_RED_AUROC", 0.76)
    path = _prepare("phantoms:images_per_class=10,max_images_per_patient=1", tmp_path / "dataset")
    others = ("source_confounding", "image_processing")
    probes = [one for one in run_data_checks(path) if one.question not in others]
    for probe in probes:
        areas = [measure for measure in probe.measures if "AUROC" in measure.name]
        shown = all(area.high is not None and area.high < 0.76 for area in areas)
        assert (probe.verdict == "green") == (
            shown and max(area.value or 0 for area in areas) < 0.75
        )
        assert re.search(
            r"AUROC [01]\.\d\d \(95 % CI [01]\.\d\d–[01]\.\d\d, n = \d+\)", probe.sentence
        )
    assert any("too few images" in probe.sentence for probe in probes)
