"""Sources left out and other datasets, shown as measured."""

from __future__ import annotations

from cxresnet.evaluate.external import ExternalTest
from cxresnet.evaluate.left_out_sources import LeaveOneSourceOut
from cxresnet.report.sections.elsewhere import ElsewhereView, build_elsewhere_section


def test_means_stand_for_a_source_and_sensitivity_for_a_set_of_one_class(
    left_out: LeaveOneSourceOut, external: ExternalTest
) -> None:
    view = build_elsewhere_section(left_out, (external,)).view
    assert isinstance(view, ElsewhereView)
    tested, untested = left_out.sources
    assert [row.name for row in view.rows[tested.source]] == ["Macro AUROC"]
    assert view.rows[untested.source] == ()
    ((test, rows),) = view.externals
    assert test == external
    assert [row.score for row in rows] == [*external.scores, *external.by_patient]
    assert rows[0].name.startswith("Sensitivity of ")
    assert [row.counted for row in rows] == ["films", "patients"]
    assert rows[1].name.startswith("Patients with ")


def test_without_anything_from_elsewhere_it_says_how_to_get_it() -> None:
    section = build_elsewhere_section(None, ())
    assert section.view is None
    assert "--leave-one-source-out" in section.missing
    assert "--dataset" in section.missing
