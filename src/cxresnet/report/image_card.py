"""The card of one explained image, and the page that lists the cards of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from cxresnet import DISCLAIMER
from cxresnet.core.record import Record
from cxresnet.explain.figures import Panel, draw_panels
from cxresnet.explain.neighbours import ImageNeighbours
from cxresnet.explain.overlay import draw_colour_bar
from cxresnet.explain.record import Attributions, ExplanationIndex
from cxresnet.explain.text_summary import ImageTextSummary
from cxresnet.predict.decision import ABSTAIN
from cxresnet.report.figures import draw_zones_svg
from cxresnet.report.page import build_data_uri, render_page

_SIDE_PX = 384


class ClassShare(Record):
    """One class in the decision about an image.

    Attributes:
        name: The class.
        probability: Calibrated, 0 to 1.
        possible: It is in the prediction set: it cannot be ruled out at the nominal coverage.
        threshold: From this probability on it is in the prediction set; None where none was chosen.
    """

    name: str
    probability: float = Field(ge=0, le=1)
    possible: bool
    threshold: float | None = None


class MethodVerdict(Record):
    """Whether the maps of a method can be trusted for this network.

    Attributes:
        name: Of the method.
        title: Shown to readers.
        passed: The sanity checks were passed; None where they were not run.
        reasons: For each failed check, its sentence.
    """

    name: str
    title: str
    passed: bool | None
    reasons: tuple[str, ...] = ()


class ImageCard(Record):
    """`NAME.json`: everything that the card of one image says; its maps are in `NAME.npz`.

    Attributes:
        format: Version of this file.
        disclaimer: What it must not be used for.
        content: Hash over image, network, decision and settings: the same content, the same card.
        file: The image as it was named.
        network: The name of the run, or "bundled network".
        data_verdict: What the audit found in the training data; "" if it was not run.
        predicted_class: The class with the highest weighted probability.
        decision: The predicted class, or "abstain".
        gate: What the check for a frontal chest X-ray found, as of `Prediction.gate`.
        note: What has to be known beside the decision, one sentence; mostly "".
        weighing: By which weights the class is predicted, where it is not the most probable one.
        nominal_coverage: Share of the images of each class whose prediction set should hold that
            class; None where no thresholds were chosen.
        classes: In the order of the network.
        index: Describes the maps.
        text_summary: The explanation in words.
        neighbours: The most similar training images, by reference; None where the images that the
            network was trained on are not there.
        sanity: In the order of the maps.
    """

    format: Literal[1] = 1
    disclaimer: str = DISCLAIMER
    content: str
    file: str
    network: str
    data_verdict: str = ""
    predicted_class: str
    decision: str
    gate: str = ""
    note: str = ""
    weighing: str = ""
    nominal_coverage: float | None = None
    classes: tuple[ClassShare, ...]
    index: ExplanationIndex
    text_summary: ImageTextSummary
    neighbours: ImageNeighbours | None = None
    sanity: tuple[MethodVerdict, ...] = ()

    @property
    def abstains(self) -> bool:
        """Whether no class is decided on."""
        return self.decision == ABSTAIN

    @property
    def headline(self) -> str:
        """The decision in a few words."""
        return "Abstains" if self.abstains else f"Decision: {self.decision}"

    @property
    def reason(self) -> str:
        """Why the network decides on this class, or abstains, one or two sentences."""
        return _describe_decision(self)


def _describe_decision(card: ImageCard) -> str:
    possible = [one.name for one in card.classes if one.possible]
    if card.nominal_coverage is None:
        return (
            "The class with the highest probability. This network was not evaluated: its "
            "probabilities are not calibrated, and it never abstains."
        )
    thresholds = (
        "Each class has a threshold of its own, chosen so that the classes that remain possible "
        f"hold the true one for {card.nominal_coverage:.0%} of the images of each class."
    )
    if not possible:
        return (
            f"No class reaches its threshold: the image is unusual for this network. {thresholds}"
        )
    if len(possible) > 1:
        return (
            f"More than one class remains possible ({', '.join(possible)}), so no class is decided "
            f"on. {thresholds}"
        )
    if card.abstains:
        return f"Only {possible[0]} remains possible, but the check of the image leaves doubts."
    return f"Only {possible[0]} remains possible. {thresholds}"


@dataclass(frozen=True)
class PanelView:
    """One picture of a card.

    Attributes:
        title: What it shows.
        caption: What stands below; "" for nothing.
        uri: The picture.
        stretched: The same map on a scale that it fills; None where it is strong enough as it is.
    """

    title: str
    caption: str
    uri: str
    stretched: PanelView | None = None


def _build_panels(attributions: Attributions) -> tuple[PanelView, ...]:
    """Show the image, its maps and ranges; of a weak map also, on demand, the stretched view."""
    plain, stretched = (draw_panels(attributions, 0, stretched=flag) for flag in (False, True))
    return tuple(
        _build_panel(panel, None if other.title == panel.title else _build_panel(other))
        for panel, other in zip(plain, stretched, strict=True)
    )


def _build_panel(panel: Panel, stretched: PanelView | None = None) -> PanelView:
    uri = build_data_uri(panel.pixels, largest_side_px=_SIDE_PX)
    return PanelView(panel.title, panel.caption, uri, stretched)


def render_image_card(card: ImageCard, attributions: Attributions) -> str:
    """Render the card of one image, one HTML text that loads nothing and runs nothing.

    Args:
        card: What is known of the image.
        attributions: Its maps, one row.
    """
    return render_page(
        "image_card.html.j2",
        title=card.file.rsplit("/", 1)[-1],
        card=card,
        panels=_build_panels(attributions),
        image_side=attributions.images.shape[-1],
        bar_uri=build_data_uri(draw_colour_bar(width_px=256, height_px=1), largest_side_px=256),
        zones_svg=draw_zones_svg(),
    )


class IndexRow(Record):
    """One card on the page that lists them.

    Attributes:
        link: Name of the HTML file.
        card: What it says.
    """

    link: str
    card: ImageCard


class RefusedImage(Record):
    """One image that was refused.

    Attributes:
        file: The image as it was named.
        reason: Why, one sentence.
    """

    file: str
    reason: str


def render_card_index(rows: Sequence[IndexRow], refused: Sequence[RefusedImage]) -> str:
    """Render the page that links all cards, and names the images that were refused."""
    return render_page(
        "card_index.html.j2", title="Explained images", rows=tuple(rows), refused=tuple(refused)
    )
