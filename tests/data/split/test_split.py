from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxresnet.core.config import DataConfig
from cxresnet.core.errors import SplitError
from cxresnet.data.split.given import keep_given_splits
from cxresnet.data.split.groups import join_groups
from cxresnet.data.split.split import (
    _GroupAssignment,
    assign_folds,
    assign_groups,
    assign_splits,
    warn_of_small_splits,
)

CONFIG = DataConfig()

images_of_manifests = st.lists(
    st.tuples(
        st.sampled_from(["", *(f"p{number}" for number in range(30))]),  # patient
        st.integers(0, 60),  # cluster
        st.sampled_from(["normal", "pneumonia", "covid-19"]),
        st.sampled_from(["north", "south"]),
        st.sampled_from(["train", "val", "test", ""]),
    ),
    min_size=1,
    max_size=120,
)
Image = tuple[str, int, str, str, str]


def columns_of(
    images: list[Image],
) -> tuple[list[str], np.ndarray, list[str], list[str], list[str]]:
    patients, clusters, classes, sources, given_splits = zip(*images, strict=True)
    return list(patients), np.array(clusters), list(classes), list(sources), list(given_splits)


def assert_nothing_leaks(
    parts: np.ndarray, patients: list[str], clusters: np.ndarray, sources_of_truth: str
) -> None:
    for ids in (patients, clusters.tolist()):
        homes: dict[object, set[object]] = {}
        for unit, part in zip(ids, parts.tolist(), strict=True):
            if unit != "":
                homes.setdefault(unit, set()).add(part)
        assert all(len(found) == 1 for found in homes.values()), sources_of_truth


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(images=images_of_manifests, seed=st.integers(0, 5), folds=st.sampled_from([0, 2, 3, 5]))
def test_no_patient_and_no_cluster_is_ever_in_two_splits(
    images: list[Image], seed: int, folds: int
) -> None:
    patients, clusters, classes, sources, _ = columns_of(images)
    config = DataConfig(seed=seed, folds=folds)
    groups = join_groups(patients, clusters)
    try:
        splits = assign_splits(groups, classes, sources, config=config)
        numbers = assign_folds(groups, classes, sources, splits, config=config)
    except SplitError:
        return
    assert_nothing_leaks(splits, patients, clusters, "splits")
    assert_nothing_leaks(numbers, patients, clusters, "folds")
    assert set(zip(splits, classes, strict=True)) == {
        (split, name) for split in ("train", "val", "test") for name in set(classes)
    }
    assert ((numbers == -1) == (splits == "test")).all() or folds == 0


@pytest.mark.slow
@settings(max_examples=70, deadline=None)
@given(images=images_of_manifests)
def test_a_given_split_is_kept_only_where_it_does_not_leak(images: list[Image]) -> None:
    patients, clusters, classes, sources, given_splits = columns_of(images)
    groups = join_groups(patients, clusters)
    try:
        splits, _ = keep_given_splits(given_splits, groups, classes, sources, config=CONFIG)
    except SplitError:
        return
    assert_nothing_leaks(splits, patients, clusters, "given")
    moved_in = (splits == "test") & (np.array(given_splits) != "test")
    assert not moved_in.any()


def make_images(count: int = 400) -> tuple[np.ndarray, list[str], list[str]]:
    generator = np.random.default_rng(3)
    groups = np.sort(generator.integers(0, count // 2, count))
    classes = [str(name) for name in generator.choice(["a", "b", "c"], count, p=[0.7, 0.2, 0.1])]
    sources = [str(name) for name in generator.choice(["n", "s"], count)]
    return groups, classes, sources


def test_every_class_and_source_gets_its_share() -> None:
    groups, classes, sources = make_images()
    splits = assign_splits(groups, classes, sources, config=CONFIG)
    totals = Counter(zip(classes, sources, strict=True))
    found = Counter(zip(splits.tolist(), classes, sources, strict=True))
    for split, share in (("train", 0.65), ("val", 0.15), ("test", 0.2)):
        for (name, source), total in totals.items():
            assert found[split, name, source] == pytest.approx(share * total, abs=3)


def test_folds_are_even_and_cover_all_but_the_test() -> None:
    groups, classes, sources = make_images()
    config = DataConfig(folds=5)
    splits = assign_splits(groups, classes, sources, config=config)
    folds = assign_folds(groups, classes, sources, splits, config=config)
    assert ((folds == -1) == (splits == "test")).all()
    sizes = Counter(folds[folds >= 0].tolist())
    assert sorted(sizes) == [0, 1, 2, 3, 4]
    assert max(sizes.values()) - min(sizes.values()) <= 4


def test_the_same_seed_gives_the_same_splits_and_another_seed_others() -> None:
    groups, classes, sources = make_images()
    first, again, other = (
        assign_splits(groups, classes, sources, config=DataConfig(seed=seed)) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_no_test_share_means_no_test_split() -> None:
    groups, classes, sources = make_images()
    splits = assign_splits(groups, classes, sources, config=DataConfig(test_share=0))
    assert set(splits.tolist()) == {"train", "val"}


def test_three_groups_of_a_class_are_just_enough() -> None:
    groups = np.arange(23)
    classes = ["a"] * 20 + ["rare"] * 3
    splits = assign_splits(groups, classes, ["s"] * 23, config=CONFIG)
    assert sorted(splits[20:].tolist()) == ["test", "train", "val"]


def test_two_groups_of_a_class_are_too_few() -> None:
    with pytest.raises(SplitError, match=r"'rare' has 2 patients or clusters.*ignore="):
        assign_splits(np.arange(22), ["a"] * 20 + ["rare"] * 2, ["s"] * 22, config=CONFIG)


def test_fewer_images_than_folds_is_told() -> None:
    config = DataConfig(folds=12)
    groups, classes, sources = np.arange(20), ["a"] * 10 + ["b"] * 10, ["s"] * 20
    splits = assign_splits(groups, classes, sources, config=config)
    with pytest.raises(
        SplitError, match=r"'a' has \d+ patients or clusters.*12 separate parts.*data.folds"
    ):
        assign_folds(groups, classes, sources, splits, config=config)


def test_classes_that_share_all_patients_are_told() -> None:
    # "b" lies only in the two large groups of "a" and in one more: it cannot be in five folds.
    with pytest.raises(SplitError):
        assign_folds(
            np.array([0, 0, 1, 1, 2, 2]), list("ababab"), ["s"] * 6,
            np.array(["train"] * 6), config=DataConfig(folds=5),
        )  # fmt: skip


def test_a_class_that_no_group_can_give_up_is_told() -> None:
    # Both groups that show class a lie in part 0, and each is the only one of another class there.
    assignment = _GroupAssignment((np.array([[1, 1, 0], [1, 0, 1]]), 3), shares=[0.5, 0.5])
    for group in range(2):
        assignment._move(group, 0)
    with pytest.raises(SplitError, match="too many patients have images of several classes"):
        assignment.assign_missing_classes()


def test_a_crossing_group_goes_to_train_and_is_told() -> None:
    groups = np.array([0, 0, 1, 2, 3, 4, 5, 6])
    given_splits = ["train", "test", "train", "val", "test", "", "val", "test"]
    classes = ["a", "a", "b", "a", "a", "a", "b", "b"]
    splits, warnings = keep_given_splits(given_splits, groups, classes, ["s"] * 8, config=CONFIG)
    assert splits.tolist() == ["train", "train", "train", "val", "test", "train", "val", "test"]
    assert "1 images had no published split" in warnings[0]
    assert "all 2 images of theirs went to train, 1 of them out of the test" in warnings[1]


def test_without_a_given_validation_one_is_taken_out_of_train() -> None:
    given_splits = ["train"] * 80 + ["test"] * 20
    classes = ["a", "b"] * 50
    splits, warnings = keep_given_splits(
        given_splits, np.arange(100), classes, ["s"] * 100, config=CONFIG
    )
    assert Counter(splits.tolist()) == {"train": 68, "val": 12, "test": 20}
    assert (splits[80:] == "test").all()
    assert "taken from the training part" in warnings[0]


def test_validation_is_taken_out_by_share_and_seed_in_whole_patients_of_each_source(
    draw_unkind_images: Callable[..., Any],
) -> None:
    images = draw_unkind_images(seed=3)
    given_splits = ["test" if group % 5 == 0 else "train" for group in images.groups.tolist()]

    def keep(config: DataConfig) -> np.ndarray:
        return keep_given_splits(
            given_splits, images.groups, images.classes, images.sources, config=config
        )[0]

    splits = keep(DataConfig(val_share=0.25))
    for group in np.unique(images.groups):
        assert len(set(splits[images.groups == group].tolist())) == 1
    left = splits != "test"
    for source in ("north", "south"):
        own = left & np.array([one == source for one in images.sources])
        assert (splits[own] == "val").mean() == pytest.approx(0.25, abs=0.02)
    other = keep(DataConfig(val_share=0.25, seed=1))
    assert (other != splits).any()
    assert ((other == "test") == (splits == "test")).all()


def test_no_given_split_to_keep_is_told() -> None:
    with pytest.raises(SplitError, match="no published train and test split"):
        keep_given_splits([""] * 4, np.arange(4), list("abab"), ["s"] * 4, config=CONFIG)


def test_a_given_split_without_a_class_is_told() -> None:
    with pytest.raises(SplitError, match="given test split has no image of 'b'"):
        keep_given_splits(
            ["train", "train", "val", "val", "test"], np.arange(5), list("ababa"), ["s"] * 5,
            config=CONFIG,
        )  # fmt: skip


def test_many_images_of_few_patients_are_few() -> None:
    # Nine images of two patients cannot be in three parts, whatever their number.
    groups = np.array([*range(20), *[20] * 5, *[21] * 4])
    classes = ["a"] * 20 + ["rare"] * 9
    with pytest.raises(
        SplitError, match="'rare' has 2 patients or clusters, too few for 3 separate parts"
    ):
        assign_splits(groups, classes, ["s"] * 29, config=CONFIG)
    # Three images of each of 29 patients in the test are 87 images.
    splits = np.array(["test"] * 87 + ["train"])
    (warning,) = warn_of_small_splits(np.arange(88) // 3, ["a"] * 88, splits)
    assert "only 29 patients or clusters of 'a'" in warning


def _count_parts(splits: np.ndarray, *columns: list[str]) -> Counter[tuple[str, ...]]:
    return Counter(zip(splits.tolist(), *columns, strict=True))


def test_patients_of_unequal_size_are_dealt_so_that_the_images_fit_the_shares(
    draw_unkind_images: Callable[..., Any],
) -> None:
    """The shares are of images; counting each patient once would leave them to chance."""
    for seed in range(4):
        images = draw_unkind_images(seed=seed)
        splits = assign_splits(images.groups, images.classes, images.sources, config=CONFIG)
        for group in np.unique(images.groups):
            assert len(set(splits[images.groups == group].tolist())) == 1
        totals = Counter(zip(images.classes, images.sources, strict=True))
        found = _count_parts(splits, images.classes, images.sources)
        for split, share in (("train", 0.65), ("val", 0.15), ("test", 0.2)):
            assert (splits == split).mean() == pytest.approx(share, abs=0.01)
            for (name, source), total in totals.items():
                # One patient has up to twelve images: so near, and not nearer, can it be.
                assert found[split, name, source] == pytest.approx(share * total, abs=8)


def test_folds_of_patients_of_unequal_size_hold_as_many_images(
    draw_unkind_images: Callable[..., Any],
) -> None:
    images = draw_unkind_images(seed=7)
    config = DataConfig(folds=4)
    splits = assign_splits(images.groups, images.classes, images.sources, config=config)
    folds = assign_folds(images.groups, images.classes, images.sources, splits, config=config)
    for group in np.unique(images.groups):
        assert len(set(folds[images.groups == group].tolist())) == 1
    sizes = np.bincount(folds[folds >= 0])
    assert np.ptp(sizes) <= 6
    for source in ("north", "south"):
        own = np.array([one == source for one in images.sources]) & (folds >= 0)
        assert np.ptp(np.bincount(folds[own])) <= 9


@pytest.mark.parametrize(
    ("groups", "classes", "largest"),
    [
        # After dealing, two parts lack a class, so that two patients must move.
        ([0, 1, 1, 2, 3, 3, 3, 4], "baabbaaa", 3),
        # The part that a patient was taken from may lack a class in its turn.
        ([0, 0, 1, 2, 2, 3, 3], "caacacc", 2),
    ],
)
def test_a_class_that_parts_miss_is_given_to_all_of_them(
    groups: list[int], classes: str, largest: int
) -> None:
    numbers, shares = np.array(groups), [0.65, 0.15, 0.2]
    parts = assign_groups(
        numbers, list(classes), ["s"] * len(groups), shares=shares, generator_seed=0
    )
    assert {*zip(parts.tolist(), classes, strict=True)} == {*product(range(3), set(classes))}
    assert all(len(set(parts[numbers == group].tolist())) == 1 for group in set(groups))
    # The smallest that can be spared are moved: the largest patient stays in the largest part.
    assert set(parts[numbers == largest].tolist()) == {0}


def test_few_patients_in_the_test_are_warned_of_and_many_are_not() -> None:
    groups = np.arange(64)
    classes = ["many"] * 30 + ["few"] * 34
    splits = np.array(["test"] * 30 + ["test"] * 29 + ["train"] * 5)
    (warning,) = warn_of_small_splits(groups, classes, splits)
    assert "only 29 patients or clusters of 'few'" in warning
