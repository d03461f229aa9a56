"""Shapley values of image regions: exact for lung zones, KernelSHAP for superpixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxresnet.core.config import ExplainConfig
from cxresnet.explain.lungs import split_lungs
from cxresnet.explain.methods.method import (
    GREY,
    AbstractMethod,
    AttributionInputs,
    compute_target_probabilities,
    register_method,
    temporary_seed,
)

_GRID_TOP, _GRID_BOTTOM = 0.12, 0.78
_GRID_SIDES = ((0.10, 0.47), (0.53, 0.90))
"""Where lungs lie on a frontal image that is filled by the chest, as shares of its side."""

_SUPERPIXEL_ROUNDS = 8

_COMPACTNESS = 0.6
"""Inspected on images of 128 to 224 px: pieces follow ribs and heart and stay compact."""


def compute_lung_regions(lung_mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number each pixel by its region of the lungs.

    Each lung is cut into thirds of its own height. Where no lung is known, two boxes replace them:
    an anatomical grid, the same for every image.

    Args:
        lung_mask: (row, column), true in the lungs; empty where not known.

    Returns:
        (row, column): 0 outside of the lungs, 1 to 3 the patient's right upper, middle and lower
        zone, which lie at the left of the image, 4 to 6 those of the left lung.
    """
    mask = lung_mask if lung_mask.any() else _draw_grid(lung_mask.shape)
    rows = np.indices((mask.shape[0], mask.shape[1]))[0]
    regions: NDArray[np.int64] = np.zeros(mask.shape, np.int64)
    for first, lung in zip((1, 4), split_lungs(mask.astype(np.uint8)), strict=True):
        if not lung.any():
            continue
        top, bottom = rows[lung].min(), rows[lung].max() + 1
        third = np.clip((rows - top) * 3 // (bottom - top), 0, 2)
        regions[lung] = first + third[lung]
    return regions


def _draw_grid(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    height, width = shape
    mask = np.zeros(shape, np.bool_)
    for left, right in _GRID_SIDES:
        mask[
            round(_GRID_TOP * height) : round(_GRID_BOTTOM * height),
            round(left * width) : round(right * width),
        ] = True
    return mask


def compute_superpixels(
    image: NDArray[np.float32], *, along_side: int, compactness: float
) -> NDArray[np.int64]:
    """Cut an image into about `along_side` × `along_side` pieces of similar grey.

    Starts from a square grid; in each round every pixel joins the nearest of the centres around
    it, by grey and by place, and every centre moves to the mean of its pixels. Deterministic.

    Args:
        image: (row, column), normalised grey.
        along_side: Pieces along one side, at least 1.
        compactness: How many standard deviations of grey weigh as much as one cell of the grid;
            larger values give squarer pieces.

    Returns:
        (row, column), 0 to at most along_side² - 1; numbers without a pixel are left out.

    References:
        Achanta et al. 2012, SLIC, with the 3 × 3 nearest cells as the window.
    """
    rows, columns = np.indices(image.shape)
    cell = np.array(image.shape, np.float64) / along_side
    grid_row = np.minimum((rows / cell[0]).astype(np.int64), along_side - 1)
    grid_column = np.minimum((columns / cell[1]).astype(np.int64), along_side - 1)
    points = np.stack(
        [image / compactness, rows / cell[0], columns / cell[1]], axis=-1, dtype=np.float64
    )
    labels = grid_row * along_side + grid_column
    for _ in range(_SUPERPIXEL_ROUNDS):
        centres = _compute_centres(points, labels, count=along_side**2)
        labels = _find_nearest(points, centres, grid_row, grid_column)
    found: NDArray[np.int64] = np.unique(labels, return_inverse=True)[1].reshape(image.shape)
    return found


def _compute_centres(
    points: NDArray[np.float64], labels: NDArray[np.int64], *, count: int
) -> NDArray[np.float64]:
    """Compute the mean point of each piece, (count, 3); infinity for an empty one."""
    sizes = np.bincount(labels.ravel(), minlength=count)
    sums = [
        np.bincount(labels.ravel(), weights=points[..., axis].ravel(), minlength=count)
        for axis in range(points.shape[-1])
    ]
    filled = sizes > 0
    centres = np.full((count, points.shape[-1]), np.inf)
    centres[filled] = np.stack(sums, axis=1)[filled] / sizes[filled, None]
    return centres


def _find_nearest(
    points: NDArray[np.float64],
    centres: NDArray[np.float64],
    grid_row: NDArray[np.int64],
    grid_column: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Find for each pixel the nearest centre of its own grid cell and the eight around it."""
    along_side = int(grid_row.max()) + 1
    nearest = np.full(grid_row.shape, np.inf)
    labels = np.zeros(grid_row.shape, np.int64)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            row = (grid_row + down).clip(0, along_side - 1)
            column = (grid_column + right).clip(0, along_side - 1)
            candidate = row * along_side + column
            distance = np.square(points - centres[candidate]).sum(axis=-1)
            closer = distance < nearest
            nearest[closer] = distance[closer]
            labels[closer] = candidate[closer]
    return labels


@final
@register_method
@dataclass(frozen=True)
class ShapleyRegionsMap(AbstractMethod):
    """Exact Shapley values of six lung zones and the rest of the image.

    Attributes:
        batch_size: Covered images that go through the network at once.
    """

    name: ClassVar[str] = "shapley_regions"
    title: ClassVar[str] = "Shapley values of lung zones"
    caption: ClassVar[str] = "contribution of the zone to the probability of {class_name}"

    batch_size: int

    @classmethod
    def from_config(cls, config: ExplainConfig, *, side_px: int) -> Self:  # noqa: ARG003
        """Build the method."""
        return cls(batch_size=config.batch_size)

    @property
    def interpretation(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            "Probability that a whole zone adds, averaged over all orders in which the upper, "
            "middle and lower zones of each lung and the rest of the image replace a uniform grey "
            "(exact; the seven values sum to the probability of the image minus that of the grey). "
            "Where no lungs are known, boxes stand in for them."
        )

    def _compute(self, inputs: AttributionInputs) -> Tensor:
        maps = []
        for row, image in enumerate(inputs.images):
            mask = np.zeros(tuple(image.shape[-2:]), np.bool_)
            if inputs.lung_masks is not None:
                mask = inputs.lung_masks[row].cpu().numpy() > 0
            regions = torch.from_numpy(compute_lung_regions(mask)).to(image.device)
            values = compute_shapley_values(
                inputs.model,
                image,
                regions=regions,
                target=int(inputs.targets[row]),
                batch_size=self.batch_size,
            )
            maps.append(values[regions])
        return torch.stack(maps)


def compute_shapley_values(
    model: nn.Module, image: Tensor, *, regions: Tensor, target: int, batch_size: int
) -> Tensor:
    """Compute exact Shapley values of the regions of one image, grey where a region is absent.

    All 2^n coalitions are evaluated, so n is at most about 12.

    Args:
        model: From images to logits (batch, class); in evaluation mode.
        image: (1, height, width), float32, normalised.
        regions: (height, width), int64, 0 to n - 1.
        target: The class explained.
        batch_size: Covered images that go through the network at once.

    Returns:
        (n,), float32, change of probability; sums to p(image) - p(grey).

    References:
        Shapley 1953. The weight of a set of size s is s! (n - s - 1)! / n!.
    """
    count = int(regions.max()) + 1
    coalitions = torch.arange(2**count, device=image.device)
    present = (coalitions[:, None] >> torch.arange(count, device=image.device)) & 1
    coalition_values = _predict_coalitions(
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
        (
            weights[sizes[without]]
            * (coalition_values[without | (1 << region)] - coalition_values[without])
        ).sum()
        for region in range(count)
        for without in [coalitions[present[:, region] == 0]]
    ]
    return torch.stack(values).to(torch.float32)


def _predict_coalitions(
    model: nn.Module,
    image: Tensor,
    *,
    regions: Tensor,
    present: Tensor,
    target: int,
    batch_size: int,
) -> Tensor:
    """Compute the probability with each coalition of regions present, the rest grey."""
    coalition_values = []
    with torch.inference_mode():
        for part in torch.split(present, batch_size):
            images = torch.where(part[:, regions][:, None] > 0, image[None], GREY)
            targets = torch.full((len(images),), target, device=image.device)
            coalition_values.append(compute_target_probabilities(model, images, targets))
    # Out of inference mode, so that what is computed from it is an ordinary tensor.
    return torch.cat(coalition_values).clone().to(torch.float64)


@final
@register_method
@dataclass(frozen=True)
class KernelShapMap(AbstractMethod):
    """KernelSHAP (Lundberg 2017) on superpixels.

    Attributes:
        along_side: Superpixels along one side of the image.
        compactness: Of the superpixels.
        samples: Coalitions of superpixels that are evaluated.
        seed: Of the coalitions.
        batch_size: Covered images that go through the network at once.
    """

    name: ClassVar[str] = "kernel_shap"
    title: ClassVar[str] = "KernelSHAP"
    caption: ClassVar[str] = "contribution of the superpixel to the probability of {class_name}"

    along_side: int
    compactness: float
    samples: int
    seed: int
    batch_size: int

    @classmethod
    def from_config(cls, config: ExplainConfig, *, side_px: int) -> Self:  # noqa: ARG003
        """Build the method with the superpixels and samples that a config asks for."""
        return cls(
            along_side=config.superpixels_per_side,
            compactness=_COMPACTNESS,
            samples=config.kernel_shap_samples,
            seed=config.seed,
            batch_size=config.batch_size,
        )

    @property
    def interpretation(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            "Probability that a whole superpixel (a piece of similar grey, about "
            f"1/{self.along_side} of the side) adds to a uniform grey, fitted to {self.samples} "
            "random coalitions; the values sum to the probability of the image minus that of "
            "the grey."
        )

    def _compute(self, inputs: AttributionInputs) -> Tensor:
        maps = []
        for image, target in zip(inputs.images, inputs.targets.tolist(), strict=True):
            superpixels = compute_superpixels(
                image[0].cpu().numpy(), along_side=self.along_side, compactness=self.compactness
            )
            maps.append(self._explain(inputs.model, image[None], target, superpixels=superpixels))
        return torch.stack(maps)

    def _explain(
        self, model: nn.Module, image: Tensor, target: int, *, superpixels: np.ndarray
    ) -> Tensor:
        def predict(images: Tensor) -> Tensor:
            targets = torch.full((len(images),), target, device=images.device)
            return compute_target_probabilities(model, images, targets)

        from captum.attr import KernelShap

        with temporary_seed(self.seed), torch.no_grad():
            found: Tensor = KernelShap(predict).attribute(
                image,
                baselines=GREY,
                feature_mask=torch.from_numpy(superpixels).to(image.device)[None, None],
                n_samples=self.samples,
                perturbations_per_eval=self.batch_size,
            )
        return found[0, 0]
