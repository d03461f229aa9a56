"""Question 12: maps that show the evidence move with the lungs, maps that do not stay behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxresnet.audit.context import AuditContext, CannotBeTestedError
from cxresnet.audit.questions import map_follows
from cxresnet.audit.questions.map_follows import Triplet, answer_map_follows, choose_passed
from cxresnet.core.run_folder import RunFolder
from cxresnet.explain.lungs import ImageLungs
from cxresnet.explain.sanity.record import AboveChance, MethodCard, SanityCard, write_sanity_card
from cxresnet.metrics.estimate import Estimate

BuildAudit = Callable[..., AuditContext]

SPOTS = (
    (slice(16, 24), slice(13, 18)),
    (slice(16, 24), slice(31, 36)),
    (slice(28, 36), slice(13, 18)),
)
"""Where the bright spot of each class lies: each in another place of the lungs."""


class SpotNetwork(nn.Module):
    """Finds the spot of each class: a logit is the mean around its place."""

    def forward(self, images: Tensor) -> Tensor:
        means = [
            images[:, 0, down.start - 2 : down.stop + 3, across.start - 2 : across.stop + 2]
            for down, across in SPOTS
        ]
        return torch.stack([30 * one.mean(dim=(1, 2)) for one in means], dim=1)


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.asarray(images, np.float32) / 255).unsqueeze(1)


@dataclass(frozen=True)
class SpotModel:
    """The network as the audit sees it; all else as of a toy model."""

    toy: Any
    network: nn.Module
    predictor: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.toy, name)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        with torch.inference_mode():
            return self.network(to_tensor(images)).softmax(dim=1).double().numpy()


def write_card(run: RunFolder, **passed: bool) -> None:
    run.explain.mkdir(parents=True)
    card = SanityCard(
        content="c",
        images=1,
        masks_found=0,
        seed=0,
        versions={},
        above_chance=AboveChance(
            passed=True,
            macro_auroc=Estimate(value=0.9, low=0.8, high=1.0, n=9, groups=9),
            randomized_best=0.5,
            randomized_models=1,
            sentence="",
        ),
        methods=tuple(
            MethodCard(name=name, title=name, passed=one, tests=(), steps=())
            for name, one in passed.items()
        ),
    )
    write_sanity_card(run.explain, card)


@pytest.fixture
def spots(build_audit: BuildAudit, lung_model: Any, tmp_path: Path) -> AuditContext:
    """The audit of the network on dark lungs with one bright spot each, with a run around it."""
    network = SpotNetwork().eval()
    model = SpotModel(lung_model, network, SimpleNamespace(to_tensor=to_tensor))
    context = build_audit(model, map_images=12)
    images = np.full_like(np.asarray(context.test.images), 150)
    # The frame of every image is another one, so that a map can hang on it.
    images[:, 0, :] = np.arange(len(images), dtype=np.uint8)[:, None]
    for row, label in enumerate(context.truth.tolist()):
        images[row][context.find_lungs(row).mask > 0] = 50
        images[row][SPOTS[label]] = 200
    run = RunFolder(tmp_path / "run")
    return replace(context, test=replace(context.test, images=images), run=run)


@pytest.mark.slow
def test_maps_of_a_model_that_reads_the_lungs_follow(spots: AuditContext) -> None:
    assert spots.run is not None
    write_card(spots.run, grad_cam=True, occlusion=True)
    assert (spots.predicted == spots.truth).all()
    answer = answer_map_follows(spots)
    assert answer.verdict == "green"
    share, with_lungs, with_frame = answer.measures
    assert share.value is not None
    assert share.value > 0.9
    assert share.n == 12
    assert (with_lungs.value or 0) > (with_frame.value or 0) + 0.3
    assert "Occlusion" in answer.sentence
    assert [name for name, *_ in answer.pictures] == ["map_follows-examples.png"]


@pytest.mark.slow
def test_maps_that_hang_on_the_frame_are_red(
    spots: AuditContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attribute(_: object, __: object, image: Tensor, *rest: object) -> NDArray[np.float32]:
        seed = round(255 * float(image[0, 0, 0, 0]))
        return np.random.default_rng(seed).normal(size=image.shape[2:]).astype(np.float32)

    assert spots.run is not None
    write_card(spots.run, occlusion=True)
    monkeypatch.setattr(map_follows, "_attribute", attribute)
    answer = answer_map_follows(spots)
    assert answer.verdict == "red"
    assert answer.measures[0].value == 0


def test_where_no_method_passed_nothing_is_compared(spots: AuditContext) -> None:
    with pytest.raises(CannotBeTestedError, match="were not checked"):
        answer_map_follows(spots)
    assert spots.run is not None
    write_card(spots.run, occlusion=False, grad_cam=False)
    with pytest.raises(CannotBeTestedError, match="No attribution method passed"):
        answer_map_follows(spots)


def test_somebody_elses_model_has_no_maps_here(build_audit: BuildAudit, lung_model: Any) -> None:
    with pytest.raises(CannotBeTestedError, match="networks of CXResnet only"):
        answer_map_follows(build_audit(lung_model))


@pytest.mark.slow
def test_where_the_answer_follows_the_frame_no_map_can_follow(
    spots: AuditContext, corner_model: Any
) -> None:
    assert spots.run is not None
    write_card(spots.run, occlusion=True)

    @dataclass(frozen=True)
    class FrameModel(SpotModel):
        def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
            return np.eye(3)[np.asarray(images)[:, 0, 0].astype(int) % 3]

    frame = FrameModel(corner_model, SpotNetwork().eval(), spots.model.predictor)
    with pytest.raises(CannotBeTestedError, match="in 0 images only"):
        answer_map_follows(replace(spots, model=frame, _shared=dict(spots._shared)))


def test_occlusion_is_taken_first_among_those_that_passed() -> None:
    def build(**passed: bool) -> tuple[MethodCard, ...]:
        return tuple(
            MethodCard(name=name, title=name, passed=one, tests=(), steps=())
            for name, one in passed.items()
        )

    assert choose_passed(build(grad_cam=True, occlusion=True)) == "occlusion"
    assert choose_passed(build(grad_cam=True, occlusion=False)) == "grad_cam"
    assert choose_passed(build(occlusion=False)) is None


def test_the_donors_map_is_compared_where_its_lungs_now_lie() -> None:
    masks = np.zeros((2, 2, 40, 40), bool)  # donor and host, right and left lung
    masks[0, 0, 4:20, 4:12] = masks[0, 1, 4:20, 24:32] = True
    masks[1, 0, 16:32, 8:16] = masks[1, 1, 16:32, 28:36] = True
    donor_lungs, host_lungs = (ImageLungs(right, left, "dataset") for right, left in masks)
    values = np.random.default_rng(4).normal(size=(40, 40)).astype(np.float32)
    moved = np.roll(values, (12, 4), axis=(0, 1))
    other = np.random.default_rng(5).normal(size=(40, 40)).astype(np.float32)
    one, two = Triplet(moved, values, other, donor_lungs, host_lungs).compare()
    assert one == pytest.approx(1, abs=1e-6)
    assert abs(two) < 0.3
