from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cxresnet.predict.gate import compute_dice, explain_refusal, measure_lungs

SIDE = 20


def _draw(left: tuple[slice, slice], right: tuple[slice, slice]) -> NDArray[np.float32]:
    shares = np.zeros((2, SIDE, SIDE), np.float32)
    shares[0][left] = 1
    shares[1][right] = 1
    return shares


GOOD = _draw((slice(4, 16), slice(2, 8)), (slice(4, 16), slice(12, 18)))


def _refuse(shares: NDArray[np.float32], views: NDArray[np.float32] | None = None) -> str:
    return explain_refusal(measure_lungs(shares, shares[None] if views is None else views))


def test_dice_by_hand() -> None:
    # 4 and 2 pixels, 1 in common: 2 * 1 / 6.
    one = np.array([1, 1, 1, 1, 0], bool)
    other = np.array([0, 0, 0, 1, 1], bool)
    assert compute_dice(one, other) == pytest.approx(1 / 3)
    assert compute_dice(one, ~one) == 0
    assert compute_dice(~one & one, ~one & one) == 1


def test_a_pair_of_lungs_is_measured_by_hand() -> None:
    measures = measure_lungs(GOOD, GOOD[None])
    assert measures.area_share == pytest.approx(2 * 12 * 6 / 400)
    assert (measures.balance, measures.largest_component_share, measures.common_height) == (1, 1, 1)
    assert (measures.confidence, measures.agreement, measures.side_by_side) == (1, 1, True)
    assert explain_refusal(measures) == ""


def test_confidence_is_the_dice_that_the_network_expects() -> None:
    # Found: 144 px at 0.8; nothing elsewhere. 2 * 115.2 / (115.2 + 144).
    measures = measure_lungs(GOOD * 0.8, GOOD[None])
    assert measures.confidence == pytest.approx(2 * 115.2 / (115.2 + 144), abs=1e-5)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (np.zeros_like(GOOD), "only 0% of the image"),
        (np.ones_like(GOOD), "100% of the image"),
        (GOOD[::-1].copy(), "side by side"),
        (GOOD * np.array([1, 0], np.float32)[:, None, None], "one lung is missing"),
        (_draw((slice(0, 8), slice(2, 8)), (slice(10, 18), slice(12, 18))), "at different heights"),
        (GOOD * (np.arange(SIDE) % 6 > 1).astype(np.float32)[:, None], "split into several pieces"),
        (GOOD * 0.6, "is not confident"),
    ],
)
def test_what_is_no_pair_of_lungs_is_refused_with_the_reason(
    shares: NDArray[np.float32], message: str
) -> None:
    assert message in _refuse(shares)


def test_answers_that_change_with_the_view_are_refused() -> None:
    moved = np.roll(GOOD, 3, axis=1)
    assert "mirroring or shifting" in _refuse(GOOD, np.stack([GOOD, moved]))
