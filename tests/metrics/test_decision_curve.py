from __future__ import annotations

import numpy as np
import pytest

from cxresnet.metrics.classification import Judged
from cxresnet.metrics.decision_curve import build_net_benefit_statistics, compute_benefit_of_all
from cxresnet.metrics.statistic import compute_value


def _judge(second: list[float], truth: list[int]) -> Judged:
    scores = np.array(second)
    return Judged(
        class_names=("a", "b"),
        truth=np.array(truth, dtype=np.int64),
        predicted=(scores > 0.5).astype(np.int64),
        probabilities=np.stack([1 - scores, scores], axis=1),
    )


def test_net_benefit_is_the_one_worked_out_by_hand() -> None:
    # 5 films, 2 of class b. From 0.25 on: called .9 (b), .3 (b), .6 (a): 2/5 - 1/5 · 1/3.
    # From 0.8 on: .9 alone: 1/5.
    judged = _judge([0.9, 0.3, 0.6, 0.1, 0.2], [1, 1, 0, 0, 0])
    statistics = build_net_benefit_statistics(judged, 1, thresholds=(0.25, 0.8))
    assert [compute_value(one) for one in statistics] == pytest.approx([2 / 5 - 1 / 15, 1 / 5])


def test_acting_on_all_is_what_certainty_of_everything_gives() -> None:
    judged = _judge([1.0] * 10, [1] * 3 + [0] * 7)
    for threshold in (0.05, 0.3, 0.6):
        (statistic,) = build_net_benefit_statistics(judged, 1, thresholds=(threshold,))
        expected = compute_benefit_of_all(0.3, threshold)
        assert compute_value(statistic) == pytest.approx(expected)


def test_a_perfect_network_gains_the_share_of_the_class_everywhere() -> None:
    judged = _judge([1.0, 1.0, 0.0, 0.0, 0.0], [1, 1, 0, 0, 0])
    statistics = build_net_benefit_statistics(judged, 1, thresholds=(0.01, 0.5, 0.95))
    assert [compute_value(one) for one in statistics] == pytest.approx([0.4] * 3)
