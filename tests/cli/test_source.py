"""The flags about the source, over the config's section."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from cxresnet.cli.source import SourceFlags, open_films
from cxresnet.core.config import SourceConfig
from cxresnet.core.errors import ConfigError

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = ["a.png,lobar pneumonia (left)", "b.png,no acute disease", "c.png,poor quality"]
    path = tmp_path / "films.csv"
    path.write_text("file,finding\n" + "\n".join(rows) + "\n")
    for row in rows:
        (tmp_path / row.partition(",")[0]).write_bytes(PNG)
    return path


def test_labels_are_mapped_by_patterns_from_the_command_line(table: Path) -> None:
    flags = SourceFlags(
        columns="path=file,class=finding",
        patterns=["pneumonia=pneumon|consolidat", "normal=^no acute", "ignore=quality"],
    )
    found = open_films([str(table)], SourceConfig(), flags).scan()
    assert {record.image_id: record.class_name for record in found.records} == {
        "a.png": "pneumonia",
        "b.png": "normal",
    }
    assert Counter(rejection.code for rejection in found.rejections) == {"ignored": 1}


def test_a_pattern_from_the_command_line_comes_over_the_configs(table: Path) -> None:
    config = SourceConfig(patterns={"normal": "quality", "pneumonia": "pneumon"})
    flags = SourceFlags(
        columns="path=file,class=finding", patterns=["normal=no a.*=?e", "ignore=quality"]
    )
    found = open_films([str(table)], config, flags).scan()
    assert [record.class_name for record in found.records] == ["pneumonia", "normal"]


@pytest.mark.parametrize("text", ["pneumonia", "=x", "pneumonia=", " =x"])
def test_what_is_no_class_and_pattern_is_told(text: str, table: Path) -> None:
    with pytest.raises(ConfigError, match="not of the form CLASS=REGEX"):
        open_films([str(table)], SourceConfig(), SourceFlags(patterns=[text]))


def test_what_is_no_regular_expression_is_told(table: Path) -> None:
    with pytest.raises(ConfigError, match=r"'\(x' for 'normal' is no regular expression"):
        open_films([str(table)], SourceConfig(), SourceFlags(patterns=["normal=(x"]))
