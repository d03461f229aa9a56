"""Methods that go backwards through the network, computed by Captum on the probability itself.

Explaining the calibrated probability, not the logit, gives the maps a unit: those that add up sum
to p(film) - p(baseline). Where they only approximate an integral, what is left over is written
beside the map.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from captum.attr import (
    GradientShap,
    IntegratedGradients,
    NoiseTunnel,
    Saliency,
)
from torch import Tensor, nn

from cxresnet.explain.chance import drawn_from_seed
from cxresnet.explain.method import (
    GREY,
    AbstractMethod,
    Question,
    compute_target_probabilities,
)
from cxresnet.explain.record import Unit

__all__ = [
    "AddsUpMap",
    "FilmByFilm",
    "GradientShapMap",
    "IntegratedGradientsMap",
    "ProbabilityOf",
    "SlopeMap",
    "SmoothGradMap",
]


class ProbabilityOf(nn.Module):
    """From images to the probability of one class: what Captum differentiates."""

    def __init__(self, model: nn.Module, target: int) -> None:
        super().__init__()
        self.model = model
        self.target = target
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Compute (batch,), 0 to 1."""
        targets = torch.full((len(images),), self.target, device=images.device)
        return compute_target_probabilities(self.model, images, targets)


@dataclass(frozen=True)
class FilmByFilm(AbstractMethod):
    """Asks for one film at a time, so that memory does not grow with the films."""

    @final
    def _compute(self, question: Question) -> Tensor:
        maps = []
        for image, target in zip(question.images, question.targets.tolist(), strict=True):
            with torch.enable_grad(), warnings.catch_warnings():
                # Captum tells that it sets hooks; they are on a copy.
                warnings.filterwarnings("ignore", "Setting .*hooks")
                film = image[None].clone().requires_grad_()
                found = self._explain(question.model, film, target)
            maps.append(found.detach().reshape(image.shape[-2:]))
        return torch.stack(maps)

    def _explain(self, model: nn.Module, image: Tensor, target: int) -> Tensor:
        """Compute the map of one film, (1, 1, height, width)."""
        raise NotImplementedError


@dataclass(frozen=True)
class SlopeMap(FilmByFilm):
    """A map of slopes: the film is compared with nothing."""

    @property
    def baseline(self) -> str:
        """A slope needs none."""
        return ""


@dataclass(frozen=True)
class AddsUpMap(FilmByFilm):
    """A map of which every pixel holds a part of p(film) - p(baseline).

    Attributes:
        patch_px: Side of the square over which the map is added up when it is drawn.
    """

    unit: ClassVar[Unit] = "probability per pixel"
    adds_up: ClassVar[bool] = True

    patch_px: int

    @property
    def drawn_patch_px(self) -> int | None:
        """Side of the square over which values are added up before they are drawn."""
        return self.patch_px

    def _end_reading(self) -> str:
        return (
            "All pixels together sum to the probability of the film minus that of the baseline. "
            f"Drawn is what a patch of {self.patch_px} × {self.patch_px} px holds."
        )


@final
@dataclass(frozen=True)
class IntegratedGradientsMap(AddsUpMap):
    """Integrated Gradients (Sundararajan 2017): the gradient along the way from grey to the film.

    Attributes:
        steps: Points of the way, of a Gauss-Legendre rule.
        batch_size: Points that go through the network at once.
    """

    name: ClassVar[str] = "integrated_gradients"
    title: ClassVar[str] = "Integrated Gradients"

    steps: int
    batch_size: int

    @property
    def reading(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            "How much probability each pixel adds while the film rises out of an even grey (the "
            f"mean of the training films), in {self.steps} steps. " + self._end_reading()
        )

    def _explain(self, model: nn.Module, image: Tensor, target: int) -> Tensor:
        found: Tensor = IntegratedGradients(ProbabilityOf(model, target)).attribute(
            image,
            baselines=GREY,
            n_steps=self.steps,
            method="gausslegendre",
            internal_batch_size=self.batch_size,
        )
        return found


@final
@dataclass(frozen=True)
class GradientShapMap(AddsUpMap):
    """GradientSHAP (Lundberg 2017): gradients at chance points between chance baselines and film.

    Attributes:
        samples: Chance points.
        seed: Of the points.
    """

    name: ClassVar[str] = "gradient_shap"
    title: ClassVar[str] = "GradientSHAP"

    samples: int
    seed: int

    @property
    def reading(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            f"How much probability each pixel adds, as the mean over {self.samples} chance points "
            "between the film and even films from dark to bright; the sum is hit up to chance. "
            + self._end_reading()
        )

    @property
    def baseline(self) -> str:
        """What the film is compared with."""
        return "five even films, from 1 sd darker to 1 sd brighter than the training films"

    def compute_baseline_probabilities(
        self, model: nn.Module, images: Tensor, *, targets: Tensor
    ) -> Tensor:
        """Compute the mean probability over the baselines, (batch,)."""
        greys = _build_even_films(images[:1])
        with torch.no_grad():
            probabilities: Tensor = model(greys).softmax(dim=1)
        return probabilities.mean(dim=0)[targets]

    def _explain(self, model: nn.Module, image: Tensor, target: int) -> Tensor:
        with drawn_from_seed(self.seed):
            found: Tensor = GradientShap(ProbabilityOf(model, target)).attribute(
                image, baselines=_build_even_films(image), n_samples=self.samples
            )
        return found


def _build_even_films(image: Tensor) -> Tensor:
    """Build (5, 1, height, width): even films, in standard deviations from the mean grey."""
    greys = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0], device=image.device) + GREY
    return greys[:, None, None, None].expand(5, *image.shape[1:]).clone()


@final
@dataclass(frozen=True)
class SmoothGradMap(SlopeMap):
    """SmoothGrad (Smilkov 2017): the gradient, as the mean over slightly noisy films.

    Attributes:
        samples: Noisy films.
        noise_sd: Of the noise, in standard deviations of the training films' grey.
        seed: Of the noise.
        batch_size: Noisy films that go through the network at once.
    """

    name: ClassVar[str] = "smooth_grad"
    title: ClassVar[str] = "SmoothGrad"
    unit: ClassVar[Unit] = "change of probability per sd of grey"

    samples: int
    noise_sd: float
    seed: int
    batch_size: int

    @property
    def reading(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            "How fast the probability would rise if this one pixel became brighter: per standard "
            f"deviation of grey, mean over {self.samples} films with a little noise. It tells what "
            "the network is sensitive to, not what it used; its own scale."
        )

    def _explain(self, model: nn.Module, image: Tensor, target: int) -> Tensor:
        with drawn_from_seed(self.seed):
            found: Tensor = NoiseTunnel(Saliency(ProbabilityOf(model, target))).attribute(
                image,
                nt_type="smoothgrad",
                nt_samples=self.samples,
                nt_samples_batch_size=min(self.samples, self.batch_size),
                stdevs=self.noise_sd,
                abs=False,
            )
        return found
