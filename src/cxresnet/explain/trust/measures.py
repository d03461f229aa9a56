"""What each method's maps score on each film, before anything is judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from cxresnet.core.progress import track
from cxresnet.core.seeding import build_generator, derive_seed
from cxresnet.explain.lungs import compute_lung_area_share, compute_lung_share
from cxresnet.explain.method import AbstractMethod
from cxresnet.explain.overlay import compute_drawn_map
from cxresnet.explain.trust.covering import (
    CELLS_ALONG_SIDE,
    Areas,
    compute_areas,
    compute_edges,
    order_cells,
)
from cxresnet.explain.trust.films import TrustFilms
from cxresnet.explain.trust.likeness import MEASURES, Measure, OwnMaps, compute_kept
from cxresnet.explain.trust.shuffle import shuffle_from_the_head

__all__ = [
    "NOISE_GREY_LEVELS",
    "Coverings",
    "Kept",
    "compute_maps",
    "measure_covering",
    "measure_lungs",
    "measure_noise",
    "measure_pointing",
    "measure_seeds",
    "measure_shuffled",
]

NOISE_GREY_LEVELS = 2.0
"""Standard deviation of the noise, of 255 grey levels: less than the eye tells on a film."""

_NOISE_DRAWS = 2
_MOST_PROBABILITY_MOVED = 0.05
_RANDOM_ORDERS = 4
_POINTING_TOLERANCE = 15 / 224

_Maps = NDArray[np.float32]
_Values = NDArray[np.float64]
Kept = dict[Measure, _Values]
"""For each measure, how much of its likeness each film's map keeps, (film,)."""


def compute_maps(
    network: nn.Module,
    method: AbstractMethod,
    trust: TrustFilms,
    *,
    images: Tensor | None = None,
    words: str = "Testing the maps",
) -> _Maps:
    """Compute the maps as they are drawn, (film, row, column), one film at a time.

    Args:
        network: From images to calibrated logits; in evaluation mode.
        method: Whose maps.
        trust: The films.
        images: Stand in for the films' own.
        words: For the progress bar.
    """
    shown = trust.images if images is None else images
    maps = np.zeros((len(trust), *shown.shape[-2:]), np.float32)
    for row in track(range(len(trust)), f"{words}: {method.title}"):
        found = method.attribute(
            network,
            shown[row : row + 1],
            targets=torch.tensor([trust.targets[row]], device=shown.device),
            lung_masks=torch.from_numpy(trust.lung_masks[row : row + 1] > 0).to(shown.device),
        )
        values = found[0].cpu().numpy()
        maps[row] = compute_drawn_map(values, patch_px=method.drawn_patch_px)
    return maps


def measure_shuffled(
    network: nn.Module,
    methods: Sequence[AbstractMethod],
    trust: TrustFilms,
    *,
    own: dict[str, OwnMaps],
    seed: int,
) -> dict[str, list[tuple[str, Kept]]]:
    """Measure what maps keep of themselves while the network unlearns, from the head down.

    Args:
        network: Stays as it is; a copy is shuffled.
        methods: Whose maps.
        trust: The films.
        own: Maps of the network as it is, by method.
        seed: Of the shuffling.

    Returns:
        By method, and by the part that was shuffled last.
    """
    found: dict[str, list[tuple[str, Kept]]] = {method.name: [] for method in methods}
    for part, shuffled in shuffle_from_the_head(network, trust.images, seed=seed):
        for method in methods:
            others = compute_maps(shuffled, method, trust, words=f"Shuffled down to {part}")
            found[method.name].append((part, _compute_all_kept(own[method.name], others)))
    return found


def measure_noise(
    network: nn.Module, method: AbstractMethod, trust: TrustFilms, *, own: OwnMaps, seed: int
) -> Kept:
    """Measure what maps keep of themselves under noise that leaves the answer as it is.

    Noise that turns the decision, or moves the probability by more than 0.05, does not count.

    Returns:
        Means over the draws that count; NaN where none does.
    """
    draws: list[Kept] = []
    for number in range(_NOISE_DRAWS):
        random = torch.Generator().manual_seed(derive_seed(seed, "trust noise", number))
        noise = torch.randn(trust.images.shape, generator=random).to(trust.images)
        noisy = trust.images + NOISE_GREY_LEVELS * trust.grey_level * noise
        others = compute_maps(network, method, trust, images=noisy, words="Slight noise")
        same = _find_unmoved(network, trust, noisy)
        kept = _compute_all_kept(own, others)
        draws.append({name: np.where(same, values, np.nan) for name, values in kept.items()})
    return {name: _mean_known([draw[name] for draw in draws]) for name in MEASURES}


def measure_seeds(
    network: nn.Module, method: AbstractMethod, trust: TrustFilms, *, own: OwnMaps
) -> Kept | None:
    """Measure what maps keep of themselves under another seed; None for a method without chance."""
    if "seed" not in method.parameters:
        return None
    other = dataclasses.replace(method, seed=int(method.parameters["seed"]) + 1)  # type: ignore[call-arg]
    return _compute_all_kept(own, compute_maps(network, other, trust, words="Another seed"))


@dataclass(frozen=True, eq=False)
class Coverings:
    """Areas of orders, (film,) each; how much better the map is than its rival, above 0 is better.

    Attributes:
        deletion: By rival, "random" and "edges": the rival's area less the map's.
        insertion: By rival: the map's area less the rival's.
    """

    deletion: dict[str, _Values]
    insertion: dict[str, _Values]


def measure_covering(
    network: nn.Module, trust: TrustFilms, *, maps: dict[str, _Maps], seed: int
) -> dict[str, Coverings]:
    """Measure by how much each map's order beats chance and the film's edges, by method."""
    advantages: dict[str, list[dict[str, Areas]]] = {name: [] for name in maps}
    for row in track(range(len(trust)), "Covering what the maps say"):
        random = build_generator(seed, "trust covering", row)
        chance = [random.permutation(CELLS_ALONG_SIDE**2) for _ in range(_RANDOM_ORDERS)]
        edges = order_cells(compute_edges(trust.films[row]), random)
        ours = [order_cells(values[row], random) for values in maps.values()]
        found = compute_areas(
            network,
            trust.images[row : row + 1],
            trust.targets[row],
            orders=[edges, *chance, *ours],
        )
        rivals = {"edges": found[0], "random": _mean_areas(found[1 : 1 + _RANDOM_ORDERS])}
        for name, area in zip(maps, found[1 + _RANDOM_ORDERS :], strict=True):
            advantages[name].append({"map": area} | rivals)
    return {name: _compare(rows) for name, rows in advantages.items()}


def measure_lungs(maps: _Maps, trust: TrustFilms) -> tuple[_Values, _Values]:
    """Measure the share of each map's weight in the lungs, and the lungs' share of the film.

    Returns:
        Both (film,), 0 to 1; NaN where the lungs are not known or the map is empty.
    """
    shares, areas = np.full(len(trust), np.nan), np.full(len(trust), np.nan)
    for row, mask in enumerate(trust.lung_masks):
        share = compute_lung_share(maps[row], mask) if mask.any() else None
        if share is not None:
            shares[row], areas[row] = share, compute_lung_area_share(mask)
    return shares, areas


def measure_pointing(maps: _Maps, trust: TrustFilms) -> tuple[_Values, _Values]:
    """Play the pointing game: does the highest place of the map lie in or near the lesion?

    Only films that the network has right count: on the others it was not the lesion of that class
    that it argued with. Where several places are equally high, the share of them that hits counts.

    Returns:
        Hits (film,), 0 to 1, and what pointing anywhere in the lungs would hit (in the film, where
        the lungs are not known); NaN where there is no lesion mask.

    References:
        Zhang 2018 (excitation backprop), section 4.1, with their tolerance of 15 px (of 224).
    """
    tolerance_px = round(_POINTING_TOLERANCE * maps.shape[-1])
    hits, chance = np.full(len(trust), np.nan), np.full(len(trust), np.nan)
    for row, mask in enumerate(trust.lesion_masks):
        if mask.any() and trust.targets[row] == trust.truth[row]:
            near = ndimage.distance_transform_edt(mask == 0) <= tolerance_px
            hits[row] = float(near[maps[row] == maps[row].max()].mean())
            lungs = trust.lung_masks[row] > 0
            chance[row] = float(near[lungs].mean() if lungs.any() else near.mean())
    return hits, chance


def _compute_all_kept(own: OwnMaps, others: _Maps) -> Kept:
    return {measure: compute_kept(own, others, measure) for measure in MEASURES}


def _find_unmoved(network: nn.Module, trust: TrustFilms, noisy: Tensor) -> NDArray[np.bool_]:
    with torch.no_grad():
        before, after = (network(images).softmax(dim=1) for images in (trust.images, noisy))
    targets = torch.tensor(trust.targets, device=before.device)[:, None]
    moved = (after - before).gather(1, targets).abs()[:, 0]
    same = (before.argmax(dim=1) == after.argmax(dim=1)) & (moved < _MOST_PROBABILITY_MOVED)
    unmoved: NDArray[np.bool_] = same.cpu().numpy()
    return unmoved


def _mean_known(draws: list[_Values]) -> _Values:
    table = np.stack(draws)
    counts = (~np.isnan(table)).sum(axis=0)
    sums = np.nansum(table, axis=0)
    means: _Values = np.full(len(sums), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def _mean_areas(areas: list[Areas]) -> Areas:
    return Areas(
        deletion=float(np.mean([area.deletion for area in areas])),
        insertion=float(np.mean([area.insertion for area in areas])),
    )


def _compare(rows: list[dict[str, Areas]]) -> Coverings:
    rivals = ("random", "edges")
    return Coverings(
        deletion={
            rival: np.array([row[rival].deletion - row["map"].deletion for row in rows])
            for rival in rivals
        },
        insertion={
            rival: np.array([row["map"].insertion - row[rival].insertion for row in rows])
            for rival in rivals
        },
    )
