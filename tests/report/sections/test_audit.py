"""The scorecard on the page: every verdict has a word and a shape, and nothing of it is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from cxresnet.audit.scorecard import Scorecard
from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.page import _build_environment
from cxresnet.report.registry import build_section
from cxresnet.report.sections.audit import build_audit_view


def test_verdict_numbers_picture_and_next_step_stand_on_the_page(
    scorecard: Scorecard, tmp_path: Path
) -> None:
    (tmp_path / "audit").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "audit" / "swap.png")
    view = build_audit_view(scorecard, tmp_path)
    page = _build_environment().get_template("audit.html.j2").render(view=view)
    assert "Red. The decision follows the lungs in 9 % of swaps." in page
    assert "1\u202f200 test images of 300 patients, 2 questions" in page
    assert "✗ red" in page
    assert "– cannot be tested" in page
    assert "−0.12 (−0.20 to 0.30)" in page
    assert "It follows the &lt;frame&gt;." in page
    assert "a &amp; b" in page
    assert "Crop to the lungs." in page
    assert page.count("data:image/png;base64,") == 1  # the other is gone, and no error


def test_without_an_audit_the_page_says_how_to_get_one() -> None:
    section = build_section("audit", RunArtifacts(name="new"))
    assert section.view is None
    assert "cxresnet audit RUN" in section.missing
