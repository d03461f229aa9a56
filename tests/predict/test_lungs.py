from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from cxresnet.core.errors import CheckpointError
from cxresnet.data.phantoms.draw import PhantomImage, draw_phantom
from cxresnet.data.phantoms.plan import PhantomSettings, plan_phantoms
from cxresnet.predict.gate import compute_dice
from cxresnet.predict.lungs import SHIPPED_WEIGHTS, load_lung_finder, standardise

UNSEEN_SEED = 4711
"""The weights were trained on phantoms of other seeds."""


@pytest.fixture(scope="module")
def drawn() -> list[PhantomImage]:
    settings = PhantomSettings(images_per_class=3, side_px=160, seed=UNSEEN_SEED)
    return [draw_phantom(plan, settings) for plan in plan_phantoms(settings)]


def _stack(drawn: list[PhantomImage]) -> NDArray[np.uint8]:
    return np.stack([image.pixels for image in drawn])


@pytest.mark.slow
def test_the_lungs_of_drawn_images_are_found(drawn: list[PhantomImage]) -> None:
    found = load_lung_finder().find_all(_stack(drawn))
    assert [lungs.refusal for lungs in found] == [""] * len(drawn)
    dice = [
        compute_dice(lungs.mask > 0, image.lung_mask > 0)
        for lungs, image in zip(found, drawn, strict=True)
    ]
    assert min(dice) > 0.9


@pytest.mark.slow
def test_the_patients_right_lung_lies_at_the_pictures_left(drawn: list[PhantomImage]) -> None:
    for lungs in load_lung_finder().find_all(_stack(drawn)):
        assert np.nonzero(lungs.right_lung)[1].mean() < 80 < np.nonzero(lungs.left_lung)[1].mean()
        assert not (lungs.right_lung & lungs.left_lung).any()


def test_an_image_of_any_shape_gets_lungs_of_its_own_shape(drawn: list[PhantomImage]) -> None:
    wide = np.asarray(Image.fromarray(drawn[0].pixels).resize((300, 200)))
    lungs = load_lung_finder().find(wide)
    assert lungs.mask.shape == (200, 300)
    assert set(np.unique(lungs.mask)) == {0, 255}


@pytest.mark.slow
def test_images_alone_and_together_give_the_same_lungs(drawn: list[PhantomImage]) -> None:
    images = _stack(drawn)
    together = load_lung_finder().find_all(images)
    alone = load_lung_finder().find(images[2])
    assert compute_dice(alone.mask > 0, together[2].mask > 0) > 0.999


@pytest.mark.slow
def test_exposure_does_not_matter(drawn: list[PhantomImage]) -> None:
    image = drawn[0].pixels
    dark = (image // 3).astype(np.uint8)
    found, again = load_lung_finder().find(image), load_lung_finder().find(dark)
    assert compute_dice(found.mask > 0, again.mask > 0) > 0.97


def _make_bad_images(image: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    generator = np.random.default_rng(0)
    ramp = np.tile(np.linspace(0, 255, image.shape[1]), (image.shape[0], 1)).astype(np.uint8)
    return {
        "noise": generator.integers(0, 256, image.shape, dtype=np.uint8),
        "black": np.zeros_like(image),
        "a ramp": ramp,
        "lying on its left": np.ascontiguousarray(np.rot90(image)),
        "lying on its right": np.ascontiguousarray(np.rot90(image, 3)),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["noise", "black", "a ramp", "lying on its left", "lying on its right"]
)
def test_what_is_no_upright_image_is_refused(kind: str, drawn: list[PhantomImage]) -> None:
    for image in drawn[:3]:
        lungs = load_lung_finder().find(_make_bad_images(image.pixels)[kind])
        assert lungs.refusal.startswith("No reliable lungs found: ")
        assert not lungs.mask.any()


def test_the_weights_fit_into_the_package() -> None:
    size = sum(file.stat().st_size for file in SHIPPED_WEIGHTS.iterdir())
    assert size <= 3 * 2**20


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(SHIPPED_WEIGHTS, folder)
    file = folder / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="was altered"):
        load_lung_finder(folder)


def test_the_finder_leaves_no_gradient_and_stays_in_evaluation_mode(
    drawn: list[PhantomImage],
) -> None:
    finder = load_lung_finder()
    finder.find(drawn[0].pixels)
    assert not finder.network.training
    assert all(parameter.grad is None for parameter in finder.network.parameters())


def test_standardised_images_have_mean_0_and_deviation_1() -> None:
    images = torch.rand(3, 1, 16, 16) * torch.tensor([1.0, 40.0, 255.0]).view(3, 1, 1, 1)
    standard = standardise(images)
    assert standard.mean(dim=(1, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert standard.std(dim=(1, 2, 3), correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-3)
