"""Question 12: where the answer was changed on purpose, does the attribution map change with it?

Swaps whose decision follows the lungs (`swapped_images.py`) are such images: of the image that gave
the frame only the lungs were changed, and the answer became that of the image that gave the lungs.
A map that shows what the decision rests on must then look, inside the lungs, like the map of the
image that gave them, moved along with them, and not like that of the image that gave the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from cxresnet.audit.context import STRICT_CONFIDENCE, AuditContext, CannotBeTestedError
from cxresnet.audit.experiments.swap import move_map
from cxresnet.audit.experiments.swapped_images import SwappedImages, find_swapped_images
from cxresnet.audit.pictures import Tile, draw_tiles
from cxresnet.audit.question import QuestionAnswer, build_measure, register_question
from cxresnet.core.config.explain import MethodName
from cxresnet.core.finding import Verdict
from cxresnet.core.seeding import build_generator
from cxresnet.explain.lungs import ImageLungs
from cxresnet.explain.methods.method import AbstractMethod, build_methods
from cxresnet.explain.overlay import (
    SCALE_LIMIT,
    compute_drawn_map,
    compute_own_scale_limit,
    draw_overlay,
)
from cxresnet.explain.sanity.map_similarity import compute_rank_correlation
from cxresnet.explain.sanity.record import CARD_NAME, MethodCard, read_sanity_card
from cxresnet.explain.workers import map_calls, working_on_all_cores
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import build_mean
from cxresnet.predict.predictor import Predictor

_SHARE = "Map is more like that of the image whose answer it got"
_WITH_LUNGS = "Similarity to the map of the image that gave the lungs"
_WITH_FRAME = "Similarity to the map of the image that gave the frame"

_MIN_IMAGES = 6
_HALF = 0.5
_PICTURE_ROWS = 3
_FIRST = "occlusion"
"""Tried before all other methods that passed: it measures, and needs no gradients."""

Map = NDArray[np.float32]


@register_question(
    "map_follows",
    number=12,
    title="Where the answer was changed on purpose, does the map follow?",
    threshold="Of swaps whose decision follows the lungs, the share whose map inside the lungs is "
    "more like that of the image that gave them than like that of the image that gave the frame; "
    "chance is 50 %. Red where the whole 99 % interval is below, green where the whole 95 % "
    "interval is above, else amber.",
    next_step="Do not show this method's maps to readers as reasons of single decisions; compare "
    "methods on the sanity card (cxresnet explain RUN).",
    cost=6,
)
def answer_map_follows(context: AuditContext) -> QuestionAnswer:
    """Compare the maps of images with swapped lungs with those of the two images behind them."""
    method = _choose_method(context)
    swapped = find_swapped_images(context)
    numbers = _choose_swaps(context, swapped)
    triplets = _compute_triplets(context, method, swapped, numbers)
    similarity = np.array([one.compare() for one in triplets])
    follows = np.where(
        np.isnan(similarity).any(axis=1), np.nan, similarity[:, 0] > similarity[:, 1]
    )
    groups = swapped.pairs[numbers]
    statistics = [
        build_mean(_SHARE, follows),
        build_mean(_WITH_LUNGS, similarity[:, 0], scale="agreement"),
        build_mean(_WITH_FRAME, similarity[:, 1], scale="agreement"),
    ]
    found = context.estimate(statistics, groups=groups, purpose="map follows")
    strict = context.estimate(
        statistics[:1], groups=groups, purpose="map follows", confidence=STRICT_CONFIDENCE
    )
    share = found[_SHARE]
    if share.value is None or share.n < _MIN_IMAGES:
        raise CannotBeTestedError(
            f"Only {share.n} maps of images with swapped lungs say anything inside the lungs: the "
            "others are the same everywhere."
        )
    return QuestionAnswer(
        _grade(share, strict[_SHARE]),
        _describe(method, share, similarity),
        tuple(build_measure(str(name), estimate) for name, estimate in found.items()),
        tuple(_draw(context, method, swapped, numbers, triplets)),
    )


def _choose_method(context: AuditContext) -> AbstractMethod:
    """Choose a method that passed its sanity checks, occlusion first.

    Raises:
        CannotBeTestedError: There is none, or no network to compute maps of.
    """
    _open_network(context)
    if context.run is None or not (context.run.explain / CARD_NAME).is_file():
        raise CannotBeTestedError(
            "Attribution methods were not checked on this model and these images, and a map that "
            "was not is no evidence: 'cxresnet explain RUN' checks them on the run's own images."
        )
    card = read_sanity_card(context.run.explain)
    name = choose_passed(card.methods)
    if name is None:
        raise CannotBeTestedError(
            "No attribution method passed its sanity checks for this network, so its maps follow "
            "nothing that could be compared."
        )
    config = context.settings.explain
    quick = config.model_copy(
        update={
            "occlusion_coarse_to_fine": True,
            "occlusion_baselines": config.occlusion_baselines[:1],
        }
    )
    side = context.test.images.shape[-1]
    (method,) = build_methods((cast("MethodName", name),), quick, side_px=side)
    return method


def _open_network(context: AuditContext) -> tuple[nn.Module, Predictor]:
    """Get the network to compute maps of, and what prepares images for it.

    Raises:
        CannotBeTestedError: The model is somebody else's.
    """
    network, predictor = context.model.network, context.model.predictor
    if network is None or predictor is None:
        raise CannotBeTestedError(
            "Maps are computed of networks of CXResnet only. Explain this model with its own tools."
        )
    return network, predictor


def choose_passed(methods: tuple[MethodCard, ...]) -> str | None:
    """Choose the name of a method that passed its sanity checks; None where none did."""
    passed = [one.name for one in methods if one.passed]
    return _FIRST if _FIRST in passed else next(iter(passed), None)


def _choose_swaps(context: AuditContext, swapped: SwappedImages) -> NDArray[np.intp]:
    """Draw swaps whose decision follows the lungs, (at most `map_images`,).

    Raises:
        CannotBeTestedError: There are too few.
    """
    numbers = np.flatnonzero(swapped.follows_lungs)
    if len(numbers) < _MIN_IMAGES:
        raise CannotBeTestedError(
            f"Swapping the lungs changed the answer to that of the lungs in {len(numbers)} images "
            f"only, and {_MIN_IMAGES} are needed: see question 6 (frame_swap)."
        )
    generator = build_generator(context.config.seed, "audit", "map follows")
    return np.sort(generator.permutation(numbers)[: context.config.map_images])


@dataclass(frozen=True, eq=False)
class Triplet:
    """The maps of an image with swapped lungs and of the two images behind it.

    Attributes:
        swapped: Of the class decided on, (row, column).
        donor: Of the image that gave the lungs, for its own decision, as it lies there.
        host: Of the image that gave the frame, for its own decision.
        donor_lungs: Of the first image behind it.
        host_lungs: Of the second: where the lungs now lie.
    """

    swapped: Map
    donor: Map
    host: Map
    donor_lungs: ImageLungs
    host_lungs: ImageLungs

    def compare(self) -> tuple[float, float]:
        """Compute the rank correlation inside the lungs with the donor's and the host's map.

        Returns:
            -1 to 1 each; NaN where one of the maps is the same everywhere.
        """
        inside = self.host_lungs.mask > 0
        moved = move_map(self.donor, self.host_lungs, self.donor_lungs)
        return (
            compute_rank_correlation(self.swapped[inside], moved[inside]),
            compute_rank_correlation(self.swapped[inside], self.host[inside]),
        )


def _compute_triplets(
    context: AuditContext,
    method: AbstractMethod,
    swapped: SwappedImages,
    numbers: NDArray[np.intp],
) -> list[Triplet]:
    """Compute the three maps of each swap, each image's once."""
    donors, hosts = swapped.donors[numbers].tolist(), swapped.hosts[numbers].tolist()
    behind = sorted({*donors, *hosts})
    images = [
        *(swapped.images[number] for number in numbers),
        *(np.asarray(context.test.images[row]) for row in behind),
    ]
    labels = [*swapped.decided[numbers].tolist(), *context.predicted[behind].tolist()]
    lungs = [context.find_lungs(row) for row in (*hosts, *behind)]
    maps = _compute_maps(context, method, images, labels, lungs)
    of_row = dict(zip(behind, maps[len(numbers) :], strict=True))
    return [
        Triplet(
            swapped=maps[place],
            donor=of_row[donor],
            host=of_row[host],
            donor_lungs=context.find_lungs(donor),
            host_lungs=context.find_lungs(host),
        )
        for place, (donor, host) in enumerate(zip(donors, hosts, strict=True))
    ]


def _compute_maps(
    context: AuditContext,
    method: AbstractMethod,
    images: list[NDArray[np.uint8]],
    labels: list[int],
    lungs: list[ImageLungs],
) -> list[Map]:
    network, predictor = _open_network(context)
    calls = [
        (network, method, predictor.to_tensor(image[None]), label, one.mask)
        for image, label, one in zip(images, labels, lungs, strict=True)
    ]
    with working_on_all_cores():
        return map_calls(_attribute, calls, "Maps of swapped lungs")


def _attribute(
    network: nn.Module,
    method: AbstractMethod,
    image: Tensor,
    label: int,
    lung_mask: NDArray[np.uint8],
) -> Map:
    """Compute the map of one image as it is drawn: (row, column)."""
    found = method.attribute(
        network,
        image,
        targets=torch.tensor([label], device=image.device),
        lung_masks=torch.from_numpy(lung_mask[None] > 0).to(image.device),
    )
    return compute_drawn_map(found[0].cpu().numpy(), patch_px=method.drawn_patch_px)


def _grade(share: Estimate, strict: Estimate) -> Verdict:
    if strict.high is not None and strict.high < _HALF:
        return "red"
    return "green" if share.low is not None and share.low > _HALF else "amber"


def _describe(method: AbstractMethod, share: Estimate, similarity: NDArray[np.float64]) -> str:
    with_lungs, with_frame = np.nanmean(similarity, axis=0)
    span = "" if share.low is None else f" ({100 * share.low:.0f}–{100 * (share.high or 0):.0f} %)"
    return (
        f"On {share.n} images whose answer changed with the lungs, the map of {method.title} "
        "inside the lungs is more like that of the image whose answer it got in "
        f"{100 * (share.value or 0):.0f} %{span}; mean rank correlation {with_lungs:.2f}, against "
        f"{with_frame:.2f} with the image that gave the frame."
    )


# The evidence: three maps a row.


def _draw(
    context: AuditContext,
    method: AbstractMethod,
    swapped: SwappedImages,
    numbers: NDArray[np.intp],
    triplets: list[Triplet],
) -> Iterator[tuple[str, str, Image.Image]]:
    places = np.sort(np.unique(swapped.pairs[numbers], return_index=True)[1])[:_PICTURE_ROWS]
    shown = [(int(numbers[place]), triplets[place]) for place in places]
    maps = np.stack([one for _, each in shown for one in (each.donor, each.host, each.swapped)])
    shares_scale = method.unit in {"change of probability", "probability per pixel"}
    limit = SCALE_LIMIT if shares_scale else compute_own_scale_limit(maps)
    rows = [_build_row(context, swapped, number, triplet, limit) for number, triplet in shown]
    caption = (
        f"{method.title}: orange argues for the class decided on, blue against. Left: the image "
        "that gives the lungs; middle: the one that gives the frame; right: the lungs of the first "
        "in the frame of the second, whose map should be like the left one inside the lungs."
    )
    yield "map_follows-examples.png", caption, draw_tiles(rows)


def _build_row(
    context: AuditContext, swapped: SwappedImages, number: int, triplet: Triplet, limit: float
) -> list[Tile]:
    behind = [
        (int(rows[number]), kind, values, correlation)
        for rows, kind, values, correlation in zip(
            (swapped.donors, swapped.hosts),
            ("Lungs", "Frame"),
            (triplet.donor, triplet.host),
            triplet.compare(),
            strict=True,
        )
    ]
    return [
        *(
            Tile(
                draw_overlay(np.asarray(context.test.images[row]), values, scale_limit=limit),
                f"{kind}: {context.class_names[context.predicted[row]]}"
                + ("" if np.isnan(correlation) else f"; similarity {correlation:.2f}"),
            )
            for row, kind, values, correlation in behind
        ),
        Tile(
            draw_overlay(swapped.images[number], triplet.swapped, scale_limit=limit),
            f"Swapped: {context.class_names[swapped.decided[number]]}",
        ),
    ]
