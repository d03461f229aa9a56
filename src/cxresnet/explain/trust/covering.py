"""Deletion and insertion: does the probability go with what the map says is important?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from cxresnet.explain.method import GREY

__all__ = ["CELLS_ALONG_SIDE", "Areas", "compute_areas", "compute_edges", "order_cells"]

CELLS_ALONG_SIDE = 8
"""A cell is an eighth of the side: about 4 cm of a film of 35 cm."""

_CELLS_A_STEP = 4
_BATCH = 64


@dataclass(frozen=True)
class Areas:
    """Areas under the curves of one order of cells, both 0 to 1.

    Attributes:
        deletion: Mean probability while cells are covered, most important first: lower is better.
        insertion: Mean probability while cells come back on a blurred film: higher is better.
    """

    deletion: float
    insertion: float


def order_cells(values: NDArray[np.floating], random: np.random.Generator) -> NDArray[np.intp]:
    """Order the cells of a map by their mean, highest first; equal cells by chance.

    Args:
        values: (row, column), signed; both sides at least `CELLS_ALONG_SIDE` px.
        random: For ties.

    Returns:
        (cell,), numbers of cells, row by row.
    """
    edges = [_find_edges(length)[:-1] for length in values.shape]
    sums = np.add.reduceat(np.add.reduceat(values.astype(np.float64), edges[0]), edges[1], axis=1)
    sizes = [np.diff(_find_edges(length)) for length in values.shape]
    means = (sums / np.outer(*sizes)).ravel()
    return np.lexsort((random.random(len(means)), -means))


def compute_edges(film: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Compute how strong the edges of a film are (Sobel): a map that knows no network."""
    grey = film.astype(np.float64)
    strength: NDArray[np.float64] = np.hypot(
        ndimage.sobel(grey, axis=0), ndimage.sobel(grey, axis=1)
    )
    return strength


def compute_areas(
    network: nn.Module, image: Tensor, target: int, *, orders: Sequence[NDArray[np.intp]]
) -> list[Areas]:
    """Compute the areas of several orders on one film.

    All orders cover the same cells, so that only their order differs: scattered single pixels
    would destroy a film faster than patches do, and chance would look better than it is.

    Args:
        network: From images to calibrated logits; in evaluation mode.
        image: (1, 1, row, column), normalised.
        target: Class whose probability is watched.
        orders: Each (cell,), most important first.

    References:
        Petsiuk 2018 (RISE), section 4.2. Deletion covers with the mean grey of the training films,
        insertion starts from the film blurred (sigma of one cell), which hides less abruptly.
    """
    places = torch.from_numpy(_number_cells(image.shape[-2], image.shape[-1]))
    grey = torch.full_like(image[0, 0], GREY)
    blurred = _blur(image)
    areas = []
    for order in orders:
        ranks = torch.from_numpy(np.argsort(order).copy())[places].to(image.device)
        deleted = _watch(network, image[0, 0], grey, ranks, target)
        inserted = _watch(network, blurred, image[0, 0], ranks, target)
        areas.append(Areas(deletion=deleted, insertion=inserted))
    return areas


def _watch(network: nn.Module, start: Tensor, end: Tensor, ranks: Tensor, target: int) -> float:
    """Go from one film to another, cell by cell; returns the mean probability on the way."""
    steps = range(0, CELLS_ALONG_SIDE**2 + 1, _CELLS_A_STEP)
    films = torch.stack([torch.where(ranks < step, end, start) for step in steps]).unsqueeze(1)
    with torch.no_grad():
        logits = torch.cat([network(batch) for batch in torch.split(films, _BATCH)])
    curve = logits.softmax(dim=1)[:, target].double().cpu().numpy()
    return float(np.trapezoid(curve) / (len(curve) - 1))


def _blur(image: Tensor) -> Tensor:
    sigma = image.shape[-1] / CELLS_ALONG_SIDE
    blurred = ndimage.gaussian_filter(image[0, 0].cpu().numpy(), sigma, mode="nearest")
    return torch.from_numpy(blurred).to(image)


def _find_edges(length: int) -> NDArray[np.intp]:
    return np.linspace(0, length, CELLS_ALONG_SIDE + 1).astype(np.intp)


def _number_cells(height: int, width: int) -> NDArray[np.int64]:
    """Number the cell of every pixel, (row, column)."""
    rows, columns = (
        np.repeat(np.arange(CELLS_ALONG_SIDE), np.diff(_find_edges(length)))
        for length in (height, width)
    )
    return (rows[:, None] * CELLS_ALONG_SIDE + columns[None, :]).astype(np.int64)
