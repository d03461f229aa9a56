"""The card on the disk and in Markdown."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet import DISCLAIMER
from cxresnet.core.errors import RunFolderError
from cxresnet.explain.trust.markdown import render_markdown
from cxresnet.explain.trust.record import (
    CARD_NAME,
    Knowledge,
    MethodCard,
    Step,
    TestResult,
    TrustCard,
    TrustMeasure,
    read_trust_card,
    write_trust_card,
)
from cxresnet.metrics.estimate import Estimate


@pytest.fixture
def card() -> TrustCard:
    estimate = Estimate(value=0.83, low=0.7, high=0.9, n=12, groups=12)
    tests = (
        TestResult(
            test="weights",
            verdict="fail",
            sentence="0.83 of it is kept.",
            measures=(TrustMeasure(name="signed", estimate=estimate),),
        ),
        TestResult(test="pointing", verdict="not tested", sentence="No mask."),
    )
    step = Step(part="head", kept={"signed": estimate})
    return TrustCard(
        content="c",
        films=12,
        masks_found=3,
        seed=0,
        versions={"captum": "0.9"},
        knowledge=Knowledge(
            passed=True, macro_auroc=estimate, shuffled_best=0.6, copies=19, sentence="It knows."
        ),
        methods=(
            MethodCard(name="m", title="Map", trusted=False, tests=tests, steps=(step,)),
            MethodCard(name="n", title="Nap", trusted=True, tests=tests[1:], steps=()),
        ),
    )


def test_what_is_written_is_read(card: TrustCard, tmp_path: Path) -> None:
    write_trust_card(tmp_path, card)
    assert read_trust_card(tmp_path) == card


def test_only_a_method_that_failed_is_distrusted(card: TrustCard) -> None:
    assert [card.is_distrusted(name) for name in ("m", "n", "never tested")] == [
        True,
        False,
        False,
    ]


def test_without_a_card_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="--trust-only"):
        read_trust_card(tmp_path)


@pytest.mark.parametrize("content", ["{", "{}", '{"format": 99}'])
def test_a_damaged_card_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / CARD_NAME).write_text(content)
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_trust_card(tmp_path)


def test_the_markdown_says_all_in_words(card: TrustCard) -> None:
    text = render_markdown(card)
    for words in (
        DISCLAIMER,
        "12 films",
        "3 lung masks",
        "✗ fail 0.83 (0.70 to 0.90)",
        "– not tested",
        "not trustworthy for this model",
        "✓ trusted",
        "It knows.",
        "0.83 of it is kept.",
        "captum 0.9",
    ):
        assert words in text
