"""How the network is explained."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from cxresnet.core.config.section import Section

__all__ = ["CoverName", "ExplainConfig", "MethodName"]

CoverName = Literal["clear", "blur", "mean", "noise"]

MethodName = Literal[
    "occlusion",
    "grad_cam",
    "guided_grad_cam",
    "guided_backprop",
    "integrated_gradients",
    "smooth_grad",
    "gradient_shap",
    "deep_lift",
    "shapley_regions",
    "kernel_shap",
]


class ExplainConfig(Section):
    """How the network is explained.

    Attributes:
        methods: Which maps are computed, in the order in which they are shown.
        films_per_class: Most confident right, most confident wrong and least confident right
            films, each, of each class.
        occlusion_window_share: Side of the covering patch, as a share of the film's side: 1/6 of
            a film of 35 cm are about 6 cm.
        occlusion_stride_share: Step of the patch, likewise; at most the patch itself.
        occlusion_covers: What is laid over a patch: the film cleared of what is bright and smaller
            than the patch; the film blurred; the mean grey of the training films; noise. The first
            makes the map, all of them the band of disagreement.
        occlusion_coarse_to_fine: Measure every second patch, and those in between only where
            something is to be seen. Quicker, and weak places are interpolated.
        integrated_gradients_steps: Points on the way from grey to the film.
        gradient_samples: Chance points of SmoothGrad and GradientSHAP.
        noise_sd: Noise of SmoothGrad, in standard deviations of the training films' grey.
        superpixels_along_side: Of KernelSHAP.
        superpixel_sets: Sets of superpixels that KernelSHAP asks for.
        grad_cam_layer: For example "stages.stage3"; "" is the network's last map.
        trust_films: Films of the test, each of another patient, that the methods are tested on for
            the trust card.
        seed: Of all chance in the methods and in their tests.
        neighbours: Training films shown as the most alike, for each explained film; 0 for none.
        concept_films: Films of each class, one a patient, whose maps are averaged zone by zone of
            the lungs; 0 for none.
        batch_size: Films, covered ones included, that go through the network at once.
    """

    methods: tuple[MethodName, ...] = Field(
        default=("occlusion", "grad_cam", "integrated_gradients"), min_length=1
    )
    films_per_class: int = Field(default=2, ge=1, le=100)
    occlusion_window_share: float = Field(default=1 / 6, gt=0, le=0.5)
    occlusion_stride_share: float = Field(default=0.0625, gt=0, le=0.5)
    occlusion_covers: tuple[CoverName, ...] = Field(
        default=("clear", "blur", "mean", "noise"), min_length=1
    )
    occlusion_coarse_to_fine: bool = False
    integrated_gradients_steps: int = Field(default=32, ge=1, le=1000)
    gradient_samples: int = Field(default=32, ge=1, le=1000)
    noise_sd: float = Field(default=0.15, gt=0, le=2)
    superpixels_along_side: int = Field(default=7, ge=2, le=16)
    superpixel_sets: int = Field(default=500, ge=10, le=100_000)
    grad_cam_layer: str = ""
    trust_films: int = Field(default=36, ge=4, le=1000)
    seed: int = Field(default=0, ge=0)
    neighbours: int = Field(default=4, ge=0, le=20)
    concept_films: int = Field(default=12, ge=0, le=1000)
    batch_size: int = Field(default=64, ge=1, le=65_536)

    @model_validator(mode="after")
    def _patches_leave_no_gap(self) -> Self:
        if self.occlusion_stride_share > self.occlusion_window_share:
            raise ValueError(
                "occlusion_stride_share is larger than occlusion_window_share, "
                "so that parts of the film would never be covered"
            )
        return self

    @model_validator(mode="after")
    def _each_name_once(self) -> Self:
        for key, names in (("methods", self.methods), ("occlusion_covers", self.occlusion_covers)):
            if len(set(names)) < len(names):
                raise ValueError(f"{key} names one thing twice")
        return self
