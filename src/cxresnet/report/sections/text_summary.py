"""Text summaries of images, nearest neighbours, and mean attribution per lung zone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.explain.lungs import OUTSIDE
from cxresnet.explain.neighbours import ImageNeighbours, Neighbour
from cxresnet.explain.overlay import SCALE_LIMIT, draw_colour_bar, find_outline
from cxresnet.explain.record import Attributions, ExplainedImage, ExplanationIndex, MethodRecord
from cxresnet.explain.summary import ExplanationSummary
from cxresnet.explain.text_summary import (
    NO_METHOD_PASSED,
    ImageTextSummary,
    choose_summary_method,
    update_text_summary,
)
from cxresnet.explain.zone_means import RADIOLOGY, ClassZoneMeans, ZoneMeans, draw_class_panel
from cxresnet.report.figures import build_map_uri, describe_map, draw_zones_svg
from cxresnet.report.page import build_data_uri, paint_outline
from cxresnet.report.registry import register_section

_MAX_IMAGES = 18
_SIDE_PX = 256
_NEIGHBOUR_SIDE_PX = 112


@dataclass(frozen=True)
class NeighbourView:
    """One of the nearest neighbours among the training images.

    Attributes:
        uri: The picture.
        neighbour: What is known of it.
    """

    uri: str
    neighbour: Neighbour


@dataclass(frozen=True)
class TextSummaryRow:
    """The text summary of one image.

    Attributes:
        record: What is known of it.
        correct: The predicted class is the label.
        summary: What was measured on it, and the sentences.
        image_uri: The image with the contour of its lungs.
        map_uri: The same with the map over it; "" where no method passed its sanity checks.
        map_caption: Of the map.
        closest: The nearest training images, nearest first.
        neighbours: Their similarities; None where they were not searched for.
    """

    record: ExplainedImage
    correct: bool
    summary: ImageTextSummary
    image_uri: str
    map_uri: str
    map_caption: str
    closest: tuple[NeighbourView, ...]
    neighbours: ImageNeighbours | None


@dataclass(frozen=True)
class TextSummaryView:
    """What the template shows.

    Attributes:
        images: In the order of the index.
        left_out: Images that lie in the run folder but not on the page.
        method: The method that is put into words; None where none passed its sanity checks.
        passed_over: Titles of the methods that stand before it but failed.
        missing: Why there are no sentences; "" where there are.
        scale_limit: The value at both ends of the scale.
        bar_uri: The scale itself.
        zones_svg: The zones and their names.
    """

    images: tuple[TextSummaryRow, ...]
    left_out: int
    method: MethodRecord | None
    passed_over: tuple[str, ...]
    missing: str
    scale_limit: float
    bar_uri: str
    zones_svg: str


@register_section(
    "text_summary",
    title="Text summaries of images",
    short_title="Text summaries",
    order=80,
    needs=("attributions", "explanation_summary"),
)
def build_text_summary_view(
    attributions: Attributions, explanation_summary: ExplanationSummary
) -> TextSummaryView:
    """Show each image with the contour of the lungs, its map and its sentences."""
    index = attributions.index
    method = choose_summary_method(index)
    rows = min(len(index.images), len(explanation_summary.index.text_summaries), _MAX_IMAGES)
    return TextSummaryView(
        images=tuple(_build_image(attributions, explanation_summary, row) for row in range(rows)),
        left_out=len(index.images) - rows,
        method=method,
        passed_over=_list_passed_over(index, method),
        missing="" if method else NO_METHOD_PASSED,
        scale_limit=SCALE_LIMIT if method is None else attributions.get_scale_limit(method),
        bar_uri=build_data_uri(draw_colour_bar(width_px=256, height_px=1), largest_side_px=256),
        zones_svg=draw_zones_svg(),
    )


def _list_passed_over(index: ExplanationIndex, method: MethodRecord | None) -> tuple[str, ...]:
    """List the methods that would have been put into words, had they passed."""
    before = [one.title for one in index.methods if one.failed_sanity]
    return tuple(before) if method else ()


def _build_image(
    attributions: Attributions, explanation_summary: ExplanationSummary, row: int
) -> TextSummaryRow:
    index, image = attributions.index, attributions.images[row]
    outline = find_outline(attributions.lung_masks[row])
    method = choose_summary_method(index)
    neighbours = (
        explanation_summary.index.neighbours[row] if explanation_summary.index.neighbours else None
    )
    return TextSummaryRow(
        record=index.images[row],
        correct=index.images[row].true_class == index.images[row].predicted_class,
        summary=update_text_summary(
            explanation_summary.index.text_summaries[row], attributions, row
        ),
        image_uri=build_data_uri(paint_outline(image, outline), largest_side_px=_SIDE_PX),
        map_uri=""
        if method is None
        else build_map_uri(attributions, method, row, side_px=_SIDE_PX, outline=outline),
        map_caption="" if method is None else describe_map(attributions, method, row),
        closest=_build_neighbours(neighbours, explanation_summary.neighbour_images[row]),
        neighbours=neighbours,
    )


def _build_neighbours(
    neighbours: ImageNeighbours | None, images: NDArray[np.uint8]
) -> tuple[NeighbourView, ...]:
    if neighbours is None:
        return ()
    return tuple(
        NeighbourView(build_data_uri(image, largest_side_px=_NEIGHBOUR_SIDE_PX), neighbour)
        for image, neighbour in zip(images, neighbours.neighbours, strict=False)
    )


# Mean attribution per lung zone and predicted class, over many images.


_PANEL_PX = 700


@dataclass(frozen=True)
class ClassPanel:
    """One class.

    Attributes:
        zone_means: The numbers.
        uri: The picture.
        alt_text: The picture in words, for those who do not see it.
        radiology: What radiology expects; "" where the class is not known by name.
    """

    zone_means: ClassZoneMeans
    uri: str
    alt_text: str
    radiology: str


@dataclass(frozen=True)
class ZoneMeansView:
    """What the template shows.

    Attributes:
        method: Title of the map.
        panels: One a class; empty where the method failed its sanity checks since.
    """

    method: str
    panels: tuple[ClassPanel, ...]


@register_section(
    "zone_means",
    title="Mean attribution per lung zone",
    short_title="Lung zones",
    order=90,
    needs=("explanation_summary.index.zone_means",),
    uses=("attributions",),
)
def build_zone_means_view(
    zone_means: ZoneMeans, attributions: Attributions | None = None
) -> ZoneMeansView:
    """Show one panel a class; none where the method failed its sanity checks."""
    methods = attributions.index.methods if attributions else ()
    if any(one.title == zone_means.method and one.failed_sanity for one in methods):
        return ZoneMeansView(zone_means.method, ())
    panels = tuple(
        ClassPanel(
            zone_means=one,
            uri=build_data_uri(np.asarray(draw_class_panel(one)), largest_side_px=_PANEL_PX),
            alt_text=_describe(one),
            radiology=RADIOLOGY.get(one.class_name, ""),
        )
        for one in zone_means.classes
    )
    return ZoneMeansView(zone_means.method, panels)


def _describe(zone_means: ClassZoneMeans) -> str:
    """Name the three zones with most attribution for their area, and the share outside."""
    if not zone_means.zones:
        return f"No image predicted as {zone_means.class_name} could be measured."
    inside = [zone_mean for zone_mean in zone_means.zones if zone_mean.zone != OUTSIDE]
    inside.sort(key=lambda zone_mean: zone_mean.area - (zone_mean.share.value or 0.0))
    most = ", ".join(
        f"{zone_mean.zone} {zone_mean.share.value or 0:.0%}" for zone_mean in inside[:3]
    )
    outside = next(zone_mean for zone_mean in zone_means.zones if zone_mean.zone == OUTSIDE)
    return (
        f"Prediction {zone_means.class_name}: most, relative to area, in {most}; outside the lungs "
        f"{outside.share.value or 0:.0%} on {outside.area:.0%} of the image."
    )
