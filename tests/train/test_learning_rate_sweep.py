"""The sweep ends where the loss explodes and proposes where it falls fastest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cxresnet.core.config import Config
from cxresnet.core.errors import ConfigError
from cxresnet.train.learning_rate_sweep import (
    LearningRateCurve,
    choose_learning_rate,
    find_learning_rate,
    write_learning_rates,
)


def test_the_choice_by_hand() -> None:
    rates = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]

    # The longest falls are 8, 6, 2 from the first place to the fourth, and 8, 7, 3, 2 likewise:
    # their middle is the second. The blip of 7.9 in the third case breaks no fall.
    assert choose_learning_rate(rates, [8.0, 8.0, 6.0, 2.0, 20.0]) == 1e-3
    assert choose_learning_rate(rates, [8.0, 7.0, 3.0, 2.0, 20.0]) == 1e-3
    assert choose_learning_rate(rates, [8.0, 7.0, 7.9, 2.0, 1.0]) == 1e-2


def test_a_loss_that_hardly_falls_gives_no_rate() -> None:
    assert choose_learning_rate([1e-3, 1e-2, 1e-1], [1.10, 1.09, 1.10]) is None


@pytest.mark.slow
def test_a_sweep_gives_a_rate_within_its_range_and_the_same_one_again(
    squares: Any, tiny_config: Callable[..., Config]
) -> None:
    before = torch.random.get_rng_state()
    first, again = (
        find_learning_rate(squares, config=tiny_config(), highest=0.3, steps=30) for _ in range(2)
    )

    assert first == again
    assert len(first.rates) == len(first.losses) <= 30
    assert list(first.rates) == sorted(first.rates)
    assert first.suggestion is not None
    assert 1e-5 <= first.suggestion <= 0.3
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("wrong", [{"lowest": 0.0}, {"highest": 1e-9}, {"steps": 3}])
def test_a_range_that_leaves_nothing_to_sweep_is_refused(
    wrong: dict[str, Any], squares: Any, tiny_config: Callable[..., Config]
) -> None:
    with pytest.raises(ConfigError, match="0 < lowest < highest"):
        find_learning_rate(squares, config=tiny_config(), **wrong)


def test_the_curve_is_written_with_the_chosen_rate_marked(tmp_path: Path) -> None:
    curve = LearningRateCurve(rates=(0.001, 0.01, 0.1), losses=(1.0, 0.5, 2.0), suggestion=0.01)

    path = write_learning_rates(tmp_path / "learning_rates.csv", curve)

    assert path.read_text().splitlines() == [
        "learning_rate,train_loss,chosen",
        "0.001,1,0",
        "0.01,0.5,1",
        "0.1,2,0",
    ]
