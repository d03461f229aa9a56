"""Mean attribution per lung zone, for each predicted class.

From the images that the network predicts to be of a class a random sample is drawn, one image per
patient, and each map is divided into the lung zones of a common frame (`lungs.py`). The mean over
images shows which zones the network uses for that prediction.
"""

from __future__ import annotations

import functools
import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import Field
from scipy import ndimage
from torch import Tensor, nn

from cxresnet import DISCLAIMER
from cxresnet.core.config.explain import MethodName
from cxresnet.core.files import write_bytes
from cxresnet.core.record import Record
from cxresnet.core.seeding import build_generator
from cxresnet.explain.context import ExplainContext
from cxresnet.explain.lungs import (
    OUTSIDE,
    ZONE_NAMES,
    ImageLungs,
    choose_lungs,
    compute_zones,
    draw_standard_zones,
    sum_zones,
)
from cxresnet.explain.methods.method import AbstractMethod
from cxresnet.explain.overlay import AGAINST_RGB, FOR_RGB, compute_drawn_map, load_font
from cxresnet.explain.text_summary import compute_zone_shares
from cxresnet.explain.workers import map_calls
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.classification import ClassifiedImages
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import build_mean

_RESAMPLES = 2000
_CONFIDENCE = 0.95


class ZoneMean(Record):
    """One zone of the common frame.

    Attributes:
        zone: One of `ZONE_NAMES`.
        share: Mean over images of the zone's share of all evidence for the class.
        area: Mean over images of the zone's share of the image: the expected share of a uniform
            map.
    """

    zone: str
    share: Estimate
    area: float = Field(ge=0, le=1)


class ClassZoneMeans(Record):
    """One class.

    Attributes:
        class_name: The predicted class of these images.
        images: Images measured.
        patients: Patients or clusters of near-duplicates among them.
        without_lungs: Images excluded because no reliable lung mask exists.
        found_lungs: Images whose lung mask comes from the lung finder.
        without_evidence: Images excluded because nothing in their map argues for the class.
        zones: One entry per zone, in the order of `ZONE_NAMES`; empty without images.
    """

    class_name: str
    images: int = Field(ge=0)
    patients: int = Field(ge=0)
    without_lungs: int = Field(ge=0)
    found_lungs: int = Field(ge=0)
    without_evidence: int = Field(ge=0)
    zones: tuple[ZoneMean, ...]


class ZoneMeans(Record):
    """All classes.

    Attributes:
        method: Title of the map.
        classes: In the dataset's order.
    """

    format: Literal[1] = 1
    method: str
    classes: tuple[ClassZoneMeans, ...]


def compute_zone_means(context: ExplainContext, method_name: str) -> ZoneMeans:
    """Compute the mean attribution per lung zone, for each predicted class, by one method."""
    (method,) = context.build_methods([cast("MethodName", method_name)])
    names = context.predictions.class_names
    return ZoneMeans(
        method=method.title,
        classes=tuple(_compute_class(context, method, label) for label in range(len(names))),
    )


def _compute_class(context: ExplainContext, method: AbstractMethod, label: int) -> ClassZoneMeans:
    chosen = choose_zone_mean_images(
        context.evaluated,
        group_ids=context.predictions.group_ids,
        label=label,
        count=context.config.zone_mean_images,
    )
    rows = context.find_test_rows(chosen)
    images = [np.asarray(context.test.images[row]) for row in rows]
    lungs = [
        choose_lungs(image, context.test.lung_mask(row))
        for image, row in zip(images, rows, strict=True)
    ]

    shown = [number for number, one in enumerate(lungs) if one.source != "none"]
    calls = [
        (
            context.network,
            method,
            context.predictor.to_tensor(images[number][None]),
            label,
            lungs[number].mask,
        )
        for number in shown
    ]
    class_name = context.predictions.class_names[label]
    maps = map_calls(_attribute, calls, f"Maps of {class_name} per lung zone")
    return compute_class_zone_means(
        class_name,
        lungs=lungs,
        group_ids=[context.predictions.group_ids[row] for row in chosen],
        maps=dict(zip(shown, maps, strict=True)),
    )


def _attribute(
    network: nn.Module,
    method: AbstractMethod,
    image: Tensor,
    label: int,
    lung_mask: NDArray[np.uint8],
) -> NDArray[np.float32]:
    """Compute the map of one image as it is drawn: (row, column)."""
    found = method.attribute(
        network,
        image,
        targets=torch.tensor([label], device=image.device),
        lung_masks=torch.from_numpy(lung_mask[None] > 0).to(image.device),
    )
    return compute_drawn_map(found[0].cpu().numpy(), patch_px=method.drawn_patch_px)


def choose_zone_mean_images(
    evaluated: ClassifiedImages, *, group_ids: Sequence[str], label: int, count: int, seed: int = 0
) -> list[int]:
    """Draw images predicted to be of a class at random, one per group.

    Args:
        evaluated: Decisions on the test images.
        group_ids: One per image.
        label: The predicted class.
        count: The largest number of images.
        seed: Of the random draw.

    Returns:
        Rows of `evaluated`, in their order.
    """
    rows = np.flatnonzero(evaluated.predicted == label)
    order = build_generator(seed, "concept", label).permutation(rows)
    one_a_group: dict[str, int] = {}
    for row in order.tolist():
        one_a_group.setdefault(group_ids[row], row)
    return sorted(list(one_a_group.values())[:count])


def compute_class_zone_means(
    class_name: str,
    *,
    lungs: Sequence[ImageLungs],
    group_ids: Sequence[str],
    maps: Mapping[int, NDArray[np.float32]],
) -> ClassZoneMeans:
    """Average the maps of one class in the common frame.

    Args:
        class_name: The class.
        lungs: Of each image.
        group_ids: One per image.
        maps: Map of image i, (row, column), of each that has lungs.
    """
    shares, areas, kept = [], [], []
    for row, one in enumerate(lungs):
        zones = compute_zones(one.right_lung, one.left_lung)
        if one.source == "none" or not zones.any():
            continue
        found = compute_zone_shares(maps[row], zones)
        if found:
            shares.append([found[name] for name in ZONE_NAMES])
            areas.append(sum_zones(np.ones(zones.shape), zones) / zones.size)
            kept.append(row)
    with_lungs = [one for one in lungs if one.source != "none"]
    groups = [group_ids[row] for row in kept]
    return ClassZoneMeans(
        class_name=class_name,
        images=len(kept),
        patients=len(set(groups)),
        without_lungs=len(lungs) - len(with_lungs),
        found_lungs=sum(lungs[row].source == "lung finder" for row in kept),
        without_evidence=len(with_lungs) - len(kept),
        zones=_average(np.array(shares), np.array(areas), groups) if kept else (),
    )


def _average(
    shares: NDArray[np.float64], areas: NDArray[np.float64], groups: Sequence[str]
) -> tuple[ZoneMean, ...]:
    estimates = compute_estimates(
        [build_mean(name, shares[:, number]) for number, name in enumerate(ZONE_NAMES)],
        groups=groups,
        resamples=_RESAMPLES,
        confidence=_CONFIDENCE,
        generator=build_generator(0, "concept", "bootstrap"),
    )
    return tuple(
        ZoneMean(zone=name, share=estimates[name], area=float(areas[:, number].mean()))
        for number, name in enumerate(ZONE_NAMES)
    )


# The zones of every class on a standard pair of lungs: one panel per class, one PNG for all.

RADIOLOGY = {
    "normal": "Radiology: clear lungs. There is no finding, so no zone is expected to stand out.",
    "pneumonia": "Radiology: bacterial pneumonia is mostly one dense consolidation, often in one "
    "lobe, and can be in any zone. Viral pneumonia is finer and bilateral.",
    "covid-19": "Radiology: mostly bilateral, peripheral ground-glass opacities in the lower "
    "zones. Early images are often clear, and no pattern is specific.",
}
"""What radiology leads one to expect, by class name."""

_SIDE_PX = 640
_HEAD_PX = 100
_FOOT_PX = 204
_PAPER = (14, 17, 22)
_INK = (240, 243, 247)
_FAINT = (165, 175, 188)
_EVEN = np.array((70, 78, 90))
_STRONGEST_RATIO = 4.0


def compute_tint(zone_mean: ZoneMean) -> NDArray[np.float64]:
    """Choose a zone's colour: orange where its share exceeds its area, blue where it is less.

    Args:
        zone_mean: Of the zone.

    Returns:
        RGB, 0 to 255; full colour from four times the area on, and below a quarter of it.
    """
    share = zone_mean.share.value or 0.0
    ratio = max(share, 1e-6) / max(zone_mean.area, 1e-6)
    strength = float(np.clip(np.log(ratio) / np.log(_STRONGEST_RATIO), -1, 1))
    colour = np.array(FOR_RGB if strength > 0 else AGAINST_RGB)
    tint: NDArray[np.float64] = _EVEN + abs(strength) * (0.85 * colour - _EVEN)
    return tint


def draw_class_panel(zone_means: ClassZoneMeans) -> Image.Image:
    """Draw one class: its zones, each with its share of the evidence and the interval."""
    panel = Image.new("RGB", (_SIDE_PX, _HEAD_PX + _SIDE_PX + _FOOT_PX), _PAPER)
    pen = ImageDraw.Draw(panel)
    pen.text((20, 16), f"Predicted {zone_means.class_name}", fill=_INK, font=load_font(36))
    words = f"mean over {zone_means.images} images of {zone_means.patients} patients"
    pen.text((20, 60), words, fill=_FAINT, font=load_font(25))
    if zone_means.zones:
        panel.paste(_paint_zones(zone_means), (0, _HEAD_PX))
        _write_numbers(pen, zone_means)
    else:
        pen.text((20, 300), "No image to measure.", fill=_INK, font=load_font(24))
    top = _HEAD_PX + _SIDE_PX
    pen.text((20, top - 8), "patient's right", fill=_FAINT, font=load_font(24))
    pen.text(
        (_SIDE_PX - 20, top - 8), "patient's left", fill=_FAINT, font=load_font(24), anchor="ra"
    )
    radiology = textwrap.fill(RADIOLOGY.get(zone_means.class_name, ""), 48)
    pen.text((20, top + 76), radiology, fill=_FAINT, font=load_font(24), spacing=5)
    return panel


def write_zone_means_figure(path: Path, zone_means: ZoneMeans) -> Path:
    """Write all classes side by side as one PNG; returns its path.

    Raises:
        StorageError: The file cannot be written.
    """
    panels = [draw_class_panel(one) for one in zone_means.classes]
    height = panels[0].height + 84
    picture = Image.new("RGB", (_SIDE_PX * len(panels), height), _PAPER)
    for number, panel in enumerate(panels):
        picture.paste(panel, (number * _SIDE_PX, 0))
    pen = ImageDraw.Draw(picture)
    words = (
        f"Share of the evidence for the predicted class in each zone ({zone_means.method}), with "
        "95 % interval over patients. Orange: more than the zone's area; blue: less."
    )
    pen.text(
        (20, height - 76), textwrap.fill(words, 62 * len(panels)), fill=_INK, font=load_font(20)
    )
    pen.text((20, height - 30), DISCLAIMER, fill=_FAINT, font=load_font(20))
    stream = io.BytesIO()
    picture.save(stream, format="PNG", compress_level=6)
    return write_bytes(path, stream.getvalue())


@functools.cache
def _draw_zones() -> NDArray[np.uint8]:
    return draw_standard_zones(_SIDE_PX)


def _paint_zones(zone_means: ClassZoneMeans) -> Image.Image:
    zones = _draw_zones()
    palette = np.stack([compute_tint(zone_mean) for zone_mean in zone_means.zones])
    palette[0] = _PAPER
    painted = palette[zones]
    painted[_find_borders(zones)] = _PAPER
    return Image.fromarray(np.rint(painted).astype(np.uint8))


def _find_borders(zones: NDArray[np.uint8]) -> NDArray[np.bool_]:
    highest = ndimage.maximum_filter(zones, size=3)
    borders: NDArray[np.bool_] = highest != ndimage.minimum_filter(zones, size=3)
    return borders


def _write_numbers(pen: ImageDraw.ImageDraw, zone_means: ClassZoneMeans) -> None:
    zones = _draw_zones()
    for number, (name, zone_mean) in enumerate(zip(ZONE_NAMES, zone_means.zones, strict=True)):
        if name == OUTSIDE:
            words = f"outside the lungs {_format_share(zone_mean)} ({_format_range(zone_mean)}), "
            words += f"area {zone_mean.area:.0%}"
            place = (_SIDE_PX / 2, _HEAD_PX + _SIDE_PX + 34)
            pen.text(place, words, fill=_INK, font=load_font(27), anchor="ma")
            continue
        rows, columns = np.nonzero(zones == number)
        across, down = float(columns.mean()), float(rows.mean()) + _HEAD_PX
        pen.text(
            (across, down - 14),
            _format_share(zone_mean),
            fill=_INK,
            font=load_font(32),
            anchor="mm",
        )
        pen.text(
            (across, down + 16),
            _format_range(zone_mean),
            fill=_INK,
            font=load_font(22),
            anchor="mm",
        )


def _format_share(zone_mean: ZoneMean) -> str:
    return f"{zone_mean.share.value or 0:.0%}"


def _format_range(zone_mean: ZoneMean) -> str:
    if zone_mean.share.low is None or zone_mean.share.high is None:
        return "no interval"
    return f"{100 * zone_mean.share.low:.0f}–{100 * zone_mean.share.high:.0f}"
