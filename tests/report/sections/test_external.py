"""External tests, shown as measured."""

from __future__ import annotations

from cxresnet.evaluate.external import ExternalTest
from cxresnet.evaluate.leave_sources_out import LeaveOneSourceOut
from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.registry import build_section
from cxresnet.report.sections.external import build_external_view


def test_means_stand_for_a_source_and_sensitivity_for_a_set_of_one_class(
    left_out: LeaveOneSourceOut, external: ExternalTest
) -> None:
    view = build_external_view(left_out, (external,))
    tested, untested = left_out.sources
    assert [row.name for row in view.rows[tested.source]] == ["Macro AUROC"]
    assert view.rows[untested.source] == ()
    ((test, rows),) = view.externals
    assert test == external
    assert [row.score for row in rows] == [*external.scores, *external.by_patient]
    assert rows[0].name.startswith("Sensitivity of ")
    assert [row.counted for row in rows] == ["images", "patients"]
    assert rows[1].name.startswith("Patients with ")


def test_without_an_external_test_it_says_how_to_get_one() -> None:
    section = build_section("external", RunArtifacts(name="new"))
    assert section.view is None
    assert "--leave-one-source-out" in section.missing
    assert "--dataset" in section.missing
