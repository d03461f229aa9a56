"""External tests, shown as measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cxresnet.evaluate.external import ExternalTest
from cxresnet.evaluate.leave_sources_out import LeaveSourcesOut
from cxresnet.evaluate.merge_advice import MergeAdvice
from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.registry import build_section
from cxresnet.report.report import render_report
from cxresnet.report.sections.external import build_external_view


def test_means_stand_for_a_source_and_sensitivity_for_a_set_of_one_class(
    left_out: LeaveSourcesOut, external: ExternalTest
) -> None:
    view = build_external_view(left_out, (external,))
    tested, untested = left_out.sets
    assert [row.name for row in view.rows[tested.name]] == ["Macro AUROC"]
    assert view.rows[untested.name] == ()
    ((test, rows),) = view.externals
    assert test == external
    assert [row.score for row in rows] == [*external.scores, *external.by_patient]
    assert rows[0].name.startswith("Sensitivity of ")
    assert [row.counted for row in rows] == ["images", "patients"]
    assert rows[1].name.startswith("Patients with ")


@pytest.mark.slow
def test_the_grid_has_a_row_a_set_and_the_means_last(left_out: LeaveSourcesOut) -> None:
    view = build_external_view(left_out, ())
    names = [(row.number, row.name, row.letter) for row in view.tasks]
    (tested,) = left_out.tested
    assert names == [("1", tested.name, "A"), ("1", tested.name, "A"), ("", "Mean", "A")]
    # By hand: an area of 0.8 is 0.6 of the way from 0.5 to 1.
    assert view.tasks[0].share == pytest.approx(0.6)
    assert view.grid is not None
    assert view.grid.svg.count("0.80 (0.70–0.90)") == 3
    assert view.grid.svg.count("baseline 0.60") == 2
    assert "mean" in view.grid.svg
    assert "script" not in view.grid.svg
    task = tested.tasks[0]
    below_chance = task.model_copy(update={"auroc": replace(task.auroc, value=0.3, low=0.2)})
    worse = left_out.model_copy(update={"mean_tasks": (below_chance,)})
    assert build_external_view(worse, ()).tasks[-1].share == 0


@pytest.mark.slow
def test_the_merge_advice_is_shown_with_its_verdicts(
    left_out: LeaveSourcesOut, merge_advice: MergeAdvice
) -> None:
    artifacts = RunArtifacts(name="run", left_out=left_out, merge_advice=merge_advice)
    html = render_report(artifacts)
    assert '<span class="badge green">helps</span>' in html
    assert '<span class="badge grey">not tested</span>' in html
    assert "Intervals are over patients." in html
    assert "by seed: +0.08, +0.12" in html
    assert "by seed: 0.70, 0.90" in html
    assert "<script>alert" not in html
    assert "Which training sources help" not in render_report(
        RunArtifacts(name="run", left_out=left_out)
    )


def test_without_an_external_test_it_says_how_to_get_one() -> None:
    section = build_section("external", RunArtifacts(name="new"))
    assert section.view is None
    assert "--leave-sources-out" in section.missing
    assert "--dataset" in section.missing
