"""Shapley values of regions: what each is worth, over all sets of the others that may be there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from captum.attr import KernelShap
from torch import Tensor, nn

from cxresnet.explain.chance import drawn_from_seed
from cxresnet.explain.method import GREY, AbstractMethod, Question, compute_target_probabilities
from cxresnet.explain.regions import compute_lung_regions, compute_superpixels

__all__ = ["KernelShapMap", "ShapleyRegionsMap", "compute_shapley_values"]


@final
@dataclass(frozen=True)
class ShapleyRegionsMap(AbstractMethod):
    """Exact Shapley values of six lung zones and the rest of the film.

    Attributes:
        batch_size: Films, covered ones, that go through the network at once.
    """

    name: ClassVar[str] = "shapley_regions"
    title: ClassVar[str] = "Shapley of lung zones"

    batch_size: int

    @property
    def reading(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            "How much probability a whole zone adds, as the mean over all orders in which upper, "
            "middle and lower zone of each lung and the rest of the film come out of an even grey "
            "(exact; the seven values sum to the probability of the film minus that of the grey). "
            "Where no lung is known, boxes stand for the lungs."
        )

    def _compute(self, question: Question) -> Tensor:
        maps = []
        for row, image in enumerate(question.images):
            mask = np.zeros(tuple(image.shape[-2:]), np.bool_)
            if question.lung_masks is not None:
                mask = question.lung_masks[row].cpu().numpy() > 0
            regions = torch.from_numpy(compute_lung_regions(mask)).to(image.device)
            values = compute_shapley_values(
                question.model,
                image,
                regions=regions,
                target=int(question.targets[row]),
                batch_size=self.batch_size,
            )
            maps.append(values[regions])
        return torch.stack(maps)


def compute_shapley_values(
    model: nn.Module, image: Tensor, *, regions: Tensor, target: int, batch_size: int
) -> Tensor:
    """Compute exact Shapley values of the regions of one film, grey where a region is absent.

    All 2^n sets are asked for, so n is at most about 12.

    Args:
        model: From images to logits (batch, class); in evaluation mode.
        image: (1, height, width), float32, normalised.
        regions: (height, width), int64, 0 to n - 1.
        target: The class explained.
        batch_size: Covered films that go through the network at once.

    Returns:
        (n,), float32, change of probability; sums to p(film) - p(grey).

    References:
        Shapley 1953. The weight of a set of size s is s! (n - s - 1)! / n!.
    """
    count = int(regions.max()) + 1
    sets = torch.arange(2**count, device=image.device)
    present = (sets[:, None] >> torch.arange(count, device=image.device)) & 1
    worth = _ask_sets(
        model, image, regions=regions, present=present, target=target, batch_size=batch_size
    )
    sizes = present.sum(dim=1)
    weights = torch.tensor(
        [
            math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for size in range(count)
        ],
        dtype=torch.float64,
        device=image.device,
    )
    values = [
        (weights[sizes[without]] * (worth[without | (1 << region)] - worth[without])).sum()
        for region in range(count)
        for without in [sets[present[:, region] == 0]]
    ]
    return torch.stack(values).to(torch.float32)


def _ask_sets(
    model: nn.Module,
    image: Tensor,
    *,
    regions: Tensor,
    present: Tensor,
    target: int,
    batch_size: int,
) -> Tensor:
    """Ask for the probability with each set of regions present, the rest grey: (sets,)."""
    worth = []
    with torch.inference_mode():
        for part in torch.split(present, batch_size):
            films = torch.where(part[:, regions][:, None] > 0, image[None], GREY)
            targets = torch.full((len(films),), target, device=image.device)
            worth.append(compute_target_probabilities(model, films, targets))
    # Out of inference mode, so that what is computed from it is an ordinary tensor.
    return torch.cat(worth).clone().to(torch.float64)


@final
@dataclass(frozen=True)
class KernelShapMap(AbstractMethod):
    """KernelSHAP (Lundberg 2017) on superpixels.

    Attributes:
        along_side: Superpixels along one side of the film.
        compactness: Of the superpixels.
        samples: Sets of superpixels that are asked for.
        seed: Of the sets.
        batch_size: Films, covered ones, that go through the network at once.
    """

    name: ClassVar[str] = "kernel_shap"
    title: ClassVar[str] = "KernelSHAP"

    along_side: int
    compactness: float
    samples: int
    seed: int
    batch_size: int

    @property
    def reading(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            "How much probability a whole superpixel (a piece of like grey, about "
            f"1/{self.along_side} of the side) adds to an even grey, fitted to {self.samples} "
            "chance sets of them; the values sum to the probability of the film minus that of "
            "the grey."
        )

    def _compute(self, question: Question) -> Tensor:
        maps = []
        for image, target in zip(question.images, question.targets.tolist(), strict=True):
            pieces = compute_superpixels(
                image[0].cpu().numpy(), along_side=self.along_side, compactness=self.compactness
            )
            maps.append(self._explain(question.model, image[None], target, pieces=pieces))
        return torch.stack(maps)

    def _explain(
        self, model: nn.Module, image: Tensor, target: int, *, pieces: np.ndarray
    ) -> Tensor:
        def ask(films: Tensor) -> Tensor:
            targets = torch.full((len(films),), target, device=films.device)
            return compute_target_probabilities(model, films, targets)

        with drawn_from_seed(self.seed), torch.no_grad():
            found: Tensor = KernelShap(ask).attribute(
                image,
                baselines=GREY,
                feature_mask=torch.from_numpy(pieces).to(image.device)[None, None],
                n_samples=self.samples,
                perturbations_per_eval=self.batch_size,
            )
        return found[0, 0]
