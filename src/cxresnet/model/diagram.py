"""The diagram of a network, from the image down to the classes.

On the left are the maps (fewer sheets than channels), in the middle the blocks and their shortcuts,
on the right what each stage is and costs; below is one block in detail (`block_diagram.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cxresnet import DISCLAIMER
from cxresnet.model.block_diagram import Sheet, draw_block
from cxresnet.model.blocks import Shortcut, get_block
from cxresnet.model.resnet import CXResNet
from cxresnet.model.summary import LayerRow, Totals, compute_totals, summarise_model

_WIDTH = 480
_MAP_X, _FLOW_X, _TEXT_X = 58, 172, 262
_BLOCK_WIDTH, _BLOCK_HEIGHT, _PITCH = 116, 32, 70
_ROW = 140
_LARGEST_MAP = 62
_BAR_WIDTH = 200
_MOST_BLOCKS = 4
_MOST_CLASSES = 8
_MOST_LETTERS = 26

_STEM_WORDS = {
    "flat": ("3×3 convolution",),
    "pool": ("3×3 convolution", "max pool"),
    "classic": ("7×7 convolution", "max pool"),
    "deep": ("three 3×3", "max pool"),
}


def draw_architecture(
    model: CXResNet, *, side_px: int, class_names: Sequence[str] | None = None
) -> str:
    """Draw a network.

    Args:
        model: Any network of ours; is not changed.
        side_px: Side of a square image.
        class_names: In the order of the logits; "class 1" and so on if not given.

    Returns:
        One SVG of 480 units' width, for 360 px and wider, light and dark by the reader's setting.
        Needs nothing from outside and runs nothing, so it can stand in a page or alone.
    """
    names = class_names or [f"class {number}" for number in range(1, model.class_count + 1)]
    rows = summarise_model(model, side_px=side_px)
    totals = compute_totals(rows)
    sheet = Sheet(width=_WIDTH)
    y = _draw_heading(sheet, totals, side_px=side_px, class_count=len(names))
    y = _draw_image(sheet, y, side_px=side_px)
    y = _draw_stem(sheet, y, model, rows, totals, side_px=side_px)
    for number in range(1, len(model.stages) + 1):
        stage_rows = [row for row in rows if row.layer.startswith(f"stage{number}.")]
        y = _draw_stage(sheet, y, model, stage_rows, totals, number=number, side_px=side_px)
    y = _draw_head(sheet, y, model, names)
    y = draw_block(sheet, y + 34, model)
    sheet.write(_WIDTH / 2, y + 32, DISCLAIMER, style="quiet", anchor="middle")
    return sheet.to_svg(
        y + 48,
        title=f"Architecture of the network for images of {side_px} × {side_px} px",
        description=_describe(model, rows, names),
    )


def _draw_heading(sheet: Sheet, totals: Totals, *, side_px: int, class_count: int) -> float:
    sheet.write(20, 38, "From an image to its classes", style="title")
    sheet.write(
        20,
        62,
        f"{_format_count(totals.parameters)} parameters · "
        f"{_format_count(totals.multiply_adds)} multiply-adds per image",
        style="quiet",
    )
    sheet.write(20, 82, f"{side_px} × {side_px} px · {class_count} classes", style="quiet")
    return 104


def _draw_image(sheet: Sheet, y: float, *, side_px: int) -> float:
    """Draw a chest X-ray in a few strokes, and what goes in."""
    size, left = 92, _FLOW_X - 46
    sheet.box(left, y, size, size, style="image", radius=3)
    x = left
    sheet.path(f"M{x + 8} {y + 88}q4 -62 24 -70h28q20 8 24 70z", style="tissue")
    sheet.path(f"M{x + 41} {y + 24}q-18 6 -22 50q12 -6 22 0z", style="lung")
    sheet.path(f"M{x + 51} {y + 24}q18 6 22 50q-8 -4 -14 -3q2 -16 -8 -22z", style="lung")
    for step in range(4):
        top = y + 34 + 10 * step
        bend = f"M{x + 40} {top}q-14 -5 -{17 + 1.5 * step:g} 6"
        sheet.path(f"{bend}M{x + 52} {top}q14 -5 {17 + 1.5 * step:g} 6", style="bone")
    sheet.write(_TEXT_X, y + 34, "Image", style="strong")
    sheet.write(_TEXT_X, y + 55, f"{side_px} × {side_px} px, one channel", style="quiet")
    sheet.write(_TEXT_X, y + 75, "grey levels, standardised", style="quiet")
    sheet.arrow(_FLOW_X, y + size + 4, y + size + 28)
    return y + size + 28


def _draw_stem(
    sheet: Sheet,
    y: float,
    model: CXResNet,
    rows: Sequence[LayerRow],
    totals: Totals,
    *,
    side_px: int,
) -> float:
    stem_rows = [row for row in rows if row.layer.startswith("stem.")]
    words = list(_STEM_WORDS[model.architecture.stem])
    if any(row.layer == "stem.blur" for row in stem_rows):
        words.append("blur")
    sheet.box(_FLOW_X - _BLOCK_WIDTH / 2, y, _BLOCK_WIDTH, 60, style="block")
    sheet.write(_FLOW_X, y + 36, "Stem", style="strong", anchor="middle")
    _draw_map(sheet, y + 30, stem_rows[-1], side_px=side_px)
    heading = ("Stem", ", ".join(words))
    _write_costs(sheet, y - 6, heading, stem_rows, totals, side_px=side_px)
    sheet.arrow(_FLOW_X, y + 64, y + _ROW)
    return y + _ROW


def _draw_stage(
    sheet: Sheet,
    y: float,
    model: CXResNet,
    rows: Sequence[LayerRow],
    totals: Totals,
    *,
    number: int,
    side_px: int,
) -> float:
    """Draw the blocks of a stage one under the other, each with its shortcut around it."""
    labels = _label_blocks(model, count=len(rows))
    block = model.get_submodule(f"stages.stage{number}.block1")
    has_arcs = any(isinstance(part, Shortcut) for part in block.children())
    for index, label in enumerate(labels):
        top = y + index * _PITCH
        if index:
            sheet.path(f"M{_FLOW_X} {top - 20}v20", style="line")
        sheet.box(_FLOW_X - _BLOCK_WIDTH / 2, top, _BLOCK_WIDTH, _BLOCK_HEIGHT, style="block")
        sheet.write(_FLOW_X, top + 21, label, anchor="middle")
        if has_arcs:
            changes = index == 0 and _changes_shape(model, number=number)
            _draw_arc(sheet, top, dashed=changes)
    if number > 1:
        sheet.write(_FLOW_X - 8, y - 14, "half the side", style="quiet", anchor="end")
    words = "block" if len(rows) == 1 else "blocks"
    heading = (f"Stage {number}", f"{len(rows)} {model.architecture.block} {words}")
    height = len(labels) * _PITCH
    # The text and the map stand beside the middle of the blocks.
    middle = y + (height - _PITCH + _BLOCK_HEIGHT) / 2
    _draw_map(sheet, max(middle, y + 24), rows[-1], side_px=side_px)
    _write_costs(sheet, max(middle - 52, y - 18), heading, rows, totals, side_px=side_px)
    bottom = y + height - _PITCH + _BLOCK_HEIGHT + (18 if has_arcs else 0)
    end = y + max(height + 24, _ROW)
    sheet.arrow(_FLOW_X, bottom + 2, end)
    return end


def _label_blocks(model: CXResNet, *, count: int) -> list[str]:
    """Name each block that is drawn; of many, the middle ones become one "… more"."""
    word = get_block(model.architecture.block).label
    if count <= _MOST_BLOCKS:
        return [word] * count
    return [word, word, f"{count - 3} more", word]


def _changes_shape(model: CXResNet, *, number: int) -> bool:
    widths = (model.architecture.stem_width, *model.architecture.widths)
    return number > 1 or widths[0] != widths[1]


def _draw_arc(sheet: Sheet, top: float, *, dashed: bool) -> None:
    right, bottom = _FLOW_X + 74, top + _BLOCK_HEIGHT + 18
    way = f"M{_FLOW_X} {top - 12}H{right - 8}q8 0 8 8V{bottom - 8}q0 8 -8 8H{_FLOW_X + 9}"
    sheet.path(way, style="arc dashed" if dashed else "arc")
    sheet.path(f"M{_FLOW_X} {top + _BLOCK_HEIGHT}v9", style="line")
    sheet.plus(_FLOW_X, bottom)


def _draw_map(sheet: Sheet, middle: float, row: LayerRow, *, side_px: int) -> None:
    """Draw a map as a pile of sheets: their side by its root, their number by its logarithm."""
    channels, height, width = row.output_shape
    side = max(8.0, _LARGEST_MAP * math.sqrt(height / side_px))
    count = max(1, round(math.log2(channels)) - 2)
    spread = (count - 1) * 3.5
    left, top = _MAP_X - (side + spread) / 2, middle - (side + spread) / 2 - 8
    for index in range(count):
        offset = index * 3.5
        sheet.box(left + offset, top + offset, side, side, style="map", radius=2)
    below = top + side + spread + 19
    sheet.write(_MAP_X, below, f"{channels} maps", style="quiet", anchor="middle")
    sheet.write(_MAP_X, below + 17, f"{width} × {height}", style="quiet", anchor="middle")


def _write_costs(
    sheet: Sheet,
    y: float,
    heading: tuple[str, str],
    rows: Sequence[LayerRow],
    totals: Totals,
    *,
    side_px: int,
) -> None:
    """Write what a part is, what it sees, and its share of all parameters and multiply-adds."""
    own = compute_totals(rows)
    window = rows[-1].receptive_field_px or side_px
    seen = "the whole image" if window >= side_px else f"{window} × {window} px"
    sheet.write(_TEXT_X, y + 10, heading[0], style="strong")
    sheet.write(_TEXT_X, y + 30, heading[1], style="quiet")
    sheet.write(_TEXT_X, y + 49, f"sees {seen}", style="quiet")
    costs = (
        (own.parameters, totals.parameters, "parameters"),
        (own.multiply_adds, totals.multiply_adds, "multiply-adds"),
    )
    for index, (part, whole, unit) in enumerate(costs):
        top = y + 69 + 28 * index
        sheet.write(_TEXT_X, top, f"{_format_count(part)} {unit}", style="quiet")
        sheet.box(_TEXT_X, top + 6, _BAR_WIDTH, 4, style="track", radius=2)
        sheet.box(_TEXT_X, top + 6, max(2, _BAR_WIDTH * part / whole), 4, style="bar", radius=2)


def _draw_head(sheet: Sheet, y: float, model: CXResNet, names: Sequence[str]) -> float:
    width = model.architecture.widths[-1]
    sheet.box(_FLOW_X - _BLOCK_WIDTH / 2, y, _BLOCK_WIDTH, 32, style="block")
    sheet.write(_FLOW_X, y + 21, "Mean", anchor="middle")
    sheet.write(_TEXT_X, y + 14, "Mean over all places", style="strong")
    sheet.write(_TEXT_X, y + 33, f"{width} numbers per image", style="quiet")
    sheet.arrow(_FLOW_X, y + 36, y + 66)
    sheet.box(_FLOW_X - _BLOCK_WIDTH / 2, y + 66, _BLOCK_WIDTH, 32, style="block")
    sheet.write(_FLOW_X, y + 87, "Head", anchor="middle")
    sheet.write(_TEXT_X, y + 80, "Linear head", style="strong")
    sheet.write(_TEXT_X, y + 99, f"{len(names)} logits, one per class", style="quiet")
    sheet.arrow(_FLOW_X, y + 102, y + 132)
    return _write_classes(sheet, y + 132, names)


def _write_classes(sheet: Sheet, y: float, names: Sequence[str]) -> float:
    shown = [_shorten(name) for name in names[:_MOST_CLASSES]]
    if len(names) > _MOST_CLASSES:
        shown.append(f"{len(names) - _MOST_CLASSES} more")
    for index, name in enumerate(shown):
        top = y + 30 * index
        sheet.box(_FLOW_X - 110, top, 220, 25, style="map", radius=12)
        sheet.write(_FLOW_X, top + 18, name, anchor="middle")
    return y + 30 * len(shown)


def _shorten(name: str) -> str:
    return name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…"


def _format_count(count: int) -> str:
    """Write a large count with three digits: 611043 → "611 k"."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def _describe(model: CXResNet, rows: Sequence[LayerRow], names: Sequence[str]) -> str:
    architecture = model.architecture
    stages = ", ".join(
        f"stage {number}: {depth} {architecture.block} of {width} channels"
        for number, (width, depth) in enumerate(
            zip(architecture.widths, architecture.depths, strict=True), start=1
        )
    )
    parameters = _format_count(compute_totals(rows).parameters)
    return (
        f"An image goes through a {architecture.stem} stem, then {stages}, then a mean over all "
        f"places and a linear head with {len(names)} classes ({', '.join(names)}). "
        f"{parameters} parameters. {DISCLAIMER}"
    )
