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
from cxresnet.explain.method import AbstractMethod, Question
from cxresnet.explain.methods import build_methods
from cxresnet.explain.trust.card import CardContext, measure_card
from cxresnet.explain.trust.films import TrustFilms
from cxresnet.explain.trust.knowledge import measure_knowledge
from cxresnet.explain.trust.markdown import render_markdown
from cxresnet.explain.trust.record import MethodCard, TrustCard

# Grey, as these films are half noise, which a grey opening would clear away as if it were bright.
CONFIG = ExplainConfig(
    occlusion_window_share=0.1875, occlusion_stride_share=0.09375, occlusion_covers=("mean",)
)
CLASS_NAMES = ("normal", "ill")
FILMS = 30

pytestmark = pytest.mark.slow


def _take_films(films: TrustFilms, count: int) -> TrustFilms:
    parts = {
        field.name: getattr(films, field.name)[:count]
        for field in dataclasses.fields(films)
        if field.name != "grey_level"
    }
    return dataclasses.replace(films, **parts)


def _measure(network: nn.Module, films: TrustFilms, *names: str) -> TrustCard:
    knowledge = measure_knowledge(
        network,
        films.images,
        truth=np.array(films.truth),
        groups=np.arange(len(films)).astype(str),
        class_names=CLASS_NAMES,
        seed=0,
    )
    return measure_card(
        network,
        build_methods(names, CONFIG, side_px=films.films.shape[-1]),  # type: ignore[arg-type]
        _take_films(films, FILMS),
        context=CardContext(class_names=CLASS_NAMES, knowledge=knowledge),
    )


@pytest.fixture(scope="module")
def lesion_card(lesion_network: nn.Module, lesion_films: TrustFilms) -> TrustCard:
    return _measure(lesion_network, lesion_films, "occlusion", "guided_backprop")


def _get_verdicts(card: MethodCard) -> dict[str, str]:
    return {test.test: test.verdict for test in card.tests}


def _copy_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_occlusion_passes_on_a_network_that_has_learned_lesions(lesion_card: TrustCard) -> None:
    assert lesion_card.knowledge.passed
    assert _get_verdicts(lesion_card.methods[0]) == dict.fromkeys(
        ("weights", "deletion", "insertion", "repeatability", "lungs", "pointing"), "pass"
    ), render_markdown(lesion_card)
    assert lesion_card.methods[0].trusted
    assert not lesion_card.is_distrusted("occlusion")


def test_occlusion_points_at_the_lesion_on_nine_films_of_ten(lesion_card: TrustCard) -> None:
    pointing = lesion_card.methods[0].tests[-1].measures[0]
    assert pointing.estimate.value is not None
    assert pointing.estimate.value >= 0.9
    assert pointing.chance is not None
    assert pointing.chance < 0.6


def test_guided_backpropagation_fails_because_it_needs_nothing_learned(
    lesion_card: TrustCard,
) -> None:
    card = lesion_card.methods[1]
    assert _get_verdicts(card)["weights"] == "fail"
    assert lesion_card.is_distrusted("guided_backprop")


def test_a_network_with_random_weights_fails_every_test(
    random_network: nn.Module, lesion_films: TrustFilms
) -> None:
    card = _measure(random_network, lesion_films, "occlusion", "guided_backprop")
    assert not card.knowledge.passed
    for method in card.methods:
        assert set(_get_verdicts(method).values()) <= {"fail", "not tested"}
        assert not method.trusted


def test_a_network_that_reads_the_letter_fails_in_the_lungs(
    marker_network: nn.Module, marker_films: TrustFilms
) -> None:
    card = _measure(marker_network, marker_films, "occlusion")
    assert card.knowledge.passed
    assert _get_verdicts(card.methods[0])["lungs"] == "fail"


@dataclass(frozen=True)
class Breaking(AbstractMethod):
    """Breaks at the second network that it is shown."""

    name: ClassVar[str] = "breaking"
    title: ClassVar[str] = "Breaking"

    @property
    def reading(self) -> str:
        return ""

    def _compute(self, question: Question) -> Tensor:
        if question.model is not Breaking.first:
            raise RuntimeError("broken")
        return question.images[:, 0]

    first: ClassVar[nn.Module | None] = None


def test_the_network_stays_as_it_is_also_after_an_error(
    lesion_network: nn.Module, lesion_films: TrustFilms, lesion_card: TrustCard
) -> None:
    before = _copy_state(lesion_network)
    Breaking.first = lesion_network
    with pytest.raises(RuntimeError, match="broken"):
        measure_card(
            lesion_network,
            [Breaking()],
            _take_films(lesion_films, 4),
            context=CardContext(class_names=CLASS_NAMES, knowledge=lesion_card.knowledge),
        )
    after = lesion_network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    for module in lesion_network.modules():
        assert not module.training
        assert not module._forward_hooks
        assert not module._backward_hooks
    assert all(weights.grad is None for weights in lesion_network.parameters())
