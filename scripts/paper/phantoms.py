"""Drawn X-rays with their maps beside the lesions that were planted: what is drawn is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cxresnet.data.dataset.dataset import PreparedDataset
from cxresnet.data.dataset.dataset_record import LESION_MASKS_NAME
from cxresnet.explain.overlay import (
    draw_overlay,
    draw_watermark,
    draw_words,
    find_outline,
    load_font,
)
from cxresnet.explain.record import Attributions, MethodRecord
from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.page import paint_outline

_PANEL_PX, _GAP_PX, _TITLE_PX = 300, 8, 34
_PAPER, _INK = (14, 17, 22), (232, 236, 241)
_METHODS = ("integrated_gradients", "occlusion")
_HOSPITALS = {"phantom-a", "phantom-b", "phantom-c"}


@dataclass(frozen=True, eq=False)
class PhantomMaps:
    """The picture, and for each method the mean share of its evidence in the lesions.

    Attributes:
        picture: One line a class.
        images: Explained images with a lesion.
        lesion_shares: By method; first, the share of these images that is lesion.
    """

    picture: Image.Image
    images: int
    lesion_shares: Mapping[str, float]


def require_phantoms(run: RunArtifacts) -> None:
    """Refuse a run on anything but drawings: no X-ray of a person may reach the study.

    Raises:
        SystemExit: The images of the run were not drawn by us.
    """
    dataset = run.dataset
    source = dataset.record.source if dataset else "unknown images"
    drawn = dataset is not None and (dataset.path / LESION_MASKS_NAME).is_file()
    if dataset is None or not drawn or not set(dataset.manifest["source"]) <= _HOSPITALS:
        raise SystemExit(
            f"The run '{run.name}' is of '{source}', not of phantoms. Its images must not be "
            "shown. Name a run of 'make demo' with --phantoms."
        )


def draw_maps(run: RunArtifacts) -> PhantomMaps | None:
    """Draw one phantom a class with its maps; None where there are none."""
    require_phantoms(run)
    attributions, dataset = run.attributions, run.dataset
    if attributions is None or dataset is None:
        return None
    methods = [one for one in attributions.index.methods if one.name in _METHODS]
    lesions = _read_lesions(dataset, attributions)
    rows = _choose_rows(attributions)
    lines = [_draw_line(attributions, row, lesions[row], methods) for row in rows]
    picture = Image.new("RGB", (lines[0].width, sum(one.height for one in lines)), _PAPER)
    for number, line in enumerate(lines):
        picture.paste(line, (0, number * lines[0].height))
    images = sum(bool(lesion.any()) for lesion in lesions)
    return PhantomMaps(picture, images, _measure(attributions, lesions, methods))


def _choose_rows(attributions: Attributions) -> list[int]:
    """Take the least confident correct image of each class, else the first of the class."""
    images = attributions.index.images
    rows = []
    for name in attributions.index.class_names:
        own = [row for row, image in enumerate(images) if image.true_class == name]
        right = [row for row in own if images[row].selection_reason == "least confident correct"]
        rows += (right or own)[:1]
    return rows


def _read_lesions(dataset: PreparedDataset, attributions: Attributions) -> list[NDArray[np.uint8]]:
    """Read the lesion mask of each image explained; empty where nothing was planted."""
    masks = np.load(dataset.path / LESION_MASKS_NAME, mmap_mode="r")
    places = dataset.manifest.set_index("image_id")["lesion_mask_row"]
    nothing = np.zeros(masks.shape[1:], dtype=np.uint8)
    rows = [int(places[image.image_id]) for image in attributions.index.images]
    return [np.asarray(masks[row]) if row >= 0 else nothing for row in rows]


def _draw_line(
    attributions: Attributions, row: int, lesion: NDArray[np.uint8], methods: list[MethodRecord]
) -> Image.Image:
    """Draw one image, then its maps, each with the lesions outlined."""
    image, found = attributions.images[row], attributions.index.images[row]
    panels = [(f"{found.true_class} (drawn)", np.repeat(image[..., None], 3, axis=2), False)]
    for method in methods:
        limit = attributions.get_scale_limit(method)
        values = attributions.compute_drawn(method, row)
        drawn = draw_overlay(image, values, scale_limit=limit)
        weakness = attributions.describe_weakness(method, row)
        drawn = draw_words(drawn, weakness, min_side_px=_PANEL_PX) if weakness else drawn
        panels.append((method.title, drawn, method.failed_sanity))
    width = len(panels) * (_PANEL_PX + _GAP_PX) + _GAP_PX
    line = Image.new("RGB", (width, _TITLE_PX + _PANEL_PX + _GAP_PX), _PAPER)
    pen = ImageDraw.Draw(line)
    for number, (title, pixels, failed) in enumerate(panels):
        left = _GAP_PX + number * (_PANEL_PX + _GAP_PX)
        pen.text((left, 6), title, fill=_INK, font=load_font(21))
        shown = paint_outline(_enlarge(pixels), find_outline(_enlarge(lesion)))
        shown = draw_watermark(shown) if failed else shown
        line.paste(Image.fromarray(shown), (left, _TITLE_PX))
    return line


def _enlarge(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enlarge a picture smoothly; a mask keeps 0 and 255 alone."""
    size = (_PANEL_PX, _PANEL_PX)
    enlarged = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    return enlarged if pixels.ndim == 3 else (enlarged > 127).astype(np.uint8)


def _measure(
    attributions: Attributions, lesions: list[NDArray[np.uint8]], methods: list[MethodRecord]
) -> dict[str, float]:
    """Measure the mean share of evidence in the lesions, and that of the lesions in the image."""
    rows = [row for row, lesion in enumerate(lesions) if lesion.any()]
    if not rows:
        return {}
    shares = {"share of the image": float(np.mean([lesions[row] > 0 for row in rows]))}
    for method in methods:
        found = []
        for row in rows:
            evidence = attributions.maps[method.name][row].clip(min=0)
            total = float(evidence.sum())
            found.append(float(evidence[lesions[row] > 0].sum()) / total if total > 0 else 0.0)
        shares[method.title] = float(np.mean(found))
    return shares
