"""The text summary of an image: where the evidence lies, and what covering parts of it changes.

Two measurements per lung zone. From the map: the zone's share of all evidence for the class. From
the network itself: the probability with the zone covered by grey. They need not agree: a zone may
hold much of a map, and the network may still manage without it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from cxresnet.core.progress import track
from cxresnet.core.record import Record
from cxresnet.explain.lungs import (
    DEPTHS,
    HEIGHTS,
    OUTSIDE,
    SIDES,
    ZONE_NAMES,
    ImageLungs,
    LungSource,
    compute_zones,
    describe_zones,
    split_lungs,
    sum_zones,
)
from cxresnet.explain.methods.method import GREY, require_evaluation_mode
from cxresnet.explain.record import Attributions, ExplanationIndex, MethodRecord

BOTH_LUNGS = "both lungs"

NO_METHOD_PASSED = (
    "There are no sentences and no zones: no attribution method passed its sanity checks for this "
    "model, so no map can tell where it looks."
)


class RegionOcclusion(Record):
    """One part of the image covered with the mean grey of the training images.

    Attributes:
        name: "right upper" and so on (a third of one lung), "both lungs" or "outside".
        probability: Of the class on the covered image, 0 to 1.
    """

    name: str
    probability: float = Field(ge=0, le=1)


class ImageTextSummary(Record):
    """What was measured on one image, per lung zone.

    Attributes:
        image_id: As in the manifest.
        class_name: The class explained.
        probability: Of that class on the original image, 0 to 1.
        method: Name of the map that the shares are computed from; "" where no method passed its
            sanity checks.
        lung_source: Where the lung mask comes from.
        lung_note: A caveat about the mask; "" if there is none.
        shares: For each zone its share of all evidence for the class, sum 1; empty without lungs,
            or where nothing argues for the class.
        areas: For each zone its share of the image, sum 1; empty without lungs.
        occlusions: Probabilities with parts covered; empty without lungs.
        sentences: The summary, sentence by sentence.
    """

    format: Literal[1] = 1
    image_id: str
    class_name: str
    probability: float = Field(ge=0, le=1)
    method: str
    lung_source: LungSource
    lung_note: str = ""
    shares: dict[str, float] = Field(default_factory=dict)
    areas: dict[str, float] = Field(default_factory=dict)
    occlusions: tuple[RegionOcclusion, ...] = ()
    sentences: tuple[str, ...] = ()


def compute_text_summaries(
    network: nn.Module, images: Tensor, attributions: Attributions
) -> tuple[ImageTextSummary, ...]:
    """Summarise every explained image; see `choose_summary_method` for the map that is used.

    Args:
        network: From images to calibrated logits; in evaluation mode.
        images: (image, 1, height, width), normalised: those of the maps.
        attributions: The maps.
    """
    index = attributions.index
    method = choose_summary_method(index)
    summaries = []
    for row, record in enumerate(track(index.images, "Summarising images")):
        lungs = ImageLungs(
            *split_lungs(attributions.lung_masks[row]), record.lung_source, record.lung_note
        )
        start = ImageTextSummary(
            image_id=record.image_id,
            class_name=record.explained_class,
            probability=record.explained_probability,
            method=method.name if method else "",
            lung_source=record.lung_source,
        )
        summary = compute_text_summary(
            network,
            images[row],
            lungs,
            attribution=None if method is None else attributions.compute_drawn(method, row),
            target=index.class_names.index(record.explained_class),
            summary=start,
        )
        summaries.append(summary.model_copy(update={"sentences": write_sentences(summary)}))
    return tuple(summaries)


def choose_summary_method(index: ExplanationIndex) -> MethodRecord | None:
    """Choose the map that is put into words and shown first; None where every method failed.

    Of the methods that did not fail their sanity checks it is occlusion, which measures what the
    sentences about covering say: what is lost without a place; else the first.
    """
    passed = {method.name: method for method in index.methods if not method.failed_sanity}
    return passed.get("occlusion", next(iter(passed.values()), None))


def update_text_summary(
    summary: ImageTextSummary, attributions: Attributions, row: int
) -> ImageTextSummary:
    """Put the map of another method into words, where the sanity checks were run since.

    What was measured by covering parts of the image stays.

    Args:
        summary: Of image `row`.
        attributions: Marked by the sanity card.
        row: Of the image.
    """
    method = choose_summary_method(attributions.index)
    name = method.name if method else ""
    if name == summary.method:
        return summary
    shares: dict[str, float] = {}
    if method is not None and summary.occlusions:
        zones = compute_zones(*split_lungs(attributions.lung_masks[row]))
        shares = compute_zone_shares(attributions.compute_drawn(method, row), zones)
    updated = summary.model_copy(update={"method": name, "shares": shares})
    return updated.model_copy(update={"sentences": write_sentences(updated)})


def compute_zone_shares(
    attribution: NDArray[np.float32], zones: NDArray[np.uint8]
) -> dict[str, float]:
    """Compute each zone's share of the evidence for the class; evidence against is ignored.

    Args:
        attribution: (row, column), signed, as drawn.
        zones: (row, column), as `compute_zones` gives them.

    Returns:
        From zone to share, sum 1; empty where nothing argues for the class.
    """
    sums = sum_zones(np.maximum(attribution, 0).astype(np.float64), zones)
    total = float(sums.sum())
    return dict(zip(ZONE_NAMES, (sums / total).tolist(), strict=True)) if total > 0 else {}


def list_occlusion_regions(zones: NDArray[np.uint8]) -> dict[str, NDArray[np.bool_]]:
    """List what is covered: each third of each lung, both lungs, and all but the lungs."""
    parts = {
        f"{side} {height}": np.isin(
            zones, [i for i, name in enumerate(ZONE_NAMES) if name.startswith(f"{side} {height}")]
        )
        for side in SIDES
        for height in HEIGHTS
    }
    return parts | {BOTH_LUNGS: zones > 0, OUTSIDE: zones == 0}


def compute_text_summary(
    model: nn.Module,
    image: Tensor,
    lungs: ImageLungs,
    *,
    attribution: NDArray[np.float32] | None,
    target: int,
    summary: ImageTextSummary,
) -> ImageTextSummary:
    """Measure one image per lung zone.

    Args:
        model: From images to calibrated logits; in evaluation mode; is left as it was.
        image: (1, height, width), normalised.
        lungs: Of this image.
        attribution: (height, width), the map that the shares are computed from; None for none.
        target: Index of the class explained.
        summary: Filled in as far as is known without measuring.

    Raises:
        ModelModeError: The model is training.
    """
    require_evaluation_mode(model)
    zones = compute_zones(lungs.right_lung, lungs.left_lung)
    parts = list_occlusion_regions(zones) if zones.any() else {}
    whole, *covered = _predict_occluded(model, image, list(parts.values()), target=target)
    update: dict[str, object] = {
        "probability": whole,
        "lung_source": lungs.source,
        "lung_note": lungs.note,
    }
    if parts:
        update["shares"] = {} if attribution is None else compute_zone_shares(attribution, zones)
        sizes = sum_zones(np.ones(zones.shape), zones) / zones.size
        update["areas"] = dict(zip(ZONE_NAMES, sizes.tolist(), strict=True))
        update["occlusions"] = tuple(
            RegionOcclusion(name=name, probability=value)
            for name, value in zip(parts, covered, strict=True)
        )
    return summary.model_copy(update=update)


def _predict_occluded(
    model: nn.Module, image: Tensor, parts: Sequence[NDArray[np.bool_]], *, target: int
) -> list[float]:
    """Compute the probability of the class on the image, and with each part covered."""
    images = image.expand(len(parts) + 1, *image.shape).clone()
    for row, part in enumerate(parts, start=1):
        images[row, 0, torch.from_numpy(part).to(image.device)] = GREY
    with torch.inference_mode():
        probabilities: Tensor = model(images).softmax(dim=1)[:, target]
    return [min(1.0, float(value)) for value in probabilities.cpu()]


# The sentences speak of the network, never of the disease: evidence for a prediction need not be a
# sign of anything. Every number is one of the record's, rounded.

_LEAST_CHANGE = 0.01


def write_sentences(summary: ImageTextSummary) -> tuple[str, ...]:
    """Write the summary of an image in two to four sentences.

    Args:
        summary: Measured.

    Returns:
        Plain sentences. Shares are whole per cents, probabilities have two decimals.
        `NO_METHOD_PASSED` alone where there is no map to be put into words.
    """
    if not summary.method:
        return (NO_METHOD_PASSED,)
    if not summary.occlusions:
        return (f"{summary.lung_note} No lung zone can be named.".strip(),)
    sentences = [
        _describe_location(summary),
        _describe_occlusion(summary),
        _describe_lung_occlusion(summary),
    ]
    if summary.lung_note:
        sentences.append(summary.lung_note)
    return tuple(sentences)


def _list_regions() -> tuple[tuple[str, ...], ...]:
    """List the regions that may be named: a zone, a third of one lung, a zone of both lungs."""
    zones = tuple((" ".join(parts),) for parts in itertools.product(SIDES, HEIGHTS, DEPTHS))
    thirds = tuple(
        tuple(f"{side} {height} {depth}" for depth in DEPTHS)
        for side, height in itertools.product(SIDES, HEIGHTS)
    )
    pairs = tuple(
        tuple(f"{side} {height} {depth}" for side in SIDES)
        for height, depth in itertools.product(HEIGHTS, DEPTHS)
    )
    return zones + thirds + pairs


def _describe_location(summary: ImageTextSummary) -> str:
    name = summary.class_name
    if not summary.shares:
        return f"According to the map, nothing on this image is evidence for {name}."

    def add(values: dict[str, float], region: tuple[str, ...]) -> float:
        return sum(values[zone] for zone in region)

    best = max(
        _list_regions(), key=lambda region: add(summary.shares, region) - add(summary.areas, region)
    )
    share, area = add(summary.shares, best), add(summary.areas, best)
    outside = summary.shares[OUTSIDE]
    where = f"{describe_zones(best)} ({area:.0%} of the image)"
    if outside - summary.areas[OUTSIDE] > share - area:
        return (
            f"{outside:.0%} of the network's evidence for {name} lies outside the lungs "
            f"({summary.areas[OUTSIDE]:.0%} of the image); within the lungs, the most relative to "
            f"its area lies in {describe_zones(best)}: {share:.0%}."
        )
    return (
        f"{share:.0%} of the network's evidence for {name} lies in {where}; "
        f"{outside:.0%} lies outside the lungs ({summary.areas[OUTSIDE]:.0%} of the image)."
    )


def _describe_occlusion(summary: ImageTextSummary) -> str:
    thirds = [one for one in summary.occlusions if one.name not in {BOTH_LUNGS, OUTSIDE}]
    lowest = min(thirds, key=lambda one: one.probability)
    before, after = f"{summary.probability:.2f}", f"{lowest.probability:.2f}"
    where = describe_zones(tuple(f"{lowest.name} {depth}" for depth in DEPTHS))
    if summary.probability - lowest.probability < _LEAST_CHANGE:
        return (
            f"Covering any third of a lung with grey hardly lowers the probability of "
            f"{summary.class_name} ({before}; lowest value {after}, with {where} covered)."
        )
    return (
        f"Covering {where} with grey lowers the probability of {summary.class_name} "
        f"from {before} to {after}."
    )


def _describe_lung_occlusion(summary: ImageTextSummary) -> str:
    values = {one.name: one.probability for one in summary.occlusions}
    inside, outside = values[BOTH_LUNGS], values[OUTSIDE]
    words = (
        f"With both lungs covered the probability is {inside:.2f}; with everything but the lungs "
        f"covered it is {outside:.2f}."
    )
    if inside > summary.probability / 2:
        words += " Much of this prediction therefore does not depend on the lungs."
    return words
