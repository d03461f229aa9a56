from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from cxresnet.core.errors import ConfigError, MissingExtraError, SourceError
from cxresnet.data.sources.kaggle import fetch_from_kaggle, is_kaggle_name, normalise_handle


@pytest.mark.parametrize(
    ("text", "handle"),
    [
        ("kaggle:nih-chest-xrays/data", "nih-chest-xrays/data"),
        ("kaggle:a/b/versions/3", "a/b/versions/3"),
        ("kaggle:https://www.kaggle.com/datasets/a/b/", "a/b"),
        ("https://www.kaggle.com/datasets/a/b?select=x.csv#top", "a/b"),
        ("https://www.kaggle.com/datasets/a/b/data", "a/b"),
        ("https://www.kaggle.com/datasets/nih-chest-xrays/data/code", "nih-chest-xrays/data"),
        ("kaggle.com/a/b", "a/b"),
        ("https://www.kaggle.com/competitions/c/overview", "competitions/c"),
        ("kaggle:https://www.kaggle.com/c/rsna-pneumonia-detection-challenge",
         "competitions/rsna-pneumonia-detection-challenge"),
    ],
)  # fmt: skip
def test_a_handle_is_read_out_of_what_people_write(text, handle):
    assert is_kaggle_name(text)
    assert normalise_handle(text) == handle


@pytest.mark.parametrize(
    "text", ["kaggle:", "kaggle:a", "kaggle:../b", "kaggle:a/b/c", "kaggle:a/b c"]
)
def test_what_is_no_handle_is_refused(text):
    with pytest.raises(ConfigError, match="not of the form kaggle:OWNER/SLUG"):
        normalise_handle(text)


@pytest.fixture
def stand_in(monkeypatch):
    """Put another module in the place of kagglehub."""

    def put(**functions) -> None:
        monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(**functions))

    return put


def test_a_data_set_and_a_competition_are_fetched_each_its_way(stand_in, tmp_path):
    stand_in(
        dataset_download=lambda handle: str(tmp_path / "data" / handle),
        competition_download=lambda slug: str(tmp_path / "competition" / slug),
    )
    assert fetch_from_kaggle("a/b") == tmp_path / "data" / "a" / "b"
    assert fetch_from_kaggle("competitions/c") == tmp_path / "competition" / "c"


def test_where_kaggle_cannot_be_reached_the_way_by_hand_is_told_whole(stand_in):
    def fail(handle: str) -> str:
        raise ConnectionError(  # as that of requests, whose words fill a screen
            "HTTPSConnectionPool(…)" * 50
        )

    stand_in(dataset_download=fail)
    with pytest.raises(SourceError) as caught:
        fetch_from_kaggle("paultimothymooney/chest-xray-pneumonia")
    message = str(caught.value)
    assert "cannot be reached from here" in message
    assert "https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia" in message
    assert "cxresnet prepare images/kermany.zip --dataset-preset kermany --out DATASET" in message
    assert "HTTPSConnectionPool" not in message


def test_a_set_without_a_recipe_has_a_way_by_hand_too(stand_in):
    def fail(handle: str) -> str:
        raise ValueError("403: accept the terms first.\nmore")

    stand_in(dataset_download=fail)
    with pytest.raises(SourceError, match=r"Kaggle: 403: accept the terms first\. .*datasets/a/b,"):
        fetch_from_kaggle("a/b")


def test_without_the_extra_its_name_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(MissingExtraError, match=r"cxresnet\[kaggle\]"):
        fetch_from_kaggle("a/b")
