"""From films and methods to maps: film by film, so that memory does not grow with them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxresnet import __version__
from cxresnet.core.progress import track
from cxresnet.explain.cache import KnownMap, MapCache
from cxresnet.explain.method import AbstractMethod, compute_target_probabilities
from cxresnet.explain.overlay import compute_own_scale_limit
from cxresnet.explain.record import MethodRecord

__all__ = ["FilmMaps", "describe_method", "explain_films", "list_versions"]

_SHARED_UNITS = {"change of probability", "probability per pixel"}


@dataclass(frozen=True, eq=False)
class FilmMaps:
    """Maps of films, and where those that add up start.

    Attributes:
        maps: For each method (film, row, column), float32, signed, in the method's unit.
        spreads: For each method that was asked in several ways, the same shape, at least 0.
        baseline_probabilities: For each method that adds up, (film,).
        left_over: For each method that adds up, (film,): p(film) - p(baseline) - sum of the map.
    """

    maps: Mapping[str, NDArray[np.float32]]
    spreads: Mapping[str, NDArray[np.float32]]
    baseline_probabilities: Mapping[str, NDArray[np.float64]]
    left_over: Mapping[str, NDArray[np.float64]]

    def describe_sums(self, row: int) -> dict[str, dict[str, float]]:
        """Say of one film where the maps that add up start, and what they leave over."""
        return {
            "baseline_probabilities": _take(self.baseline_probabilities, row),
            "left_over": _take(self.left_over, row),
        }


def _take(values: Mapping[str, NDArray[np.float64]], row: int) -> dict[str, float]:
    return {name: float(each[row]) for name, each in values.items()}


def explain_films(
    network: nn.Module,
    images: Tensor,
    *,
    methods: Sequence[AbstractMethod],
    targets: Sequence[int],
    lung_masks: NDArray[np.uint8],
    cache: MapCache | None = None,
) -> FilmMaps:
    """Compute every map of every film.

    Args:
        network: From images to calibrated logits; in evaluation mode.
        images: (film, 1, height, width), float32, normalised.
        methods: What to compute.
        targets: The class explained, for each film.
        lung_masks: (film, height, width), above 0 in the lungs; empty where not known.
        cache: Of maps that are known already; every new one is kept at once, so that a run that
            is stopped loses the map it was at, and nothing else.
    """
    count, shape = len(images), (len(images), *images.shape[-2:])
    maps = {method.name: np.zeros(shape, np.float32) for method in methods}
    spreads: dict[str, NDArray[np.float32]] = {}
    starts = {method.name: np.zeros(count) for method in methods if method.adds_up}
    left_over = {name: np.zeros(count) for name in starts}
    steps = [(row, method) for row in range(count) for method in methods]
    for row, method in track(steps, "Explaining films"):
        image = images[row : row + 1]
        target = torch.tensor([targets[row]], device=images.device)
        lungs = torch.from_numpy(lung_masks[row : row + 1] > 0).to(images.device)
        known = _explain_film(network, image, target, method=method, lungs=lungs, cache=cache)
        maps[method.name][row] = known.values
        if known.spread is not None:
            spreads.setdefault(method.name, np.zeros(shape, np.float32))[row] = known.spread
        if method.adds_up:
            start, rest = _measure_sum(network, image, target, method=method, values=known.values)
            starts[method.name][row], left_over[method.name][row] = start, rest
    return FilmMaps(maps, spreads, baseline_probabilities=starts, left_over=left_over)


def _explain_film(
    network: nn.Module,
    image: Tensor,
    target: Tensor,
    *,
    method: AbstractMethod,
    lungs: Tensor,
    cache: MapCache | None,
) -> KnownMap:
    """Compute one map of one film, unless it is known."""
    question = (image, target, lungs)
    if cache is not None and (known := cache.find(method, question)):
        return known
    values = method.attribute(network, image, targets=target, lung_masks=lungs)
    spread = method.compute_spread(network, image, targets=target, values=values)
    found = KnownMap(
        values=values[0].cpu().numpy(), spread=None if spread is None else spread[0].cpu().numpy()
    )
    if cache is not None:
        cache.keep(method, question, found)
    return found


def _measure_sum(
    network: nn.Module,
    image: Tensor,
    target: Tensor,
    *,
    method: AbstractMethod,
    values: NDArray[np.float32],
) -> tuple[float, float]:
    """Measure where a map starts, and what is left over of the way to the film's probability."""
    with torch.no_grad():
        end = compute_target_probabilities(network, image, target)
    start = method.compute_baseline_probabilities(network, image, targets=target)
    rest = float(end) - float(start) - float(values.sum(dtype=np.float64))
    return float(start), rest


def describe_method(method: AbstractMethod, maps: NDArray[np.float32]) -> MethodRecord:
    """Write down a method, and the scale of its maps, (film, row, column)."""
    shared = method.unit in _SHARED_UNITS
    return MethodRecord(
        name=method.name,
        title=method.title,
        reading=method.reading,
        unit=method.unit,
        parameters=method.parameters,
        baseline=method.baseline,
        layer=method.layer,
        drawn_patch_px=method.drawn_patch_px,
        own_scale_limit=None if shared else compute_own_scale_limit(maps),
    )


def list_versions() -> dict[str, str]:
    """Name the versions of what computes the maps."""
    return {
        "cxresnet": __version__,
        "torch": str(torch.__version__),
        "captum": importlib.metadata.version("captum"),
    }
