"""Deletion and insertion: does the probability follow the order of importance in the map?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from cxresnet.core.seeding import build_generator
from cxresnet.explain.methods.method import GREY, AbstractMethod
from cxresnet.explain.sanity.check import (
    Maps,
    SanityCheck,
    SanityExperiment,
    SanityImages,
    Values,
    get_low,
    grade_by_worst,
    register_check,
)
from cxresnet.explain.sanity.record import SanityMeasure, TestResult
from cxresnet.explain.workers import map_calls
from cxresnet.metrics.bootstrap import estimate_mean
from cxresnet.model.folding import Step
from cxresnet.predict.decision import fold_for_inference

CELLS_ALONG_SIDE = 8
"""A cell is an eighth of the side: about 4 cm of an image of 35 cm."""

_CELLS_A_STEP = 4
_RANDOM_ORDERS = 4
_BATCH = 64
_IMAGES = 6
"""Images of one call, which may be made in another process."""


@register_check(
    SanityCheck(
        test="deletion",
        title="Deletion",
        question="Does the probability fall faster when cells are covered in the order of the map?",
        passes="Faster than in random order and than in the order of the image's edges (the "
        "intervals of both paired differences lie above 0).",
        reason="Neither reference order depends on the network; a map that is no better carries "
        "no information about it.",
        source="Petsiuk 2018 (RISE); Adebayo 2018 (edge detector)",
    )
)
def check_deletion(experiment: SanityExperiment, method: AbstractMethod) -> TestResult:
    """Check that covering what the map marks lowers the probability."""
    advantages = experiment.once(_measure_experiment)[method.name]
    return grade_deletion_insertion("deletion", advantages.deletion)


@register_check(
    SanityCheck(
        test="insertion",
        title="Insertion",
        question="Does the probability rise faster when cells are revealed on a blurred image in "
        "the order of the map?",
        passes="As for deletion, with both intervals above 0.",
        reason="As for deletion; covered and blurred images mislead a network in different ways.",
        source="Petsiuk 2018 (RISE)",
    )
)
def check_insertion(experiment: SanityExperiment, method: AbstractMethod) -> TestResult:
    """Check that revealing what the map marks raises the probability."""
    advantages = experiment.once(_measure_experiment)[method.name]
    return grade_deletion_insertion("insertion", advantages.insertion)


def _measure_experiment(experiment: SanityExperiment) -> dict[str, DeletionInsertion]:
    return measure_deletion_insertion(
        experiment.network, experiment.sample, maps=experiment.maps, seed=experiment.seed
    )


def grade_deletion_insertion(test: str, advantages: dict[str, Values]) -> TestResult:
    """Grade deletion or insertion by the advantage over each reference order, above 0 is better."""
    measures = [
        SanityMeasure(
            name=f"against {_REFERENCE_ORDERS[reference_order]}",
            estimate=estimate_mean(values, scale="difference"),
        )
        for reference_order, values in advantages.items()
    ]
    return grade_by_worst(
        test,
        measures,
        margin=lambda measure: get_low(measure.estimate),
        sentence="Advantage in mean probability {name}: {estimate}.",
        signed=True,
    )


_REFERENCE_ORDERS = {"random": "random order", "edges": "the image's edges"}


@dataclass(frozen=True, eq=False)
class DeletionInsertion:
    """Advantage of a map's order over reference orders, (image,) each; above 0 is better.

    Attributes:
        deletion: By reference order, "random" and "edges": its area minus the map's.
        insertion: By reference order: the map's area minus its area.
    """

    deletion: dict[str, Values]
    insertion: dict[str, Values]


def measure_deletion_insertion(
    network: nn.Module, sample: SanityImages, *, maps: dict[str, Maps], seed: int
) -> dict[str, DeletionInsertion]:
    """Measure how much better each map's order is than random order and the image's edges."""
    calls = [
        (
            network,
            sample.images[rows],
            sample.pixels[rows],
            sample.targets[rows],
            {name: values[rows] for name, values in maps.items()},
            range(len(sample))[rows],
            seed,
        )
        for rows in (slice(first, first + _IMAGES) for first in range(0, len(sample), _IMAGES))
    ]
    parts = map_calls(_measure_some, calls, "Deletion and insertion")
    return {name: _compare([row for part in parts for row in part[name]]) for name in maps}


def _measure_some(
    network: nn.Module,
    images: Tensor,
    pixels: NDArray[np.uint8],
    targets: Sequence[int],
    maps: dict[str, Maps],
    rows: Sequence[int],
    seed: int,
) -> dict[str, list[dict[str, Areas]]]:
    """Measure the areas of some images, which are those of `rows` in the sample."""
    areas: dict[str, list[dict[str, Areas]]] = {name: [] for name in maps}
    folded = fold_for_inference(network)
    for row, number in enumerate(rows):
        random = build_generator(seed, "trust covering", number)
        orders = [random.permutation(CELLS_ALONG_SIDE**2) for _ in range(_RANDOM_ORDERS)]
        edges = order_cells(compute_edges(pixels[row]), random)
        ours = [order_cells(values[row], random) for values in maps.values()]
        found = compute_areas(
            folded,
            images[row : row + 1],
            targets[row],
            orders=[edges, *orders, *ours],
        )
        reference_orders = {"edges": found[0], "random": _mean_areas(found[1 : 1 + _RANDOM_ORDERS])}
        for name, area in zip(maps, found[1 + _RANDOM_ORDERS :], strict=True):
            areas[name].append({"map": area} | reference_orders)
    return areas


def _mean_areas(areas: list[Areas]) -> Areas:
    return Areas(
        deletion=float(np.mean([area.deletion for area in areas])),
        insertion=float(np.mean([area.insertion for area in areas])),
    )


def _compare(rows: list[dict[str, Areas]]) -> DeletionInsertion:
    reference_orders = ("random", "edges")
    return DeletionInsertion(
        deletion={
            reference_order: np.array(
                [row[reference_order].deletion - row["map"].deletion for row in rows]
            )
            for reference_order in reference_orders
        },
        insertion={
            reference_order: np.array(
                [row["map"].insertion - row[reference_order].insertion for row in rows]
            )
            for reference_order in reference_orders
        },
    )


@dataclass(frozen=True)
class Areas:
    """Areas under the curves of one order of cells, both 0 to 1.

    Attributes:
        deletion: Mean probability while cells are covered, most important first: lower is better.
        insertion: Mean probability while cells are revealed on a blurred image: higher is better.
    """

    deletion: float
    insertion: float


def order_cells(values: NDArray[np.floating], random: np.random.Generator) -> NDArray[np.intp]:
    """Order the cells of a map by their mean, highest first; ties at random.

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


def compute_edges(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Compute the strength of the edges of an image (Sobel): a map that ignores the network."""
    grey = image.astype(np.float64)
    strength: NDArray[np.float64] = np.hypot(
        ndimage.sobel(grey, axis=0), ndimage.sobel(grey, axis=1)
    )
    return strength


def compute_areas(
    network: Step, image: Tensor, target: int, *, orders: Sequence[NDArray[np.intp]]
) -> list[Areas]:
    """Compute the areas of several orders on one image.

    All orders use the same cells, so that only the order differs: scattered single pixels would
    destroy an image faster than patches do, and random order would look better than it is.

    Args:
        network: From images to calibrated logits; in evaluation mode.
        image: (1, 1, row, column), normalised.
        target: Class whose probability is measured.
        orders: Each (cell,), most important first.

    References:
        Petsiuk 2018 (RISE), section 4.2. Deletion covers with the mean grey of the training images,
        insertion starts from the blurred image (sigma of one cell), which hides less abruptly.
    """
    places = torch.from_numpy(_number_cells(image.shape[-2], image.shape[-1]))
    grey = torch.full_like(image[0, 0], GREY)
    blurred = _blur(image)
    areas = []
    for order in orders:
        ranks = torch.from_numpy(np.argsort(order).copy())[places].to(image.device)
        deleted = _measure_mean_probability(network, image[0, 0], grey, ranks, target)
        inserted = _measure_mean_probability(network, blurred, image[0, 0], ranks, target)
        areas.append(Areas(deletion=deleted, insertion=inserted))
    return areas


def _measure_mean_probability(
    network: Step, start: Tensor, end: Tensor, ranks: Tensor, target: int
) -> float:
    """Replace one image by another, cell by cell; returns the mean probability along the way."""
    steps = range(0, CELLS_ALONG_SIDE**2 + 1, _CELLS_A_STEP)
    images = torch.stack([torch.where(ranks < step, end, start) for step in steps]).unsqueeze(1)
    with torch.no_grad():
        logits = torch.cat([network(batch) for batch in torch.split(images, _BATCH)])
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
