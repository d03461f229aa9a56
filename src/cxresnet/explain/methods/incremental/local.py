"""What a patch can reach: windows that grow layer by layer, and everything else from memory.

Covering a patch changes each layer only in a window around it. The image as it is goes through the
first layers once; of each covered image only the windows are computed, cut out of the remembered
maps with the changed part laid in (Nakandala et al. 2019, Krypton). Windows are clipped to the map
so that all have one size and go through in one batch.
"""

from __future__ import annotations

from collections.abc import Callable
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
        places: Row and column of each window's corner in the map, (batch, 2), int64.
    """

    values: Tensor
    places: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every window."""
        return self.values.shape[2], self.values.shape[3]

    def paste_into(self, maps: Tensor) -> None:
        """Lay each window into its own map, (batch, channel, H, W)."""
        rows, columns = list_pixels(self.places, self.size)
        number = torch.arange(len(maps), device=maps.device)[:, None, None]
        _channels_last(maps)[number, rows, columns] = _channels_last(self.values)

    def sum_of(self, whole: Tensor) -> Tensor:
        """Sum one map, (1, channel, H, W), over each window: (batch, channel)."""
        return cut_windows(whole, self.places, size=self.size).sum(dim=(2, 3))


def _channels_last(maps: Tensor) -> Tensor:
    """View maps, (batch, channel, h, w), as (batch, h, w, channel)."""
    return maps.permute(0, 2, 3, 1)


def cut_windows(
    whole: Tensor, places: Tensor, *, size: tuple[int, int], over: Windows | None = None
) -> Tensor:
    """Cut windows out of one map: (batch, channel, h, w), channels last.

    Args:
        whole: (1, channel, H, W).
        places: Corners of the windows, (batch, 2).
        size: Height and width of all windows.
        over: Changed parts of the map, one a window, which count instead of the map. They may lie
            partly outside of the windows.
    """
    return _gather(whole, *list_pixels(places, size), over=over)


def _gather(whole: Tensor, rows: Tensor, columns: Tensor, *, over: Windows | None) -> Tensor:
    """Gather pixels of a map, each image's own: (batch, channel, h, w), channels last.

    Args:
        whole: (1, channel, H, W).
        rows: Of the pixels, (batch, h, 1).
        columns: Of the pixels, (batch, 1, w).
        over: Changed parts of the map, one an image, which count instead of it.
    """
    count = whole.shape[1]
    pixels = _channels_last(whole).reshape(-1, count)
    numbers = rows * whole.shape[3] + columns
    if over is not None:
        height, width = over.size
        top, left = _spread(over.places)
        number = torch.arange(len(rows), device=rows.device)[:, None, None]
        changed = (number * height + rows - top) * width + columns - left
        inside = find_inside(
            rows, columns, corners=over.places, sides=over.places.new_tensor([[height, width]])
        )
        numbers = torch.where(inside, len(pixels) + changed, numbers)
        pixels = torch.cat([pixels, _channels_last(over.values).reshape(-1, count)])
    found = pixels.index_select(0, numbers.flatten())
    return found.reshape(*numbers.shape, count).permute(0, 3, 1, 2)


def list_pixels(places: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """List the rows, (batch, h, 1), and the columns, (batch, 1, w), of windows."""
    rows, columns = (torch.arange(side, device=places.device) for side in size)
    top, left = _spread(places)
    return top + rows[:, None], left + columns


def find_inside(rows: Tensor, columns: Tensor, *, corners: Tensor, sides: Tensor) -> Tensor:
    """Find the pixels that lie in a rectangle, one an image: (batch, h, w), bool.

    Args:
        rows: (batch, h, 1).
        columns: (batch, 1, w).
        corners: Row and column of the rectangles' corners, (batch, 2).
        sides: Their heights and widths, (batch, 2), or (1, 2) where all are of one size.
    """
    (top, left), (below, right) = _spread(corners), _spread(corners + sides)
    return (rows >= top) & (rows < below) & (columns >= left) & (columns < right)


def _spread(places: Tensor) -> tuple[Tensor, Tensor]:
    """Split rows and columns, (batch, 2), each to be used beside pixels: (batch, 1, 1)."""
    return places[:, 0, None, None], places[:, 1, None, None]


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
    in_size = tuple((side - 1) * step.stride + step.kernel_px for side in size)
    pixels = list_pixels(places * step.stride, (in_size[0], in_size[1]))
    if step.repeats_edge:
        # What padding repeats is looked up where it comes from, which may have changed.
        pixels = (
            pixels[0].clamp(step.before, layer.padded.shape[2] - layer.after[0] - 1),
            pixels[1].clamp(step.before, layer.padded.shape[3] - layer.after[1] - 1),
        )
    padded = Windows(windows.values, windows.places + step.before)
    return Windows(step.run(_gather(layer.padded, *pixels, over=padded)), places)


def _find_reach(layer: PrecomputedLayer, windows: Windows) -> tuple[tuple[int, int], Tensor]:
    """Find size and places of the windows of the output that changed windows can reach."""
    step, (height, width) = layer.step, layer.out.shape[2:]
    size = tuple(
        min((side + step.kernel_px - 2) // step.stride + 1, room)
        for side, room in zip(windows.size, (height, width), strict=True)
    )
    first = -((step.kernel_px - 1 - step.before - windows.places) // step.stride)
    last = first.new_tensor([height - size[0], width - size[1]])
    return (size[0], size[1]), torch.minimum(first.clamp(min=0), last)
