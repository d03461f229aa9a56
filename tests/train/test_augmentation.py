"""Images are varied as decided, all at once, and never in a way that anatomy forbids."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cxresnet.core.config import TrainConfig
from cxresnet.core.config.train import AugmentConfig
from cxresnet.train import augmentation as augmentation_module
from cxresnet.train.augmentation import (
    Augmentation,
    AugmentationParameters,
    RandomDraws,
    apply_augmentation,
    register_augmentation,
    sample_augmentation,
)

NOTHING = AugmentConfig(
    rotation_degrees=0,
    scale_share=0,
    shift_share=0,
    contrast=0,
    brightness=0,
    gamma=0,
    noise=0,
    border_erase_share=0,
)


def only(**changed: float | bool) -> AugmentConfig:
    return NOTHING.model_copy(update=changed)


def sample(config: AugmentConfig, *, count: int = 6, seed: int = 0) -> AugmentationParameters:
    return sample_augmentation(count, config, generator=torch.Generator().manual_seed(seed))


def draw_images(*, count: int = 6, side: int = 16) -> Tensor:
    return torch.randn(count, 1, side, side, generator=torch.Generator().manual_seed(1))


def test_without_any_change_images_stay_as_they_are() -> None:
    images = draw_images()

    torch.testing.assert_close(apply_augmentation(images, sample(NOTHING)), images)


def test_the_given_images_are_not_touched() -> None:
    images = draw_images()
    before = images.clone()

    apply_augmentation(images, sample(AugmentConfig(border_erase_share=0.2, gamma=0.3)))

    assert torch.equal(images, before)


def test_the_same_chance_gives_the_same_images_and_another_gives_others() -> None:
    images = draw_images()
    first, again, other = (
        apply_augmentation(images, sample(AugmentConfig(), seed=seed)) for seed in (3, 3, 4)
    )

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_batch_is_changed_as_its_images_one_by_one_are() -> None:
    images, augmentation = draw_images(), sample(only(rotation_degrees=10, contrast=0.3, gamma=0.2))
    one_by_one = [
        apply_augmentation(
            images[number : number + 1],
            {name: values[number : number + 1] for name, values in augmentation.items()},
        )
        for number in range(len(images))
    ]

    torch.testing.assert_close(apply_augmentation(images, augmentation), torch.cat(one_by_one))


def test_nothing_is_mirrored_or_upside_down_unless_asked() -> None:
    # The determinant of a mirroring is below 0; turned by 90 degrees the first entry would vanish.
    geometry = sample(AugmentConfig(), count=500)["geometry"]

    assert torch.linalg.det(geometry[:, :, :2]).min() > 0
    assert geometry[:, 0, 0].min() > 0.5
    assert geometry[:, 1, 1].min() > 0.5


def test_on_request_half_of_the_images_are_mirrored_left_to_right() -> None:
    augmentation = sample(only(horizontal_flip=True), count=400)
    mirrored = torch.linalg.det(augmentation["geometry"][:, :, :2]) < 0
    images = draw_images(count=400)

    assert 0.4 < mirrored.float().mean() < 0.6
    torch.testing.assert_close(
        apply_augmentation(images, augmentation)[mirrored],
        images[mirrored].flip(-1),
        atol=1e-4,
        rtol=0,
    )


def test_an_image_is_turned_by_at_most_the_angle_asked_for() -> None:
    geometry = sample(only(rotation_degrees=10), count=500)["geometry"]

    angles = torch.atan2(geometry[:, 1, 0], geometry[:, 0, 0]) * 180 / math.pi

    assert 9 < angles.abs().max() <= 10


def test_a_shift_by_one_pixel_moves_the_image_by_one_pixel() -> None:
    # 8 pixels are 2 units wide, so one pixel is 0.25: each pixel is taken from its right neighbour.
    images, augmentation = draw_images(count=1, side=8), sample(NOTHING, count=1)
    augmentation["geometry"][0, 0, 2] = 0.25

    moved = apply_augmentation(images, augmentation)

    torch.testing.assert_close(moved[..., :-1], images[..., 1:], atol=1e-5, rtol=0)


def test_contrast_and_brightness_are_a_factor_and_a_summand() -> None:
    images, augmentation = draw_images(count=2), sample(only(contrast=0.5, brightness=0.5), count=2)

    expected = images * augmentation["contrast"] + augmentation["brightness"]

    torch.testing.assert_close(apply_augmentation(images, augmentation), expected)


def test_the_frame_is_erased_and_the_middle_is_not() -> None:
    # A frame of 0.2 of 10 pixels: the centres at 0.05 and 0.15 lie in it, the one at 0.25 does not.
    images, augmentation = torch.full((1, 1, 10, 10), 2.0), sample(NOTHING, count=1)
    augmentation["frame"].fill_(0.2)

    changed = apply_augmentation(images, augmentation)[0, 0]

    assert changed.count_nonzero() == 36
    assert (changed[2:8, 2:8] == 2).all()


def test_a_blurred_dot_by_hand() -> None:
    # 1-2-1 across and down: 4 of 16 parts stay in the middle, 2 go to each side, 1 to each corner.
    images, augmentation = torch.zeros(1, 1, 5, 5), sample(NOTHING, count=1)
    images[0, 0, 2, 2] = 16
    augmentation["blur"].fill_(1)

    blurred = apply_augmentation(images, augmentation)[0, 0]

    expected = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
    torch.testing.assert_close(blurred[1:4, 1:4], expected, atol=1e-4, rtol=0)


def test_geometry_is_read_as_pytorch_s_affine_grid_reads_it() -> None:
    images = draw_images()
    augmentation = sample(only(rotation_degrees=20, scale_share=0.2, shift_share=0.2))

    grid = functional.affine_grid(augmentation["geometry"], list(images.shape), align_corners=False)
    expected = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)

    torch.testing.assert_close(
        apply_augmentation(images, augmentation), expected, atol=1e-5, rtol=0
    )


def test_noise_has_the_strength_that_was_decided() -> None:
    images, augmentation = torch.zeros(1, 1, 100, 100), sample(NOTHING, count=1)
    augmentation["noise"].fill_(0.3)

    assert apply_augmentation(images, augmentation).std() == pytest.approx(0.3, rel=0.05)


def test_by_default_left_stays_left() -> None:
    assert not TrainConfig().augment.horizontal_flip


def test_a_new_augmentation_is_one_class_and_leaves_the_draws_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = sample(AugmentConfig(noise=0.5))

    class Invert(Augmentation):
        name = "invert"
        order = 9

        def sample(self, draws: RandomDraws, config: AugmentConfig) -> Tensor:
            return draws.draw_sign().view(-1, 1, 1, 1)

        def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
            return images * parameters["invert"]

    plain = apply_augmentation(draw_images(), before)
    monkeypatch.setattr(
        augmentation_module, "_AUGMENTATIONS", dict(augmentation_module._AUGMENTATIONS)
    )
    register_augmentation(Invert)
    after = sample(AugmentConfig(noise=0.5))
    assert all(torch.equal(after[name], values) for name, values in before.items())
    assert {*after["invert"].flatten().tolist()} == {-1.0, 1.0}
    torch.testing.assert_close(apply_augmentation(draw_images(), after), plain * after["invert"])


def test_stretching_keeps_the_area_and_stays_within_the_share() -> None:
    geometry = sample(only(aspect_share=0.25), count=200)["geometry"]
    wide, high = geometry[:, 0, 0], geometry[:, 1, 1]

    torch.testing.assert_close(wide * high, torch.ones(200))
    assert float(wide.max()) <= 1.25 + 1e-6
    assert float(wide.min()) >= 1 / 1.25 - 1e-6
    assert float(wide.max() - wide.min()) > 0.3


def test_stretching_that_is_off_leaves_the_other_random_numbers_alone() -> None:
    still, stretched = (sample(AugmentConfig(aspect_share=share)) for share in (0.0, 0.3))

    assert torch.equal(still["geometry"][:, 0, 0], sample(AugmentConfig())["geometry"][:, 0, 0])
    assert not torch.equal(still["geometry"], stretched["geometry"])
