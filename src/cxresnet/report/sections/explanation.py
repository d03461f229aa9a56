"""Attribution maps: each chosen image beside its maps on one scale; errors worth a look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.explain.overlay import (
    LEAST_CHANGE,
    SCALE_LIMIT,
    draw_baseline_range,
    draw_colour_bar,
    find_outline,
)
from cxresnet.explain.record import Attributions, ExplainedImage, MethodRecord
from cxresnet.explain.text_summary import choose_summary_method
from cxresnet.report.figures import build_map_uri, describe_map
from cxresnet.report.page import build_data_uri
from cxresnet.report.registry import register_section

_MAX_IMAGES = 30
_SIDE_PX = 192


@dataclass(frozen=True)
class StretchedView:
    """A weak map on a scale that it fills: the picture, and the value at both ends."""

    uri: str
    scale_limit: float


@dataclass(frozen=True)
class MapView:
    """One map over its image.

    Attributes:
        title: Of the method.
        uri: The picture.
        caption: What stands below: the largest value with its meaning, or the scale where it is
            not the shared one.
        lung_share: Share of the map's weight in the lungs, 0 to 1; None where not known.
        failed_sanity: The method failed a sanity check.
        stretched: Shown on demand where words stand in the place of a weak map.
    """

    title: str
    uri: str
    caption: str
    lung_share: float | None
    failed_sanity: bool = False
    stretched: StretchedView | None = None


@dataclass(frozen=True)
class ImageView:
    """One image with its maps.

    Attributes:
        record: What is known of it.
        correct: The predicted class is the label.
        uri: The bare image.
        maps: One a method.
    """

    record: ExplainedImage
    correct: bool
    uri: str
    maps: tuple[MapView, ...]


@dataclass(frozen=True)
class LungRow:
    """How much of a method's maps lies in the lungs, over the images that have a mask.

    Attributes:
        title: Of the method.
        images: How many have a mask and a map.
        share: Mean share of the map's weight in the lungs, 0 to 1.
        chance: Mean share of the image that is lung.
    """

    title: str
    images: int
    share: float
    chance: float


@dataclass(frozen=True)
class ExplanationView:
    """What the template shows.

    Attributes:
        methods: What was computed.
        scale_limit: Change of probability at both ends of the scale.
        least_change: A map whose largest change is smaller is put into words.
        bar_uri: The scale itself.
        images: In the order of the index.
        left_out: Images that lie in the run folder but not on the page.
        lungs: One row a method; empty where no image has a mask.
    """

    methods: tuple[MethodRecord, ...]
    scale_limit: float
    least_change: float
    bar_uri: str
    images: tuple[ImageView, ...]
    left_out: int
    lungs: tuple[LungRow, ...]


@register_section(
    "explanation",
    title="Attribution maps",
    short_title="Maps",
    order=100,
    needs=("attributions",),
    missing="Not explained yet. 'cxresnet explain RUN' computes the maps.",
)
def build_explanation_view(attributions: Attributions) -> ExplanationView:
    """Show each image beside its maps, on one scale."""
    index = attributions.index
    count = min(len(index.images), _MAX_IMAGES)
    return ExplanationView(
        methods=index.methods,
        scale_limit=SCALE_LIMIT,
        least_change=LEAST_CHANGE,
        bar_uri=build_data_uri(draw_colour_bar(width_px=256, height_px=1), largest_side_px=256),
        images=tuple(_build_image(attributions, row) for row in range(count)),
        left_out=len(index.images) - count,
        lungs=_summarise_lungs(index.images, index.methods),
    )


def _build_image(attributions: Attributions, row: int) -> ImageView:
    record, image = attributions.index.images[row], attributions.images[row]
    outline = find_outline(attributions.lung_masks[row])
    maps = [
        MapView(
            title=method.title,
            uri=build_map_uri(attributions, method, row, side_px=_SIDE_PX, outline=outline),
            caption=describe_map(attributions, method, row),
            failed_sanity=method.failed_sanity,
            lung_share=record.lung_shares.get(method.name),
            stretched=_build_stretched(attributions, method, row, outline=outline),
        )
        for method in attributions.index.methods
    ]
    maps += [
        MapView(
            title=f"{method.title}: range between baselines",
            uri=build_data_uri(
                draw_baseline_range(
                    image, baseline_range[row], scale_limit=attributions.get_scale_limit(method)
                ),
                largest_side_px=_SIDE_PX,
            ),
            caption=(
                f"maps with different baselines differ by up to "
                f"{float(baseline_range[row].max()):.3f}"
            ),
            lung_share=None,
        )
        for method in attributions.index.methods
        for baseline_range in [attributions.baseline_ranges.get(method.name)]
        if baseline_range is not None
    ]
    return ImageView(
        record=record,
        correct=record.true_class == record.predicted_class,
        uri=build_data_uri(image, largest_side_px=_SIDE_PX),
        maps=tuple(maps),
    )


def _build_stretched(
    attributions: Attributions, method: MethodRecord, row: int, *, outline: NDArray[np.bool_]
) -> StretchedView | None:
    """Draw a weak map on a scale that it fills; None for a map that is not weak."""
    if not attributions.describe_weakness(method, row):
        return None
    limit = attributions.compute_stretched_limit(method, row)
    uri = build_map_uri(
        attributions, method, row, side_px=_SIDE_PX, outline=outline, scale_limit=limit
    )
    return StretchedView(uri, limit)


def _summarise_lungs(
    images: tuple[ExplainedImage, ...], methods: tuple[MethodRecord, ...]
) -> tuple[LungRow, ...]:
    rows = []
    for method in methods:
        pairs = [
            (image.lung_shares[method.name], image.lung_area_share)
            for image in images
            if method.name in image.lung_shares and image.lung_area_share is not None
        ]
        if pairs:
            share, chance = np.mean(pairs, axis=0)
            rows.append(LungRow(method.title, len(pairs), float(share), float(chance)))
    return tuple(rows)


# The gallery: confident errors, and correct images of low confidence, each with its map.


_GALLERY_SIDE_PX = 160
_KINDS = ("most confident incorrect", "least confident correct")


@dataclass(frozen=True)
class GalleryImage:
    """One image of the gallery.

    Attributes:
        record: What is known of it.
        uri: The bare image.
        map_uri: With the map over it; "" where no method passed its sanity checks.
        caption: Of the map.
    """

    record: ExplainedImage
    uri: str
    map_uri: str
    caption: str


@dataclass(frozen=True)
class GalleryRow:
    """Images of one true class.

    Attributes:
        class_name: The label.
        confident_errors: Errors with the highest confidence.
        low_confidence_correct: Correct ones with the lowest confidence.
    """

    class_name: str
    confident_errors: tuple[GalleryImage, ...]
    low_confidence_correct: tuple[GalleryImage, ...]


@dataclass(frozen=True)
class GalleryView:
    """What the template shows: a row a class, and the method of the maps, "" for none."""

    rows: tuple[GalleryRow, ...]
    method: str


@register_section(
    "gallery",
    title="Errors and uncertain images",
    short_title="Errors",
    order=120,
    needs=("attributions",),
    missing="Not explained yet. 'cxresnet explain RUN' chooses the images and draws the maps.",
)
def build_gallery_view(attributions: Attributions) -> GalleryView:
    """Show, class by class, confident errors and correct images of low confidence."""
    rows = tuple(
        GalleryRow(
            name, *(_choose(attributions, name, selection_reason) for selection_reason in _KINDS)
        )
        for name in attributions.index.class_names
    )
    method = choose_summary_method(attributions.index)
    return GalleryView(rows=rows, method=method.title if method else "")


def _choose(
    attributions: Attributions, class_name: str, selection_reason: str
) -> tuple[GalleryImage, ...]:
    index = attributions.index
    return tuple(
        _build_gallery_image(attributions, row)
        for row, image in enumerate(index.images)
        if image.true_class == class_name and image.selection_reason == selection_reason
    )


def _build_gallery_image(attributions: Attributions, row: int) -> GalleryImage:
    record = attributions.index.images[row]
    uri = build_data_uri(attributions.images[row], largest_side_px=_GALLERY_SIDE_PX)
    method = choose_summary_method(attributions.index)
    if method is None:
        return GalleryImage(record, uri, map_uri="", caption="")
    map_uri = build_map_uri(attributions, method, row, side_px=_GALLERY_SIDE_PX)
    return GalleryImage(record, uri, map_uri, describe_map(attributions, method, row))
