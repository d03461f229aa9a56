"""The card on the disk and in Markdown."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet import DISCLAIMER
from cxresnet.core.errors import RunFolderError
from cxresnet.explain.sanity.card import render_markdown
from cxresnet.explain.sanity.record import (
    CARD_NAME,
    AboveChance,
    CascadeStep,
    MethodCard,
    SanityCard,
    SanityMeasure,
    TestResult,
    read_sanity_card,
    write_sanity_card,
)
from cxresnet.metrics.estimate import Estimate


@pytest.fixture
def card() -> SanityCard:
    estimate = Estimate(value=0.83, low=0.7, high=0.9, n=12, groups=12)
    tests = (
        TestResult(
            test="weight_randomization",
            verdict="fail",
            sentence="0.83 of it is kept.",
            measures=(SanityMeasure(name="signed", estimate=estimate),),
        ),
        TestResult(test="pointing", verdict="not tested", sentence="No mask."),
    )
    step = CascadeStep(part="head", similarity_retained={"signed": estimate})
    return SanityCard(
        content="c",
        images=12,
        masks_found=3,
        seed=0,
        versions={"captum": "0.9"},
        above_chance=AboveChance(
            passed=True,
            macro_auroc=estimate,
            randomized_best=0.6,
            randomized_models=19,
            sentence="It knows.",
        ),
        methods=(
            MethodCard(name="m", title="Map", passed=False, tests=tests, steps=(step,)),
            MethodCard(name="n", title="Nap", passed=True, tests=tests[1:], steps=()),
        ),
    )


def test_what_is_written_is_read(card: SanityCard, tmp_path: Path) -> None:
    write_sanity_card(tmp_path, card)
    assert read_sanity_card(tmp_path) == card


def test_only_a_method_that_failed_is_distrusted(card: SanityCard) -> None:
    assert [card.has_failed(name) for name in ("m", "n", "never tested")] == [
        True,
        False,
        False,
    ]


def test_without_a_card_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="--sanity-checks-only"):
        read_sanity_card(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not valid JSON"),
        ("{}", "another version"),
        ('{"format": 1}', "another version .format 1; this one reads 2"),
        ('{"format": 2}', "cannot be read"),
    ],
)
def test_a_card_that_is_damaged_or_of_another_version_is_refused(
    tmp_path: Path, content: str, reason: str
) -> None:
    (tmp_path / CARD_NAME).write_text(content)
    with pytest.raises(RunFolderError, match=f"{reason}.*--sanity-checks-only"):
        read_sanity_card(tmp_path)


def test_the_markdown_says_all_in_words(card: SanityCard) -> None:
    text = render_markdown(card)
    for words in (
        DISCLAIMER,
        "12 images",
        "3 lung masks",
        "✗ fail 0.83 (0.70–0.90)",
        "– not tested",
        "not trustworthy for this model",
        "✓ passed",
        "It knows.",
        "0.83 of it is kept.",
        "captum 0.9",
    ):
        assert words in text
