"""Question 13: what is left of the score on sources that were never seen?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cxresnet.audit.context import AuditContext, CannotBeTestedError
from cxresnet.audit.question import QuestionAnswer, build_measure, find_worst, register_question
from cxresnet.audit.scorecard import UNSEEN_SOURCES
from cxresnet.core.finding import Measure, Verdict
from cxresnet.core.run_folder import RunFolder
from cxresnet.evaluate.external import EXTERNAL_NAME, list_external_folders, read_external
from cxresnet.evaluate.generalisation_gap import choose_headline_score
from cxresnet.evaluate.leave_sources_out import LEAVE_SOURCES_OUT_NAME, read_leave_sources_out
from cxresnet.evaluate.results import GeneralisationGap
from cxresnet.metrics.estimate import format_estimate

_CHANCE = 0.5
_POOR = 0.6
_LARGE_GAP = 0.1


@dataclass(frozen=True)
class _Unseen:
    """A score on images of sources that the network never saw."""

    where: str
    gap: GeneralisationGap


@register_question(
    "external",
    number=13,
    title="What is left of the score on sources never seen?",
    threshold="Red where the AUROC on unseen sources is below 0.6 and its 95 % interval includes "
    "chance (0.5), or where the gap is at least 0.1 and its interval excludes 0; amber where one "
    "of the two intervals includes chance, or a gap of 0.1 or more; green otherwise.",
    next_step="Add sources; test again with sources left out (cxresnet evaluate RUN "
    "--leave-sources-out) and on images of another hospital (cxresnet evaluate RUN --data "
    "DATASET).",
)
def answer_external(context: AuditContext) -> QuestionAnswer:
    """Read the tests on sources left out and on external images."""
    if context.run is None:
        raise CannotBeTestedError(_explain_without_run(context))
    found = list(_list_unseen(context.run))
    if not found:
        raise CannotBeTestedError(
            "The network was not tested on sources that it never saw: 'cxresnet evaluate RUN "
            "--leave-sources-out' or '--data DATASET' does it."
        )
    sentences = [f"{one.where}: {one.gap.title} {_show(one.gap)}" for one in found]
    return QuestionAnswer(
        find_worst(_grade(one.gap) for one in found),
        f"{_capitalise('; '.join(sentences))}.",
        tuple(measure for one in found for measure in _list_measures(one)),
    )


def _explain_without_run(context: AuditContext) -> str:
    if context.model.predictor is not None:
        return (
            "These images are not those of the run; 'cxresnet evaluate RUN --data DATASET' "
            "compares the scores on both, and the audit of the run then shows it."
        )
    return (
        "It is not known which sources this model was trained on. Where the audited dataset is one "
        "that it never saw, its scores there are external."
    )


def _list_unseen(run: RunFolder) -> Iterator[_Unseen]:
    path = run.evaluate / LEAVE_SOURCES_OUT_NAME
    if path.is_file() and (gap := read_leave_sources_out(path).headline) is not None:
        yield _Unseen("sources left out of training", gap)
    for folder in list_external_folders(run):
        test = read_external(folder / EXTERNAL_NAME)
        if test.scores:
            yield _Unseen(test.name, choose_headline_score(test.scores))


def _grade(gap: GeneralisationGap) -> Verdict:
    score, difference = gap.external, gap.generalisation_gap
    if difference.value is None or difference.low is None or difference.high is None:
        return "amber"
    if difference.value >= _LARGE_GAP and difference.low > 0:
        return "red"
    if "auroc" in gap.name and (score.low is None or score.low <= _CHANCE):
        return "red" if (score.value or 0) < _POOR else "amber"
    return "green" if difference.high < _LARGE_GAP else "amber"


def _show(gap: GeneralisationGap) -> str:
    outside = format_estimate(gap.external, digits=2, with_count=True)
    inside = format_estimate(gap.internal, digits=2, with_count=True)
    return f"{outside}, and {inside} on held-out patients of the sources trained on"


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]


def _list_measures(unseen: _Unseen) -> Iterator[Measure]:
    gap = unseen.gap
    yield build_measure(UNSEEN_SOURCES, gap.external, note=gap.title)
    yield build_measure(f"Gap on {unseen.where}", gap.generalisation_gap, note=gap.title)
