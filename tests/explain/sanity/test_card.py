"""Planted truth: what must pass passes, and what must fail fails."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxresnet.core.config import ExplainConfig
from cxresnet.explain.methods.method import AbstractMethod, AttributionInputs, build_methods
from cxresnet.explain.sanity.above_chance import measure_above_chance
from cxresnet.explain.sanity.card import CardContext, measure_card, render_markdown
from cxresnet.explain.sanity.check import SanityImages
from cxresnet.explain.sanity.record import MethodCard, SanityCard

# Grey, as these images are half noise, which a grey opening would clear away as if it were bright.
CONFIG = ExplainConfig(
    occlusion_window_share=0.1875, occlusion_stride_share=0.09375, occlusion_baselines=("mean",)
)
CLASS_NAMES = ("normal", "ill")
IMAGES = 30

pytestmark = pytest.mark.slow


def _take_images(images: SanityImages, count: int) -> SanityImages:
    parts = {
        field.name: getattr(images, field.name)[:count]
        for field in dataclasses.fields(images)
        if field.name != "grey_level"
    }
    return dataclasses.replace(images, **parts)


def _measure(network: nn.Module, images: SanityImages, *names: str) -> SanityCard:
    above_chance = measure_above_chance(
        network,
        images.images,
        truth=np.array(images.truth),
        groups=np.arange(len(images)).astype(str),
        class_names=CLASS_NAMES,
        seed=0,
    )
    return measure_card(
        network,
        build_methods(names, CONFIG, side_px=images.images.shape[-1]),  # type: ignore[arg-type]
        _take_images(images, IMAGES),
        context=CardContext(class_names=CLASS_NAMES, above_chance=above_chance),
    )


@pytest.fixture(scope="module")
def lesion_card(lesion_network: nn.Module, lesion_images: SanityImages) -> SanityCard:
    return _measure(lesion_network, lesion_images, "occlusion", "guided_backprop")


def _get_verdicts(card: MethodCard) -> dict[str, str]:
    return {test.test: test.verdict for test in card.tests}


def _copy_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_occlusion_passes_on_a_network_that_has_learned_lesions(lesion_card: SanityCard) -> None:
    assert lesion_card.above_chance.passed
    tests = ("weight_randomization", "deletion", "insertion", "repeatability", "lungs", "pointing")
    expected = dict.fromkeys(tests, "pass") | {"baselines": "not tested"}
    assert _get_verdicts(lesion_card.methods[0]) == expected, render_markdown(lesion_card)
    assert lesion_card.methods[0].passed
    assert not lesion_card.has_failed("occlusion")


def test_occlusion_points_at_the_lesion_on_nine_images_of_ten(lesion_card: SanityCard) -> None:
    tests = {test.test: test for test in lesion_card.methods[0].tests}
    pointing = tests["pointing"].measures[0]
    assert pointing.estimate.value is not None
    assert pointing.estimate.value >= 0.9
    assert pointing.chance is not None
    assert pointing.chance < 0.6


def test_guided_backpropagation_fails_because_it_needs_nothing_learned(
    lesion_card: SanityCard,
) -> None:
    card = lesion_card.methods[1]
    assert _get_verdicts(card)["weight_randomization"] == "fail"
    assert lesion_card.has_failed("guided_backprop")


def test_a_network_with_random_weights_fails_every_test(
    random_network: nn.Module, lesion_images: SanityImages
) -> None:
    card = _measure(random_network, lesion_images, "occlusion", "guided_backprop")
    assert not card.above_chance.passed
    for method in card.methods:
        assert set(_get_verdicts(method).values()) <= {"fail", "not tested"}
        assert not method.passed


def test_a_network_that_reads_the_letter_fails_in_the_lungs(
    marker_network: nn.Module, marker_images: SanityImages
) -> None:
    card = _measure(marker_network, marker_images, "occlusion")
    assert card.above_chance.passed
    assert _get_verdicts(card.methods[0])["lungs"] == "fail"


@dataclass(frozen=True)
class Breaking(AbstractMethod):
    """Breaks at the second network that it is shown."""

    name: ClassVar[str] = "breaking"
    title: ClassVar[str] = "Breaking"

    @property
    def interpretation(self) -> str:
        return ""

    def _compute(self, inputs: AttributionInputs) -> Tensor:
        if inputs.model is not Breaking.first:
            raise RuntimeError("broken")
        return inputs.images[:, 0]

    first: ClassVar[nn.Module | None] = None


def test_the_network_stays_as_it_is_also_after_an_error(
    lesion_network: nn.Module, lesion_images: SanityImages, lesion_card: SanityCard
) -> None:
    before = _copy_state(lesion_network)
    Breaking.first = lesion_network
    with pytest.raises(RuntimeError, match="broken"):
        measure_card(
            lesion_network,
            [Breaking()],
            _take_images(lesion_images, 4),
            context=CardContext(class_names=CLASS_NAMES, above_chance=lesion_card.above_chance),
        )
    after = lesion_network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    for module in lesion_network.modules():
        assert not module.training
        assert not module._forward_hooks
        assert not module._backward_hooks
    assert all(weights.grad is None for weights in lesion_network.parameters())
