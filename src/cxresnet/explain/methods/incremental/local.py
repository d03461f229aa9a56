"""What a patch can reach: windows that grow layer by layer, and everything else from memory.

Covering a patch changes each layer only in a window around it. The image as it is goes through the
first layers once; of each covered image only the windows are computed, cut out of the remembered
maps with the changed part laid in (Nakandala et al. 2019, Krypton). Windows are clipped to the map
so that all have one size and go through in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class LocalStep:
    """A layer of which each output looks at a small square of the input.

    Attributes:
        run: From crops (batch, channel, h, w) to outputs, without any padding.
        kernel_px: Side of the square.
        stride: Step from output to output.
        before: Rows that padding adds at the top, and columns at the left.
        repeats_edge: Padding repeats the edge; otherwise it is 0.
    """

    run: Callable[[Tensor], Tensor]
    kernel_px: int
    stride: int
    before: int
    repeats_edge: bool = False

    def precompute(self, features: Tensor) -> PrecomputedLayer:
        """Run the layer on a whole map, (1, channel, h, w), and keep what windows need of it."""
        height, width = (self._count_rows_after(size) for size in features.shape[2:])
        pads = (self.before, width, self.before, height)
        padded = functional.pad(
            features, pads, mode="replicate" if self.repeats_edge else "constant"
        )
        return PrecomputedLayer(self, padded, after=(height, width), out=self.run(padded))

    def _count_rows_after(self, size: int) -> int:
        """Count the rows that padding adds at the bottom: half the side is rounded up."""
        last = (-(-size // self.stride) - 1) * self.stride
        return max(0, last + self.kernel_px - self.before - size)


@dataclass(frozen=True, eq=False)
class PrecomputedLayer:
    """A layer with its input and output on the image as it is.

    Attributes:
        step: The layer.
        padded: Its input, (1, channel, H, W), padded.
        after: Rows and columns that padding added at the bottom and at the right.
        out: Its output, (1, channel, H, W).
    """

    step: LocalStep
    padded: Tensor
    after: tuple[int, int]
    out: Tensor


@dataclass(frozen=True, eq=False)
class Windows:
    """Changed parts of a map, one a covered image.

    Attributes:
        values: (batch, channel, h, w), channels last.
        places: Row and column of each window's corner in the map.
    """

    values: Tensor
    places: tuple[tuple[int, int], ...]

    def paste_into(self, maps: Tensor) -> None:
        """Lay each window into its own map, (batch, channel, H, W)."""
        height, width = self.values.shape[2:]
        for one, value, (row, column) in zip(maps, self.values, self.places, strict=True):
            one[:, row : row + height, column : column + width] = value

    def sum_of(self, whole: Tensor) -> Tensor:
        """Sum one map, (1, channel, H, W), over each window: (batch, channel)."""
        height, width = self.values.shape[2:]
        return torch.stack(
            [
                whole[0, :, row : row + height, column : column + width].sum(dim=(1, 2))
                for row, column in self.places
            ]
        )


def cut_windows(
    whole: Tensor, places: Sequence[tuple[int, int]], *, size: tuple[int, int]
) -> Tensor:
    """Cut windows out of one map, (1, channel, H, W): (batch, channel, h, w), channels last."""
    crops = torch.empty(
        (len(places), whole.shape[1], *size),
        dtype=whole.dtype,
        device=whole.device,
        memory_format=torch.channels_last,
    )
    for crop, (row, column) in zip(crops, places, strict=True):
        crop.copy_(whole[0, :, row : row + size[0], column : column + size[1]])
    return crops


def grow_windows(layer: PrecomputedLayer, windows: Windows) -> Windows:
    """Take windows through one layer.

    Args:
        layer: As it is on the image as it is.
        windows: What has changed in its input.

    Returns:
        What changes in its output; all that can, and perhaps a rim that does not.
    """
    step = layer.step
    size, places = _find_reach(layer, windows)
    corners = [(row * step.stride, column * step.stride) for row, column in places]
    in_size = tuple((side - 1) * step.stride + step.kernel_px for side in size)
    crops = cut_windows(layer.padded, corners, size=(in_size[0], in_size[1]))
    for crop, value, corner, place in zip(
        crops, windows.values, corners, windows.places, strict=True
    ):
        top, left = (at + step.before - edge for at, edge in zip(place, corner, strict=True))
        lay_in(crop, value, place=(top, left))
    if step.repeats_edge:
        _repeat_edges(layer, crops, corners)
    return Windows(step.run(crops), places)


def _find_reach(
    layer: PrecomputedLayer, windows: Windows
) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Find size and places of the windows of the output that changed windows can reach."""
    step, whole = layer.step, layer.out.shape[2:]
    size = tuple(
        min((side + step.kernel_px - 2) // step.stride + 1, room)
        for side, room in zip(windows.values.shape[2:], whole, strict=True)
    )

    def find_first(at: int, side: int, room: int) -> int:
        first = -((step.kernel_px - 1 - step.before - at) // step.stride)
        return min(max(first, 0), room - side)

    places = tuple(
        (find_first(row, size[0], whole[0]), find_first(column, size[1], whole[1]))
        for row, column in windows.places
    )
    return size, places


def lay_in(crop: Tensor, value: Tensor, *, place: tuple[int, int]) -> None:
    """Lay a window into a crop at a place that may lie partly outside."""
    slices_in, slices_of = [], []
    for at, side, room in zip(place, value.shape[1:], crop.shape[1:], strict=True):
        first, last = max(at, 0), min(at + side, room)
        slices_in.append(slice(first, last))
        slices_of.append(slice(first - at, last - at))
    crop[:, slices_in[0], slices_in[1]] = value[:, slices_of[0], slices_of[1]]


def _repeat_edges(
    layer: PrecomputedLayer, crops: Tensor, corners: Sequence[tuple[int, int]]
) -> None:
    """Repeat the map's edge outwards again, where a crop reaches over it (by one pixel)."""
    before, (below, right) = layer.step.before, layer.after
    height, width = crops.shape[2:]
    whole_height, whole_width = layer.padded.shape[2:]
    for crop, (row, column) in zip(crops, corners, strict=True):
        if row < before:
            crop[:, 0] = crop[:, 1]
        if below and row + height == whole_height:
            crop[:, -1] = crop[:, -2]
        if column < before:
            crop[:, :, 0] = crop[:, :, 1]
        if right and column + width == whole_width:
            crop[:, :, -1] = crop[:, :, -2]
