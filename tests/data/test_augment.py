"""Films are varied as decided, all at once, and never in a way that anatomy forbids."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cxresnet.core.config import TrainConfig
from cxresnet.core.config.train import AugmentConfig
from cxresnet.data.augment import Changes, apply_changes, sample_changes

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


def sample(config: AugmentConfig, *, count: int = 6, seed: int = 0) -> Changes:
    return sample_changes(count, config, generator=torch.Generator().manual_seed(seed))


def draw_films(*, count: int = 6, side: int = 16) -> Tensor:
    return torch.randn(count, 1, side, side, generator=torch.Generator().manual_seed(1))


def test_without_any_change_films_stay_as_they_are() -> None:
    films = draw_films()

    torch.testing.assert_close(apply_changes(films, sample(NOTHING)), films)


def test_the_given_films_are_not_touched() -> None:
    films = draw_films()
    before = films.clone()

    apply_changes(films, sample(AugmentConfig(border_erase_share=0.2, gamma=0.3)))

    assert torch.equal(films, before)


def test_the_same_chance_gives_the_same_films_and_another_gives_others() -> None:
    films = draw_films()
    first, again, other = (
        apply_changes(films, sample(AugmentConfig(), seed=seed)) for seed in (3, 3, 4)
    )

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_batch_is_changed_as_its_films_one_by_one_are() -> None:
    films, changes = draw_films(), sample(only(rotation_degrees=10, contrast=0.3, gamma=0.2))
    one_by_one = [
        apply_changes(
            films[number : number + 1],
            Changes(
                **{
                    name: value[number : number + 1] if isinstance(value, Tensor) else value
                    for name, value in vars(changes).items()
                }
            ),
        )
        for number in range(len(films))
    ]

    torch.testing.assert_close(apply_changes(films, changes), torch.cat(one_by_one))


def test_nothing_is_mirrored_or_upside_down_unless_asked() -> None:
    # The determinant of a mirroring is below 0; turned by 90 degrees the first entry would vanish.
    geometry = sample(AugmentConfig(), count=500).geometry

    assert torch.linalg.det(geometry[:, :, :2]).min() > 0
    assert geometry[:, 0, 0].min() > 0.5
    assert geometry[:, 1, 1].min() > 0.5


def test_on_request_half_of_the_films_are_mirrored_left_to_right() -> None:
    changes = sample(only(horizontal_flip=True), count=400)
    mirrored = torch.linalg.det(changes.geometry[:, :, :2]) < 0
    films = draw_films(count=400)

    assert 0.4 < mirrored.float().mean() < 0.6
    torch.testing.assert_close(
        apply_changes(films, changes)[mirrored], films[mirrored].flip(-1), atol=1e-4, rtol=0
    )


def test_a_film_is_turned_by_at_most_the_angle_asked_for() -> None:
    geometry = sample(only(rotation_degrees=10), count=500).geometry

    angles = torch.atan2(geometry[:, 1, 0], geometry[:, 0, 0]) * 180 / math.pi

    assert 9 < angles.abs().max() <= 10


def test_a_shift_by_one_pixel_moves_the_film_by_one_pixel() -> None:
    # 8 pixels are 2 units wide, so one pixel is 0.25: each pixel is taken from its right neighbour.
    films, changes = draw_films(count=1, side=8), sample(NOTHING, count=1)
    changes.geometry[0, 0, 2] = 0.25

    moved = apply_changes(films, changes)

    torch.testing.assert_close(moved[..., :-1], films[..., 1:], atol=1e-5, rtol=0)


def test_contrast_and_brightness_are_a_factor_and_a_summand() -> None:
    films, changes = draw_films(count=2), sample(only(contrast=0.5, brightness=0.5), count=2)

    expected = films * changes.contrast + changes.brightness

    torch.testing.assert_close(apply_changes(films, changes), expected)


def test_the_frame_is_erased_and_the_middle_is_not() -> None:
    # A frame of 0.2 of 10 pixels: the centres at 0.05 and 0.15 lie in it, the one at 0.25 does not.
    films, changes = torch.full((1, 1, 10, 10), 2.0), sample(NOTHING, count=1)
    changes.frame.fill_(0.2)

    changed = apply_changes(films, changes)[0, 0]

    assert changed.count_nonzero() == 36
    assert (changed[2:8, 2:8] == 2).all()


def test_a_blurred_dot_by_hand() -> None:
    # 1-2-1 across and down: 4 of 16 parts stay in the middle, 2 go to each side, 1 to each corner.
    films, changes = torch.zeros(1, 1, 5, 5), sample(NOTHING, count=1)
    films[0, 0, 2, 2] = 16
    changes.blur.fill_(1)

    blurred = apply_changes(films, changes)[0, 0]

    expected = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
    torch.testing.assert_close(blurred[1:4, 1:4], expected, atol=1e-4, rtol=0)


def test_geometry_is_read_as_pytorch_s_affine_grid_reads_it() -> None:
    films = draw_films()
    changes = sample(only(rotation_degrees=20, scale_share=0.2, shift_share=0.2))

    grid = functional.affine_grid(changes.geometry, list(films.shape), align_corners=False)
    expected = functional.grid_sample(films, grid, padding_mode="border", align_corners=False)

    torch.testing.assert_close(apply_changes(films, changes), expected, atol=1e-5, rtol=0)


def test_noise_has_the_strength_that_was_decided() -> None:
    films, changes = torch.zeros(1, 1, 100, 100), sample(NOTHING, count=1)
    changes.noise.fill_(0.3)

    assert apply_changes(films, changes).std() == pytest.approx(0.3, rel=0.05)


def test_by_default_left_stays_left() -> None:
    assert not TrainConfig().augment.horizontal_flip
