"""Images for the card: random, of every class, no two of one patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cxresnet.explain.sanity.run import choose_sanity_images, remove_card
from cxresnet.metrics.classification import ClassifiedImages


def _grade(truth: list[int]) -> ClassifiedImages:
    labels = np.array(truth)
    return ClassifiedImages(
        class_names=("a", "b", "c"),
        truth=labels,
        predicted=np.zeros_like(labels),
        probabilities=np.full((len(labels), 3), 1 / 3),
    )


def test_every_class_has_as_many_as_can_be_had() -> None:
    truth = [0] * 50 + [1] * 3 + [2] * 50
    groups = tuple(map(str, range(len(truth))))
    rows = choose_sanity_images(_grade(truth), group_ids=groups, count=15, seed=0)
    assert np.bincount([truth[row] for row in rows]).tolist() == [6, 3, 6]
    assert list(rows) == sorted(set(rows))


@pytest.mark.parametrize("count", [1, 4, 5, 6])
def test_no_more_images_than_wanted_are_chosen(count: int) -> None:
    truth = [0, 1, 2] * 10
    groups = tuple(map(str, range(30)))
    rows = choose_sanity_images(_grade(truth), group_ids=groups, count=count, seed=0)
    assert len(rows) == count


def test_no_two_images_are_of_one_patient() -> None:
    truth = [0, 1, 2] * 10
    groups = tuple(str(row // 6) for row in range(30))
    rows = choose_sanity_images(_grade(truth), group_ids=groups, count=30, seed=0)
    assert len(rows) == len({groups[row] for row in rows}) == 5


def test_an_image_without_a_known_class_is_passed_over() -> None:
    assert choose_sanity_images(
        _grade([-1, 0, -1]), group_ids=("x", "y", "z"), count=3, seed=0
    ) == (1,)


def test_the_seed_decides() -> None:
    truth, groups = [0] * 100, tuple(map(str, range(100)))
    chosen = [
        choose_sanity_images(_grade(truth), group_ids=groups, count=10, seed=seed)
        for seed in (1, 1, 2)
    ]
    assert chosen[0] == chosen[1] != chosen[2]


def test_a_removed_card_leaves_nothing_and_none_is_no_fault(tmp_path: Path) -> None:
    for name in ("sanity_card.json", "sanity_card.md", "index.json"):
        (tmp_path / name).touch()
    remove_card(tmp_path)
    remove_card(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["index.json"]
