"""Deletion and insertion: worked out by hand on a network that looks at one cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxresnet.explain.sanity import deletion_insertion
from cxresnet.explain.sanity.check import SanityImages
from cxresnet.explain.sanity.deletion_insertion import (
    compute_areas,
    compute_edges,
    measure_deletion_insertion,
    order_cells,
)

CELL = 4


class OneCellNetwork(nn.Module):
    """Class 1 is certain where the first of 8 × 8 cells is bright, and as likely as not if grey."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images[:, 0, :CELL, :CELL].mean(dim=(1, 2))
        return torch.stack([torch.zeros_like(mean), 1000 * mean], dim=1)


@pytest.fixture
def image() -> Tensor:
    return torch.ones(1, 1, 8 * CELL, 8 * CELL)


def test_cells_are_ordered_by_their_mean() -> None:
    values = np.zeros((32, 32))
    values[4:8, 28:32] = 0.5
    values[0, 0] = 1.0  # mean of its cell: 1 / 16
    order = order_cells(values, np.random.default_rng(0))
    assert order[:2].tolist() == [1 * 8 + 7, 0]
    assert sorted(order) == list(range(64))


def test_equal_cells_come_by_chance() -> None:
    first, second = (order_cells(np.zeros((32, 32)), np.random.default_rng(n)) for n in (0, 1))
    assert first.tolist() != second.tolist()


def test_sides_that_are_no_multiple_of_eight_have_cells_too() -> None:
    assert len(order_cells(np.zeros((33, 47)), np.random.default_rng(0))) == 64


def test_cells_are_numbered_row_by_row() -> None:
    cells = deletion_insertion._number_cells(16, 24)
    assert cells.shape == (16, 24)
    assert cells[0, [0, 3, 23]].tolist() == [0, 1, 7]
    assert cells[[2, 15], 0].tolist() == [8, 56]


def test_covering_the_one_cell_first_costs_at_once(image: Tensor) -> None:
    forwards, backwards = np.arange(64), np.arange(64)[::-1]
    first, last = compute_areas(OneCellNetwork(), image, 1, orders=[forwards, backwards])
    # 16 steps of 4 cells. First: 1 at the start, 0.5 at the 16 others; trapezoids give
    # (0.75 + 15 * 0.5) / 16. Last: 1 until only the last step: (15 + 0.75) / 16.
    assert first.deletion == pytest.approx((0.75 + 15 * 0.5) / 16, abs=1e-6)
    assert last.deletion == pytest.approx((15 + 0.75) / 16, abs=1e-6)


def test_showing_starts_from_the_blurred_image() -> None:
    image = torch.full((1, 1, 32, 32), -1.0)
    image[..., :CELL, :CELL] = 1.0
    forwards, backwards = np.arange(64), np.arange(64)[::-1]
    first, last = compute_areas(OneCellNetwork(), image, 1, orders=[forwards, backwards])
    # Blurred, the cell sinks into its dark surroundings: 0 until it is shown, then 1.
    assert first.insertion == pytest.approx(15.5 / 16, abs=1e-6)
    assert last.insertion == pytest.approx(0.5 / 16, abs=1e-6)


def test_edges_are_where_the_image_changes() -> None:
    image = np.zeros((16, 16), np.uint8)
    image[:, 8:] = 200
    edges = compute_edges(image)
    assert (edges[:, 7:9] > 0).all()
    assert not edges[:, :6].any()


def test_each_map_is_compared_with_edges_and_with_random_order() -> None:
    class OneCell(nn.Module):
        """Class 1 is certain where the first of 8 × 8 cells is bright, else as likely as not."""

        def forward(self, images: Tensor) -> Tensor:
            mean = images[:, 0, :4, :4].mean(dim=(1, 2))
            return torch.stack([torch.zeros_like(mean), 1000 * mean], dim=1)

    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32)).astype(np.uint8)
    pixels[:, :6, :6] = 128  # no edge in the first cell, so it comes last in their order
    empty = np.zeros_like(pixels)
    sample = SanityImages(
        pixels=pixels,
        images=torch.ones(2, 1, 32, 32),
        targets=(1, 1),
        truth=(0, 0),
        lung_masks=empty,
        lesion_masks=empty,
        grey_level=1 / 255,
    )
    best = np.zeros((2, 32, 32), np.float32)
    best[:, :4, :4] = 1
    found = measure_deletion_insertion(
        OneCell().eval(), sample, maps={"best": best, "worst": -best}, seed=0
    )
    # By hand, in 16 steps of 4 cells: the area is (0.75 + 15 / 2) / 16 if the first cell is
    # covered at once, and (15 + 0.75) / 16 if it is covered last.
    most = (15 - 15 / 2) / 16
    np.testing.assert_allclose(found["best"].deletion["edges"], [most, most], atol=1e-6)
    np.testing.assert_allclose(found["worst"].deletion["edges"], [0, 0], atol=1e-6)
    assert (
        (found["best"].deletion["random"] > 0) & (found["best"].deletion["random"] < most)
    ).all()
    assert (found["worst"].deletion["random"] < 0).all()
    # A constant image is its own blurred image: nothing can be gained by showing it.
    np.testing.assert_allclose(found["best"].insertion["edges"], [0, 0], atol=1e-6)
