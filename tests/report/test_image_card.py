"""The card of an explained image says what was decided and why, and shows no training image."""

from __future__ import annotations

import pytest

from cxresnet.explain.neighbours import ImageNeighbours, Neighbour
from cxresnet.explain.record import Attributions
from cxresnet.explain.text_summary import ImageTextSummary
from cxresnet.report.image_card import (
    ClassShare,
    ImageCard,
    IndexRow,
    MethodVerdict,
    RefusedImage,
    render_card_index,
    render_image_card,
)

HOSTILE = '"><script>alert(1)</script>'


def _build_card(
    attributions: Attributions, possible: tuple[str, ...] = (), *, coverage: float | None = 0.9
) -> ImageCard:
    shares = {"normal": 0.1, "covid-19": 0.9}
    return ImageCard(
        content="0",
        file=f"images/{HOSTILE}.png",
        network=HOSTILE,
        predicted_class="covid-19",
        decision=possible[0] if len(possible) == 1 else "abstain",
        nominal_coverage=coverage,
        classes=tuple(
            ClassShare(name=name, probability=share, possible=name in possible, threshold=0.052)
            for name, share in shares.items()
        ),
        index=attributions.index,
        text_summary=ImageTextSummary(
            image_id="1",
            class_name="covid-19",
            probability=0.9,
            method="occlusion",
            lung_source="none",
            sentences=(f"A sentence with {HOSTILE}.",),
        ),
        sanity=(
            MethodVerdict(name="occlusion", title="Occlusion", passed=False, reasons=("So.",)),
            MethodVerdict(name="grad_cam", title="Grad-CAM", passed=True),
        ),
    )


@pytest.mark.parametrize(
    ("possible", "headline", "words"),
    [
        (("covid-19",), "Decision: covid-19", "Only covid-19 remains possible."),
        (("normal", "covid-19"), "Abstains", "More than one class remains possible (normal, cov"),
        ((), "Abstains", "No class reaches its threshold"),
    ],
)
def test_the_classes_that_remain_possible_are_the_reason(
    attributions: Attributions, possible: tuple[str, ...], headline: str, words: str
) -> None:
    card = _build_card(attributions, possible)
    assert card.headline == headline
    assert card.reason.startswith(words)
    assert "90%" in card.reason


def test_the_weights_are_told_where_they_decide(attributions: Attributions) -> None:
    card = _build_card(attributions)
    weighed = card.model_copy(update={"weighing": "Weights: normal × 2.00."})
    assert "Weights: normal × 2.00." in render_image_card(weighed, attributions)
    assert "Weights:" not in render_image_card(card, attributions)


def test_a_network_that_was_not_evaluated_says_so(attributions: Attributions) -> None:
    card = _build_card(attributions, ("covid-19",), coverage=None)
    assert "was not evaluated" in card.reason


def test_the_page_escapes_names_and_names_training_images_without_showing_them(
    attributions: Attributions,
) -> None:
    alone = render_image_card(_build_card(attributions), attributions)
    neighbours = ImageNeighbours(
        image_id="1",
        similarity_threshold=0.5,
        compared=7,
        neighbours=(
            Neighbour(image_id="n1.png", class_name="normal", source="nih", similarity=0.75),
        ),
    )
    card = _build_card(attributions).model_copy(update={"neighbours": neighbours})
    page = render_image_card(card, attributions)
    assert "<script" not in page
    assert ("n1.png" in page, "n1.png" in alone) == (True, False)
    assert "nih" in page
    assert "0.750" in page
    assert page.count("<img") == alone.count("<img") > 1
    assert page.count("✗ not trustworthy for this model") >= 1
    assert "✓ passed" in page
    assert "0.052" in page


def test_the_index_links_cards_and_names_what_was_refused(attributions: Attributions) -> None:
    page = render_card_index(
        [IndexRow(link="a-1.html", card=_build_card(attributions, ("covid-19",)))],
        [RefusedImage(file=HOSTILE, reason="It is blank.")],
    )
    assert 'href="a-1.html"' in page
    assert "It is blank." in page
    assert "1 explained, 1 refused" in page
    assert "<script" not in page
