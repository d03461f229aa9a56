"""Features of the record: an unknown value is told apart from a known one."""

from __future__ import annotations

import pandas as pd
import pytest

from cxresnet.shortcuts.features import compute_record_features, list_views


@pytest.fixture
def manifest() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "view": ["AP supine", "PA", "", "PA"],
            "sex": ["M", "", "F", "F"],
            "age_years": ["0", "", "about 40", "77"],
        }
    )


def test_views_are_listed_once_and_the_unknown_one_is_none(manifest: pd.DataFrame) -> None:
    assert list_views(manifest) == ("AP supine", "PA")


def test_a_new_born_is_not_of_unknown_age(manifest: pd.DataFrame) -> None:
    assert compute_record_features(manifest, views=("AP supine", "PA")).tolist() == [
        [0, 0, 1, 1, 0],
        [-1, 0, 0, 0, 1],
        [-1, 1, 0, 0, 0],
        [77, 1, 0, 0, 1],
    ]


def test_a_view_that_was_not_learnt_counts_as_unknown(manifest: pd.DataFrame) -> None:
    described = compute_record_features(manifest, views=("PA",))
    assert described[:, 3].tolist() == [0, 1, 0, 1]
    assert described.shape == (4, 4)


def test_no_view_at_all_leaves_age_and_sex(manifest: pd.DataFrame) -> None:
    assert compute_record_features(manifest.assign(view=""), views=()).shape == (4, 3)
