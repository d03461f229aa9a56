"""What can be said of one film, measured: where the evidence lies, and what covering does.

Two measurements, zone by zone of the lungs. From the map: the share of all that argues for the
class. From the network itself: the probability with a zone covered by grey. They need not agree: a
zone may hold much of a map, and the network may still do without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from cxresnet.explain.film_lungs import FilmLungs, LungSource
from cxresnet.explain.method import GREY
from cxresnet.explain.mode import require_evaluation_mode
from cxresnet.explain.zones import HEIGHTS, OUTSIDE, SIDES, ZONE_NAMES, compute_zones, sum_zones

__all__ = ["Covering", "FilmStory", "compute_story", "compute_zone_shares", "list_coverings"]

BOTH_LUNGS = "both lungs"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Covering(_Record):
    """One part of the film covered with the mean grey of the training films.

    Attributes:
        name: "right upper" and so on (a third of one lung), "both lungs" or "outside".
        probability: What the network then gives the class, 0 to 1.
    """

    name: str
    probability: float = Field(ge=0, le=1)


class FilmStory(_Record):
    """What was measured on one film, zone by zone.

    Attributes:
        image_id: As in the manifest.
        class_name: The class explained.
        probability: Of that class on the film as it is, 0 to 1.
        method: Name of the map that the shares are of.
        lung_source: Whose lungs they are.
        lung_note: What must be known of them; "" if nothing.
        shares: For each zone its share of all that argues for the class, sum 1; empty without
            lungs, or where nothing argues for the class.
        areas: For each zone its share of the film, sum 1; empty without lungs.
        coverings: What covering does; empty without lungs.
        words: What is said of it, sentence by sentence.
    """

    format: Literal[1] = 1
    image_id: str
    class_name: str
    probability: float = Field(ge=0, le=1)
    method: str
    lung_source: LungSource
    lung_note: str = ""
    shares: dict[str, float] = Field(default_factory=dict)
    areas: dict[str, float] = Field(default_factory=dict)
    coverings: tuple[Covering, ...] = ()
    words: tuple[str, ...] = ()


def compute_zone_shares(
    attribution: NDArray[np.float32], zones: NDArray[np.uint8]
) -> dict[str, float]:
    """Share out among the zones all that argues for the class; what argues against is left out.

    Args:
        attribution: (row, column), signed change of probability.
        zones: (row, column), of `compute_zones`.

    Returns:
        From zone to share, sum 1; empty where nothing argues for the class.
    """
    sums = sum_zones(np.maximum(attribution, 0).astype(np.float64), zones)
    total = float(sums.sum())
    return dict(zip(ZONE_NAMES, (sums / total).tolist(), strict=True)) if total > 0 else {}


def list_coverings(zones: NDArray[np.uint8]) -> dict[str, NDArray[np.bool_]]:
    """List what is covered: each third of each lung, both lungs, and all but the lungs."""
    parts = {
        f"{side} {height}": np.isin(
            zones, [i for i, name in enumerate(ZONE_NAMES) if name.startswith(f"{side} {height}")]
        )
        for side in SIDES
        for height in HEIGHTS
    }
    return parts | {BOTH_LUNGS: zones > 0, OUTSIDE: zones == 0}


def compute_story(
    model: nn.Module,
    image: Tensor,
    lungs: FilmLungs,
    *,
    attribution: NDArray[np.float32],
    target: int,
    story: FilmStory,
) -> FilmStory:
    """Measure one film zone by zone.

    Args:
        model: From images to logits, calibrated; in evaluation mode; is left as it was.
        image: (1, height, width), normalised.
        lungs: Of this film.
        attribution: (height, width), the map that the shares are of.
        target: Index of the class explained.
        story: Filled in as far as is known without measuring.

    Raises:
        ModelModeError: The model is training.
    """
    require_evaluation_mode(model)
    zones = compute_zones(lungs.right_lung, lungs.left_lung)
    parts = list_coverings(zones) if zones.any() else {}
    whole, *covered = _ask_covered(model, image, list(parts.values()), target=target)
    update: dict[str, object] = {
        "probability": whole,
        "lung_source": lungs.source,
        "lung_note": lungs.note,
    }
    if parts:
        update["shares"] = compute_zone_shares(attribution, zones)
        sizes = sum_zones(np.ones(zones.shape), zones) / zones.size
        update["areas"] = dict(zip(ZONE_NAMES, sizes.tolist(), strict=True))
        update["coverings"] = tuple(
            Covering(name=name, probability=value)
            for name, value in zip(parts, covered, strict=True)
        )
    return story.model_copy(update=update)


def _ask_covered(
    model: nn.Module, image: Tensor, parts: Sequence[NDArray[np.bool_]], *, target: int
) -> list[float]:
    """Ask about the film as it is, and with each part covered: probabilities of the class."""
    images = image.expand(len(parts) + 1, *image.shape).clone()
    for row, part in enumerate(parts, start=1):
        images[row, 0, torch.from_numpy(part).to(image.device)] = GREY
    with torch.inference_mode():
        probabilities: Tensor = model(images).softmax(dim=1)[:, target]
    return [min(1.0, float(value)) for value in probabilities.cpu()]
