from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cxresnet.audit.context import AuditContext, CannotBeTestedError
from cxresnet.audit.questions import attribution
from cxresnet.audit.questions.attribution import answer_attribution
from cxresnet.core.run_folder import RunFolder
from cxresnet.explain.lungs import OUTSIDE
from cxresnet.explain.summary import SUMMARY_NAME
from cxresnet.explain.zone_means import ClassZoneMeans, ZoneMean, ZoneMeans
from cxresnet.metrics.estimate import Estimate

AREA = 0.57


@pytest.fixture
def context(tmp_path: Path) -> AuditContext:
    run = RunFolder(tmp_path)
    run.explain.mkdir()
    (run.explain / SUMMARY_NAME).write_text("{}")
    return cast("Any", SimpleNamespace(run=run))


def _explain(
    patch: pytest.MonkeyPatch,
    share: tuple[float, float | None, float | None] | None,
    *,
    images: int = 20,
) -> None:
    """Let `explain` have found this share of the evidence outside of the lungs; None: no maps."""
    means = None
    if share is not None:
        value, low, high = share
        estimate = Estimate(value=value, low=low, high=high, n=images, groups=images)
        one = ClassZoneMeans(
            class_name="covid-19",
            images=images,
            patients=images,
            without_lungs=0,
            found_lungs=0,
            without_evidence=0,
            zones=(ZoneMean(zone=OUTSIDE, share=estimate, area=AREA),),
        )
        means = ZoneMeans(method="Occlusion", classes=(one,))
    summary = SimpleNamespace(index=SimpleNamespace(zone_means=means))
    patch.setattr(attribution, "read_explanation_summary", lambda folder: summary)


@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        ((0.30, 0.22, 0.40), "green"),
        ((0.55, 0.48, 0.62), "amber"),
        ((0.85, 0.78, 0.90), "red"),
        # The 95 % interval is just above the area, the 99 % interval is not.
        ((0.65, 0.58, 0.71), "amber"),
        ((0.65, None, None), "amber"),
    ],
)
def test_the_light_compares_the_evidence_outside_with_the_area_there(
    context: AuditContext,
    monkeypatch: pytest.MonkeyPatch,
    share: tuple[float, float | None, float | None],
    verdict: str,
) -> None:
    _explain(monkeypatch, share)
    answer = answer_attribution(context)
    assert answer.verdict == verdict
    assert f"predicted covid-19: a share of {share[0]:.2f}" in answer.sentence
    assert answer.measures[0].note == "share of the area there: 0.570"


def test_maps_that_passed_no_check_are_no_evidence(
    context: AuditContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    _explain(monkeypatch, None)
    with pytest.raises(CannotBeTestedError, match="passed its sanity checks"):
        answer_attribution(context)
    _explain(monkeypatch, (0.9, 0.8, 0.95), images=5)
    with pytest.raises(CannotBeTestedError, match="No class has 6 explained images"):
        answer_attribution(context)


def test_without_maps_nothing_is_tested(tmp_path: Path) -> None:
    with pytest.raises(CannotBeTestedError, match="'cxresnet explain RUN' makes them"):
        answer_attribution(cast("Any", SimpleNamespace(run=RunFolder(tmp_path))))
    with pytest.raises(CannotBeTestedError, match="others are no evidence"):
        answer_attribution(cast("Any", SimpleNamespace(run=None)))
