"""Command line, Python, REST interface, page and DICOM say the same of the same files.

Fifty drawn chest X-rays that pass the gate, as DX images, and one that it refuses. Python's answers
are what the others are compared with. Numbers may differ in the fifth digit: a batch of another
size adds up in another order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cxresnet
from cxresnet.cli.app import run_command_line
from cxresnet.data.phantoms.draw import draw_phantom
from cxresnet.data.phantoms.plan import PhantomSettings, plan_phantoms

pydicom = pytest.importorskip("pydicom", reason="the extra 'dicom' is not installed")

pytestmark = pytest.mark.slow

IMAGES = 50
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Said:
    """What one of the ways says of one image."""

    decision: str
    prediction_set: tuple[str, ...]
    probabilities: dict[str, float]
    refused: str
    gate: str

    def check(self, other: Said) -> None:
        assert other.probabilities == pytest.approx(self.probabilities, abs=TOLERANCE)
        assert (other.decision, other.prediction_set) == (self.decision, self.prediction_set)
        assert (other.refused, other.gate) == (self.refused, self.gate)


@pytest.fixture(scope="module")
def gated() -> cxresnet.Model:
    """The bundled network, with the gate."""
    return cxresnet.load()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, wrap_dx: Any) -> Path:
    found = tmp_path_factory.mktemp("images")
    settings = PhantomSettings(images_per_class=-(-IMAGES // 3), side_px=256, seed=11, sources=1)
    drawn = [draw_phantom(plan, settings).pixels for plan in plan_phantoms(settings)][:IMAGES]
    turned = np.ascontiguousarray(np.flipud(drawn[0]))
    for at, pixels in enumerate([*drawn, turned]):
        (found / f"{at:02}.dcm").write_bytes(wrap_dx(pixels))
    return found


@pytest.fixture(scope="module")
def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def expected(files: list[Path], gated: cxresnet.Model) -> list[Said]:
    """What Python says."""
    answers = [
        Said(one.decision, one.prediction_set, one.probabilities, one.reason, one.gate)
        for one in gated.predict(files)
    ]
    assert {one.gate for one in answers[:IMAGES]} == {"passed"}
    assert answers[IMAGES].gate == "refused"
    assert len({one.decision for one in answers}) > 2, "they all get the same answer"
    return answers


@pytest.fixture(scope="module")
def server(gated: cxresnet.Model, kit: Any) -> Iterator[Any]:
    with kit.serving(gated) as found:
        yield found


def read_rest(answer: dict[str, Any]) -> Said:
    return Said(
        answer["decision"],
        tuple(answer["prediction_set"]),
        answer["probabilities"],
        answer["refused"],
        answer["gate"],
    )


def compare(expected: list[Said], found: list[Said]) -> None:
    for ours, theirs in zip(expected, found, strict=True):
        ours.check(theirs)


def test_the_command_line(expected: list[Said], folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "said.json"
    assert run_command_line(["predict", str(folder), "--format", "json", "--out", str(out)]) == 0
    names = [f"probability_{name}" for name in expected[0].probabilities]
    found = [
        Said(
            row["decision"],
            tuple(filter(None, row["prediction_set"].split("|"))),
            {name.partition("_")[2]: row[name] for name in names if row[name] is not None},
            row["refused"],
            row["gate"],
        )
        for row in json.loads(out.read_text(encoding="utf-8"))
    ]
    compare(expected, found)


def test_the_rest_interface(expected: list[Said], files: list[Path], server: Any) -> None:
    found = []
    for start in range(0, len(files), 17):
        images = [path.read_bytes() for path in files[start : start + 17]]
        answer = server.send("/predict", images)
        assert answer.status == 200, answer.body
        found += [read_rest(one) for one in answer.json["images"]]
    compare(expected, found)


def test_the_page(
    expected: list[Said], files: list[Path], server: Any, browser: Any, gated: cxresnet.Model
) -> None:
    page = browser.new_page()
    page.set_default_timeout(120_000)
    answers: list[Any] = []
    page.on("response", lambda one: answers.append(one) if "/predict" in one.url else None)
    page.goto(f"http://127.0.0.1:{server.port}")
    page.locator("#examples button").first.wait_for()
    page.locator("#files").set_input_files(files)
    page.locator(f"#list li:nth-child({len(files)}) .badge:not(:text-is('…'))").wait_for()
    shown = page.locator("#list .badge").all_inner_texts()
    compare(expected, [read_rest(one) for each in answers for one in each.json()["images"]])
    texts = {"abstain": "Abstains", "": "Refused"}
    assert shown == [texts.get(one.decision, f"Decision: {one.decision}") for one in expected]
    page.close()


def test_the_dicom_node(
    expected: list[Said], files: list[Path], gated: cxresnet.Model, dicom: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from cxresnet.serve.dicom_report import ABSTAINED, DECISION, GATE, REMAINS, code_class

    dicom.skip_explaining(monkeypatch)
    contents = [path.read_bytes() for path in files]
    with dicom.listening(gated, tmp_path) as node:
        assert dicom.store(node.port, *contents) == [0] * len(contents)
        node.close()
    of = {pydicom.dcmread(path).SOPInstanceUID: path for path in files}
    reports = {}
    for path in tmp_path.glob("*/report.dcm"):
        report = pydicom.dcmread(path)
        (named,) = list_evidence(report)
        reports[of[named]] = dicom.read_report(report)
    for one, path in zip(expected, files, strict=True):
        said = reports[path]
        shares = [float(value) for name, value in said if name.startswith("Calibrated")]
        assert shares == pytest.approx(list(one.probabilities.values()), abs=TOLERANCE)
        values: dict[str, list[str]] = {}
        for name, value in said:
            values.setdefault(name, []).append(value)
        assert values[GATE.meaning] == [f"Gate: {one.gate}"]
        remaining = [code_class(name).meaning for name in one.prediction_set]
        assert values.get(REMAINS.meaning, []) == remaining
        decided = ABSTAINED if one.decision == "abstain" else code_class(one.decision)
        assert values.get(DECISION.meaning, []) == [decided.meaning] * bool(one.decision)
        (reason,) = values.get("Reason of the gate", [""])
        assert reason == one.refused.replace("°", " degrees")


def list_evidence(report: Any) -> list[str]:
    return [
        image.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for image in series.ReferencedSOPSequence
    ]


def test_no_two_of_the_files_are_the_same(files: list[Path]) -> None:
    assert len({hashlib.sha256(path.read_bytes()).digest() for path in files}) == IMAGES + 1
