"""Occlusion: cover a patch, and see how much probability is lost.

There is no neutral cover (`covers.py`), so several can be tried; the map is that of the first, and
the spread says how far the others come to a different value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, final

import torch
from torch import Tensor, nn

from cxresnet.core.config.explain import CoverName
from cxresnet.explain.covers import COVER_WORDS, build_cover
from cxresnet.explain.fast import build_fast_network
from cxresnet.explain.method import GREY, AbstractMethod, Question
from cxresnet.explain.mode import require_evaluation_mode
from cxresnet.explain.patches import (
    Grid,
    Patch,
    build_grid,
    measure_coarse_to_fine,
    paint_patches,
)

__all__ = ["OcclusionMap", "compute_occlusion"]


@final
@dataclass(frozen=True)
class OcclusionMap(AbstractMethod):
    """Occlusion; the map is that of the first cover.

    Attributes:
        window_px: Side of the patch.
        stride_px: Step of the patch.
        covers: What is laid over a patch.
        coarse_to_fine: Measure every second patch, and the rest only where something is seen.
        seed: Of the noise.
        batch_size: Films that go through the network at once, where it is of an unknown kind.
    """

    name: ClassVar[str] = "occlusion"
    title: ClassVar[str] = "Occlusion"

    window_px: int
    stride_px: int
    covers: tuple[CoverName, ...] = ("mean",)
    coarse_to_fine: bool = False
    seed: int = 0
    batch_size: int = 64

    @property
    def reading(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            f"How much probability is lost when a patch of {self.window_px} × {self.window_px} px "
            f"is covered with {COVER_WORDS[self.covers[0]]} (mean over the patches that "
            f"cover the place; step {self.stride_px} px)."
        )

    @property
    def baseline(self) -> str:
        """What is laid over a patch."""
        return "; ".join(COVER_WORDS[cover] for cover in self.covers)

    def _compute(self, question: Question) -> Tensor:
        return self._compute_cover(question, self.covers[0])

    def _compute_spread(self, question: Question, values: Tensor) -> Tensor | None:
        if len(self.covers) < 2:
            return None
        others = [self._compute_cover(question, cover) for cover in self.covers[1:]]
        maps = torch.stack([values, *others])
        return maps.amax(dim=0) - maps.amin(dim=0)

    def _compute_cover(self, question: Question, cover: CoverName) -> Tensor:
        return compute_occlusion(
            question.model,
            question.images,
            targets=question.targets,
            window_px=self.window_px,
            stride_px=self.stride_px,
            covers=torch.stack(
                [
                    build_cover(cover, image, window_px=self.window_px, seed=self.seed)
                    for image in question.images
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
    covers: Tensor | None = None,
    coarse_to_fine: bool = False,
    batch_size: int = 64,
) -> Tensor:
    """Measure how much probability each place holds, by covering it.

    A pixel's value is the mean, over all patches that cover it, of the probability of the explained
    class with the film as it is, minus the same with the patch covered. Above 0: what stands there
    argues for the class. The last patch of a row is cut at the film's edge. Our own networks are
    asked by `fast.py`, with the same answer up to rounding.

    Args:
        model: From images to logits (batch, class); in evaluation mode.
        images: (batch, 1, height, width), float32, normalised.
        targets: (batch,), int64; the class explained, for each film.
        window_px: Side of the patch.
        stride_px: Step of the patch, at most `window_px`.
        covers: (batch, 1, height, width): what stands in a patch when it is covered; None: `GREY`.
        coarse_to_fine: See `measure_coarse_to_fine`.
        batch_size: Films, covered ones, that go through a network of an unknown kind at once.

    Returns:
        Signed map, (batch, height, width), float32, change of probability, -1 to 1. Not rescaled.

    Raises:
        ModelModeError: The model is training.

    References:
        Zeiler and Fergus 2014, section 4.1. They show the probability that remains; we show what
        is lost, so that above 0 argues for.
    """
    require_evaluation_mode(model)
    covers = torch.full_like(images, GREY) if covers is None else covers
    grid = build_grid(*images.shape[-2:], window_px=window_px, stride_px=stride_px)
    maps = []
    with torch.inference_mode():
        fast = build_fast_network(model)
        for image, cover, target in zip(images.detach(), covers, targets.tolist(), strict=True):
            film = (
                _PlainFilm(model, image, batch_size=batch_size)
                if fast is None
                else fast.remember(image)
            )
            values = _measure(film, grid, cover=cover, target=target, coarse=coarse_to_fine)
            maps.append(paint_patches(grid, values))
    # Out of inference mode, so that the maps are ordinary tensors.
    return torch.stack(maps).clone()


class _AskedFilm(Protocol):
    """One film before a network, ready to be covered."""

    @property
    def image(self) -> Tensor:
        """The film, (1, height, width)."""

    def ask(self, patches: Sequence[Patch], cover: Tensor) -> Tensor:
        """Compute the logits of the film with each patch covered: (patches, class)."""


@dataclass(frozen=True, eq=False)
class _PlainFilm:
    """One film before a network of an unknown kind: covered films go through it in batches.

    Attributes:
        model: From images to logits.
        image: (1, height, width).
        batch_size: Films at once.
    """

    model: nn.Module
    image: Tensor
    batch_size: int

    def ask(self, patches: Sequence[Patch], cover: Tensor) -> Tensor:
        """Compute the logits of the film with each patch covered: (patches, class)."""
        logits = []
        for first in range(0, len(patches), self.batch_size):
            part = patches[first : first + self.batch_size]
            films = self.image.repeat(len(part), 1, 1, 1)
            for film, patch in zip(films, part, strict=True):
                down = slice(patch.top, patch.top + patch.height)
                right = slice(patch.left, patch.left + patch.width)
                film[:, down, right] = cover[:, down, right]
            logits.append(self.model(films))
        return torch.cat(logits)


def _measure(film: _AskedFilm, grid: Grid, *, cover: Tensor, target: int, coarse: bool) -> Tensor:
    """Measure the probability that each patch holds: (patches,)."""
    nothing = Patch(0, 0, 1, 1)
    whole = film.ask([nothing], film.image).softmax(dim=1)[0, target]

    def measure(patches: Sequence[Patch]) -> Tensor:
        return whole - film.ask(patches, cover).softmax(dim=1)[:, target]

    return measure_coarse_to_fine(grid, measure) if coarse else measure(grid.patches)
