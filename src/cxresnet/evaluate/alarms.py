"""Too good to be true: rules that doubt good numbers, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cxresnet.core.finding import Finding
from cxresnet.evaluate.alarm_record import Alarm
from cxresnet.evaluate.results import Baseline, ClassResult, GapScore, Headline
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.independent import compare_independent

__all__ = ["Suspicion", "doubt_source_gap", "find_alarms"]

_HIGH_AUROC = 0.95
_NEARLY_AS_GOOD = 0.05
_PERFECT = 0.9995
_MUCH_WORSE_ELSEWHERE = 0.1
_SOURCE_ORACLE = "source_oracle"


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """What the rules look at.

    Attributes:
        headline: Of the films that are judged.
        classes: Their results by class.
        baselines: What rules without lungs reach on the same films.
        validation: The headline of the validation films; None if unknown.
        findings: What was asked of the data.
        crossing_films: Test films that have a copy or a film of their patient outside of the test.
        source_gap: How much worse networks are on a source that they had not seen; None if nobody
            left a source out.
    """

    headline: Headline
    classes: Sequence[ClassResult]
    baselines: Sequence[Baseline] = ()
    validation: Headline | None = None
    findings: Sequence[Finding] = ()
    crossing_films: int = 0
    source_gap: GapScore | None = None


def find_alarms(suspicion: Suspicion) -> tuple[Alarm, ...]:
    """Find what makes the numbers too good to be true, the worst first."""
    found = (
        _doubt_copies(suspicion.crossing_films),
        _doubt_sources(suspicion),
        doubt_source_gap(suspicion.source_gap),
        _doubt_baselines(suspicion.baselines),
        _doubt_perfection(suspicion),
        _doubt_validation(suspicion),
    )
    return tuple(alarm for alarm in found if alarm is not None)


def _doubt_copies(crossing_films: int) -> Alarm | None:
    if not crossing_films:
        return None
    return Alarm(
        rule="copies_across_splits",
        title="Test films were seen before",
        sentence=(
            f"{crossing_films} of the test films are copies of films outside of the test, or show "
            "a patient who is also there. The network may remember them. Prepare the dataset again."
        ),
    )


def _doubt_sources(suspicion: Suspicion) -> Alarm | None:
    red = any(
        finding.question == _SOURCE_ORACLE and finding.verdict == "red"
        for finding in suspicion.findings
    )
    high = [
        f"{result.class_name} {result.auroc.value:.3f}"
        for result in suspicion.classes
        if result.auroc.value is not None and result.auroc.value > _HIGH_AUROC
    ]
    if not red or not high:
        return None
    return Alarm(
        rule="source_tells_class",
        title="The source alone gives the answer",
        sentence=(
            f"The AUROC is very high ({', '.join(high)}), and in these data one can tell the class "
            "from where a film comes from. The network may tell hospitals apart and not diseases: "
            "nothing here shows which."
        ),
    )


def doubt_source_gap(score: GapScore | None) -> Alarm | None:
    """Doubt a test on films from the sources that were learnt from, if others go much worse.

    Args:
        score: Inside and outside of the sources that were learnt from; None if nobody tried.
    """
    gap = score.gap if score is not None else None
    if score is None or gap is None or gap.value is None or gap.low is None:
        return None
    if gap.low <= 0 or gap.value < _MUCH_WORSE_ELSEWHERE:
        return None
    return Alarm(
        rule="worse_on_left_out_sources",
        title="Much worse where it has not been",
        sentence=(
            f"Trained without a source and tested on it, the {_name_score(score.name)} is "
            f"{gap.value:.3f} lower ({gap.low:.3f} to {gap.high:.3f}) than on sources that were "
            "learnt from. This test flatters: it holds films from the sources of the training."
        ),
    )


def _name_score(name: str) -> str:
    return name.replace("auroc", "AUROC").replace("_", " ").replace("/", " of ")


def _doubt_baselines(baselines: Sequence[Baseline]) -> Alarm | None:
    """Doubt a network that is hardly better than the best rule without lungs."""
    near = [
        (lift, baseline.title, score)
        for baseline in baselines
        for lift, score in (
            (baseline.lift, "balanced accuracy"),
            (baseline.lift_auroc, "macro AUROC"),
        )
        if lift is not None and lift.value is not None and _is_near(lift)
    ]
    if not near:
        return None
    lift, title, score = min(near, key=lambda item: item[0].value or 0.0)
    value = lift.value or 0.0
    as_good = value <= 0
    above = f"not above it: difference {value:.3f}" if as_good else f"only {value:.3f} above it"
    if lift.low is not None and lift.high is not None:
        above += f" ({lift.low:.3f} to {lift.high:.3f})"
    return Alarm(
        rule="baseline_as_good" if as_good else "baseline_nearly_as_good",
        title=f"A rule without lungs does {'as well or better' if as_good else 'nearly as well'}",
        sentence=(
            f"The rule '{title}' cannot know a disease, and on these films the network's {score} "
            f"is {above}. Whatever that rule uses, the network may use."
        ),
    )


def _is_near(lift: Estimate) -> bool:
    value = lift.value or 0.0
    return value < _NEARLY_AS_GOOD or (value if lift.low is None else lift.low) <= 0


def _doubt_perfection(suspicion: Suspicion) -> Alarm | None:
    numbers = [("accuracy", suspicion.headline.accuracy)]
    numbers += [(f"AUROC of {result.class_name}", result.auroc) for result in suspicion.classes]
    perfect = [
        f"{name} (n = {number.n})"
        for name, number in numbers
        if number.value is not None and number.value >= _PERFECT
    ]
    if not perfect:
        return None
    return Alarm(
        rule="perfect_score",
        title="Perfect scores",
        sentence=(
            f"Exactly or nearly 1: {', '.join(perfect)}. No reader of chest films is perfect, and "
            "no label is. Look for a trace that gives the class away before believing it."
        ),
    )


def _doubt_validation(suspicion: Suspicion) -> Alarm | None:
    """Doubt a test that is better than the films which the network was chosen on."""
    if suspicion.validation is None:
        return None
    ours, theirs = suspicion.headline, suspicion.validation
    for name, test, validation in (
        ("balanced accuracy", ours.balanced_accuracy, theirs.balanced_accuracy),
        ("macro AUROC", ours.macro_auroc, theirs.macro_auroc),
    ):
        gap = compare_independent(test, validation)
        if gap.value is not None and gap.low is not None and gap.low > 0:
            return Alarm(
                rule="test_above_validation",
                title="Better in the test than where it was chosen",
                sentence=(
                    f"The {name} of the test is {gap.value:.3f} ({gap.low:.3f} to {gap.high:.3f}) "
                    "above that of the validation films, on which everything was chosen and which "
                    "therefore flatter. The test films are easier, or were seen before."
                ),
            )
    return None
