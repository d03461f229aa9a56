"""Occlusion: cover a patch and measure how much probability is lost.

No baseline is neutral (`patches.py`), so several can be tried: the map is that of the first one,
and the range between baselines shows how much the value depends on that choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self, final

import torch
from torch import Tensor, nn

from cxresnet.core.config import ExplainConfig
from cxresnet.core.config.explain import OcclusionBaselineName
from cxresnet.explain.methods.incremental.occlusion import build_fast_network
from cxresnet.explain.methods.method import (
    GREY,
    AbstractMethod,
    AttributionInputs,
    convert_share_to_px,
    register_method,
    require_evaluation_mode,
)
from cxresnet.explain.methods.patches import (
    BASELINE_DESCRIPTIONS,
    Grid,
    Patch,
    build_grid,
    build_occlusion_baseline,
    measure_coarse_to_fine,
    paint_patches,
)


@final
@register_method
@dataclass(frozen=True)
class OcclusionMap(AbstractMethod):
    """Occlusion; the map is that of the first baseline.

    Attributes:
        window_px: Side of the patch.
        stride_px: Step of the patch.
        baselines: What a patch is filled with.
        coarse_to_fine: Measure every second patch, and the rest only where the effect is large.
        seed: Of the noise.
        batch_size: Images that go through the network at once, where it cannot be folded.
    """

    name: ClassVar[str] = "occlusion"
    title: ClassVar[str] = "Occlusion"
    caption: ClassVar[str] = "fall in the probability of {class_name} when the patch is covered"

    window_px: int
    stride_px: int
    baselines: tuple[OcclusionBaselineName, ...] = ("mean",)
    coarse_to_fine: bool = False
    seed: int = 0
    batch_size: int = 64

    @classmethod
    def from_config(cls, config: ExplainConfig, *, side_px: int) -> Self:
        """Build the method; window and stride are shares of the image's side."""
        return cls(
            window_px=convert_share_to_px(config.occlusion_window_share, side_px=side_px),
            stride_px=convert_share_to_px(config.occlusion_stride_share, side_px=side_px),
            baselines=config.occlusion_baselines,
            coarse_to_fine=config.occlusion_coarse_to_fine,
            seed=config.seed,
            batch_size=config.batch_size,
        )

    @property
    def interpretation(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            f"Probability lost when a patch of {self.window_px} × {self.window_px} px is filled "
            f"with {BASELINE_DESCRIPTIONS[self.baselines[0]]} (mean over the patches that cover "
            f"the pixel; stride {self.stride_px} px)."
        )

    @property
    def baseline(self) -> str:
        """What a patch is filled with."""
        return "; ".join(BASELINE_DESCRIPTIONS[baseline] for baseline in self.baselines)

    def _compute(self, inputs: AttributionInputs) -> Tensor:
        return self._compute_with_baseline(inputs, self.baselines[0])

    def _compute_baseline_range(self, inputs: AttributionInputs, values: Tensor) -> Tensor | None:
        if len(self.baselines) < 2:
            return None
        others = [self._compute_with_baseline(inputs, baseline) for baseline in self.baselines[1:]]
        maps = torch.stack([values, *others])
        return maps.amax(dim=0) - maps.amin(dim=0)

    def _compute_with_baseline(
        self, inputs: AttributionInputs, baseline: OcclusionBaselineName
    ) -> Tensor:
        return compute_occlusion(
            inputs.model,
            inputs.images,
            targets=inputs.targets,
            window_px=self.window_px,
            stride_px=self.stride_px,
            baselines=torch.stack(
                [
                    build_occlusion_baseline(
                        baseline, image, window_px=self.window_px, seed=self.seed
                    )
                    for image in inputs.images
                ]
            ),
            coarse_to_fine=self.coarse_to_fine,
            batch_size=self.batch_size,
        )


def compute_occlusion(  # noqa: PLR0913  each is a choice of the measurement
    model: nn.Module,
    images: Tensor,
    *,
    targets: Tensor,
    window_px: int,
    stride_px: int,
    baselines: Tensor | None = None,
    coarse_to_fine: bool = False,
    batch_size: int = 64,
) -> Tensor:
    """Measure how much probability each place contributes, by covering it.

    A pixel's value is the mean, over all patches that cover it, of the probability of the explained
    class on the original image minus the probability with the patch covered. Above 0: the content
    argues for the class. The last patch of a row is cut at the image's edge. Our own networks are
    evaluated by `incremental/`, with the same result up to rounding.

    Args:
        model: From images to logits (batch, class); in evaluation mode.
        images: (batch, 1, height, width), float32, normalised.
        targets: (batch,), int64; the class explained, for each image.
        window_px: Side of the patch.
        stride_px: Step of the patch, at most `window_px`.
        baselines: (batch, 1, height, width): what a covered patch is filled with; None: `GREY`.
        coarse_to_fine: See `measure_coarse_to_fine`.
        batch_size: Covered images that go through the network at once, where it cannot be folded.

    Returns:
        Signed map, (batch, height, width), float32, change of probability, -1 to 1. Not rescaled.

    Raises:
        ModelModeError: The model is training.

    References:
        Zeiler and Fergus 2014, section 4.1. They show the probability that remains; we show what
        is lost, so that above 0 argues for.
    """
    require_evaluation_mode(model)
    baselines = torch.full_like(images, GREY) if baselines is None else baselines
    grid = build_grid(*images.shape[-2:], window_px=window_px, stride_px=stride_px)
    maps = []
    with torch.inference_mode():
        fast = build_fast_network(model)
        for image, baseline, target in zip(
            images.detach(), baselines, targets.tolist(), strict=True
        ):
            occludable = (
                _PlainImage(model, image, batch_size=batch_size)
                if fast is None
                else fast.precompute(image)
            )
            values = _measure(
                occludable, grid, baseline=baseline, target=target, coarse=coarse_to_fine
            )
            maps.append(paint_patches(grid, values))
    # Out of inference mode, so that the maps are ordinary tensors.
    return torch.stack(maps).clone()


class _OccludableImage(Protocol):
    """One image with its network, ready to be covered."""

    @property
    def image(self) -> Tensor:
        """The image, (1, height, width)."""

    def predict_occluded(self, patches: Sequence[Patch], baseline: Tensor) -> Tensor:
        """Compute the logits of the image with each patch covered: (patches, class)."""


@dataclass(frozen=True, eq=False)
class _PlainImage:
    """One image with a network that cannot be folded: covered images go through it in batches.

    Attributes:
        model: From images to logits.
        image: (1, height, width).
        batch_size: Images at once.
    """

    model: nn.Module
    image: Tensor
    batch_size: int

    def predict_occluded(self, patches: Sequence[Patch], baseline: Tensor) -> Tensor:
        """Compute the logits of the image with each patch covered: (patches, class)."""
        logits = []
        for first in range(0, len(patches), self.batch_size):
            part = patches[first : first + self.batch_size]
            images = self.image.repeat(len(part), 1, 1, 1)
            for occluded, patch in zip(images, part, strict=True):
                down = slice(patch.top, patch.top + patch.height)
                right = slice(patch.left, patch.left + patch.width)
                occluded[:, down, right] = baseline[:, down, right]
            logits.append(self.model(images))
        return torch.cat(logits)


def _measure(
    occludable: _OccludableImage, grid: Grid, *, baseline: Tensor, target: int, coarse: bool
) -> Tensor:
    """Measure the probability lost with each patch covered: (patches,)."""
    nothing = Patch(0, 0, 1, 1)
    whole = occludable.predict_occluded([nothing], occludable.image).softmax(dim=1)[0, target]

    def measure(patches: Sequence[Patch]) -> Tensor:
        return whole - occludable.predict_occluded(patches, baseline).softmax(dim=1)[:, target]

    return measure_coarse_to_fine(grid, measure) if coarse else measure(grid.patches)
