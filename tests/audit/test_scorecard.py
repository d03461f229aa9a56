"""The verdict over all questions, the headline, and the scorecard as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet.audit.scorecard import (
    ABOVE_BASELINE,
    FOLLOWS_LUNGS,
    OWN_SCORE,
    UNSEEN_SOURCES,
    Scorecard,
    choose_verdict,
    describe_headline,
    read_scorecard,
    render_markdown,
    write_scorecard,
)
from cxresnet.core.errors import RunFolderError
from cxresnet.core.finding import Finding, Measure, Picture, Verdict

DECIDING = ("masked_lungs", "source_probe", "frame_swap", "external")


def _find(question: str, verdict: Verdict, *measures: Measure) -> Finding:
    return Finding(
        question=question,
        title=f"Is it {question}?",
        verdict=verdict,
        sentence="It is so.",
        measures=measures,
    )


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ({}, "green"),
        ({"leakage": "cannot be tested"}, "green"),
        ({"leakage": "amber"}, "amber"),
        ({"leakage": "red"}, "red"),
        ({"external": "cannot be tested"}, "amber"),
        ({"frame_swap": "amber", "invariance": "red"}, "red"),
    ],
)
def test_the_verdict_is_green_only_where_the_deciding_questions_are(
    verdicts: dict[str, Verdict], expected: Verdict
) -> None:
    all_verdicts = {**dict.fromkeys(DECIDING, "green"), **verdicts}
    assert choose_verdict([_find(name, one) for name, one in all_verdicts.items()]) == expected


@pytest.mark.parametrize("missing", DECIDING)
def test_without_a_deciding_question_the_verdict_is_amber(missing: str) -> None:
    findings = [_find(name, "green") for name in DECIDING if name != missing]
    assert choose_verdict(findings) == "amber"


def test_no_finding_is_no_proof() -> None:
    assert choose_verdict([]) == "amber"


def test_the_headline_quotes_its_numbers_with_their_intervals() -> None:
    findings = [
        _find(
            "confounding",
            "green",
            Measure(name=ABOVE_BASELINE, value=0.3, low=0.2, high=0.41, n=121),
            Measure(name=OWN_SCORE, value=0.8, low=0.72, high=0.87, n=121),
        ),
        _find("frame_swap", "red", Measure(name=FOLLOWS_LUNGS, value=0.1, low=0, high=0.2, n=80)),
        _find(
            "external",
            "green",
            Measure(name=UNSEEN_SOURCES, value=0.9, low=0.85, high=0.94, n=70, note="macro AUROC"),
        ),
    ]
    assert describe_headline(findings) == (
        "The decision follows the lungs in 10 % of swaps (0–20 %, n = 80); balanced accuracy is "
        "0.80 (0.72–0.87, n = 121), +0.30 (+0.20 to +0.41, n = 121) against the best shortcut "
        "baseline; macro AUROC 0.90 (0.85–0.94, n = 70) on sources never seen."
    )


def test_the_headline_says_what_was_not_measured() -> None:
    unknown = _find("frame_swap", "cannot be tested", Measure(name=FOLLOWS_LUNGS, value=None, n=0))
    assert describe_headline([unknown]) == (
        "No lungs could be swapped; not compared with shortcut baselines; not tested on sources "
        "never seen."
    )


def test_the_headline_does_not_say_that_a_swap_failed_which_was_not_asked_for() -> None:
    assert describe_headline([_find("leakage", "green")]).startswith(
        "Not asked whether the decision follows the lungs; "
    )


@pytest.fixture
def scorecard() -> Scorecard:
    finding = Finding(
        question="leakage",
        title="Is it leakage?",
        verdict="amber",
        sentence="It may be.",
        measures=(Measure(name="Share", value=0.5, low=0.4, high=0.6, n=9, note="chance: 0.5"),),
        threshold="Red where it is.",
        next_step="Look.",
        pictures=(Picture(name="leakage-one.png", caption="Two images."),),
    )
    return Scorecard(
        model="mine",
        dataset="drawn",
        dataset_hash="abc",
        images=20,
        patients=10,
        verdict="amber",
        reason="Red because of question 6.",
        headline="It may be so.",
        findings=(finding,),
        seed=3,
        versions={"cxresnet": "1"},
    )


def test_the_text_holds_every_answer_with_its_numbers_and_pictures(scorecard: Scorecard) -> None:
    text = render_markdown(scorecard)
    for part in (
        "# Audit of mine",
        "20 test images of 10 patients of dataset 'drawn'; seed 3.",
        "**AMBER.** It may be so.",
        "| 0 | Is it leakage? | `leakage` | amber |",
        "Amber. It may be.",
        "- Share: 0.500 (0.400 to 0.600, n = 9); chance: 0.5",
        "Next step: Look.",
        "![Two images.](leakage-one.png)",
        "Research and teaching only",
    ):
        assert part in text


def test_a_scorecard_is_read_as_it_was_written_and_refused_if_altered(
    scorecard: Scorecard, tmp_path: Path
) -> None:
    path = write_scorecard(tmp_path, scorecard)
    assert read_scorecard(tmp_path) == scorecard
    path.write_text(path.read_text().replace("amber", "green"))
    with pytest.raises(RunFolderError, match="cxresnet audit RUN"):
        read_scorecard(tmp_path)
