"""How the network is explained."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from cxresnet.core.config.section import Section

OcclusionBaselineName = Literal["clear", "blur", "mean", "noise"]

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
        methods: Attribution methods, in the order in which their maps are shown.
        images_per_class: Most confident correct, most confident incorrect and least confident
            correct images of each class: the largest number of each.
        occlusion_window_share: Side of the occluding patch, as a share of the image's side: 1/5 of
            an image of 35 cm is 7 cm. Chosen with the stride on drawn validation images
            (docs/experiments.md).
        occlusion_stride_share: Stride of the patch, likewise; at most the patch itself.
        occlusion_baselines: What a covered patch is filled with: the image without bright
            structures smaller than the patch (grey opening); the blurred image; the mean grey of
            the training images; noise. The first gives the map, all of them the range between
            baselines. Grey and noise are themselves opacities in a dark lung: on phantoms their
            maps do not point at the lesion, and they are not in the default.
        occlusion_coarse_to_fine: Measure every second patch, and those in between only where the
            effect is large. Faster, but weak effects are interpolated.
        integrated_gradients_steps: Points on the path from grey to the image.
        gradient_samples: Random samples of SmoothGrad and GradientSHAP.
        noise_sd: Noise of SmoothGrad, in standard deviations of the training images' grey.
        superpixels_per_side: Of KernelSHAP.
        kernel_shap_samples: Coalitions of superpixels that KernelSHAP evaluates.
        grad_cam_layer: For example "stages.stage3"; "" is the last feature map.
        sanity_check_images: Test images, each of another patient, for the sanity checks.
        seed: Of all random draws in the methods and their sanity checks.
        neighbours: Nearest training images shown for each explained image; 0 for none.
        zone_mean_images: Images per class, one per patient, whose maps are averaged per lung zone;
            0 for none.
        batch_size: Images, covered ones included, that go through the network at once.
    """

    methods: tuple[MethodName, ...] = Field(
        default=("occlusion", "grad_cam", "integrated_gradients"), min_length=1
    )
    images_per_class: int = Field(default=2, ge=1, le=100)
    occlusion_window_share: float = Field(default=1 / 5, gt=0, le=0.5)
    occlusion_stride_share: float = Field(default=1 / 12, gt=0, le=0.5)
    occlusion_baselines: tuple[OcclusionBaselineName, ...] = Field(
        default=("clear", "blur"), min_length=1
    )
    occlusion_coarse_to_fine: bool = False
    integrated_gradients_steps: int = Field(default=32, ge=1, le=1000)
    gradient_samples: int = Field(default=32, ge=1, le=1000)
    noise_sd: float = Field(default=0.15, gt=0, le=2)
    superpixels_per_side: int = Field(default=7, ge=2, le=16)
    kernel_shap_samples: int = Field(default=500, ge=10, le=100_000)
    grad_cam_layer: str = ""
    sanity_check_images: int = Field(default=36, ge=4, le=1000)
    seed: int = Field(default=0, ge=0)
    neighbours: int = Field(default=4, ge=0, le=20)
    zone_mean_images: int = Field(default=12, ge=0, le=1000)
    batch_size: int = Field(default=64, ge=1, le=65_536)

    @model_validator(mode="after")
    def _patches_leave_no_gap(self) -> Self:
        if self.occlusion_stride_share > self.occlusion_window_share:
            raise ValueError(
                "occlusion_stride_share is larger than occlusion_window_share, "
                "so that parts of the image would never be covered"
            )
        return self

    @model_validator(mode="after")
    def _each_name_once(self) -> Self:
        for key, names in (
            ("methods", self.methods),
            ("occlusion_baselines", self.occlusion_baselines),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"{key} lists an entry twice")
        return self
