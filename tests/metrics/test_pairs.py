"""Two classes told from each other, whatever the third does."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxresnet.metrics.classification import Judged
from cxresnet.metrics.pairs import build_pair_statistics
from cxresnet.metrics.statistic import compute_value


def _judge(truth: list[int], probabilities: list[list[float]]) -> Judged:
    shares = np.array(probabilities)
    return Judged(
        class_names=("a", "b", "c"),
        truth=np.array(truth),
        predicted=shares.argmax(axis=1),
        probabilities=shares,
    )


def test_a_pair_is_scored_by_the_ratio_of_its_two_probabilities() -> None:
    # a against b, p(b) / p(a): films of a have 0.5 and 2, films of b have 1 and 4.
    # Of the four pairs, b lies above a in (1 > 0.5), (4 > 0.5), (4 > 2): 3 of 4.
    # The film of c, and what goes to c, does not count.
    judged = _judge(
        [0, 0, 1, 1, 2],
        [[0.6, 0.3, 0.1], [0.2, 0.4, 0.4], [0.1, 0.1, 0.8], [0.2, 0.8, 0.0], [0.9, 0.1, 0.0]],
    )

    values = {one.name: compute_value(one) for one in build_pair_statistics(judged)}

    assert list(values) == ["auroc_a_vs_b", "auroc_a_vs_c", "auroc_b_vs_c"]
    assert values["auroc_a_vs_b"] == 0.75


def test_it_agrees_with_scikit_learn_on_the_films_of_the_pair() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, 60)
    shares = generator.dirichlet((1, 1, 1), 60)
    judged = _judge(truth.tolist(), shares.tolist())
    both = truth != 1

    expected = roc_auc_score(truth[both] == 2, np.log(shares[both, 2] / shares[both, 0]))

    value = compute_value(build_pair_statistics(judged)[1])
    assert value == pytest.approx(expected, abs=1e-9)


def test_without_films_of_one_class_it_is_not_defined() -> None:
    judged = _judge([0, 0], [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])

    first = build_pair_statistics(judged)[0]

    assert compute_value(first) is None
    assert "no films of a or of b" in first.undefined
