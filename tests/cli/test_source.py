"""The flags about the source, over the config's section."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from cxresnet.cli.app import run_command_line
from cxresnet.cli.source import SourceFlags, open_source_from_flags
from cxresnet.core.config import Config, SourceConfig, change_config
from cxresnet.core.errors import ConfigError

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = ["a.png,lobar pneumonia (left)", "b.png,no acute disease", "c.png,poor quality"]
    path = tmp_path / "images.csv"
    path.write_text("file,finding\n" + "\n".join(rows) + "\n")
    for row in rows:
        (tmp_path / row.partition(",")[0]).write_bytes(PNG)
    return path


def test_labels_are_mapped_by_patterns_from_the_command_line(table: Path) -> None:
    flags = SourceFlags(
        columns="path=file,class=finding",
        label_pattern=["pneumonia=pneumon|consolidat", "normal=^no acute", "ignore=quality"],
    )
    found = open_source_from_flags([str(table)], Config(), flags).scan()
    assert {record.image_id: record.class_name for record in found.records} == {
        "a.png": "pneumonia",
        "b.png": "normal",
    }
    assert Counter(rejection.code for rejection in found.rejections) == {"ignored": 1}


def test_a_pattern_from_the_command_line_comes_over_the_configs(table: Path) -> None:
    patterns = {"normal": "quality", "pneumonia": "pneumon"}
    config = Config(source=SourceConfig(patterns=patterns))
    flags = SourceFlags(
        columns="path=file,class=finding", label_pattern=["normal=no a.*=?e", "ignore=quality"]
    )
    found = open_source_from_flags([str(table)], config, flags).scan()
    assert [record.class_name for record in found.records] == ["pneumonia", "normal"]


@pytest.mark.parametrize("text", ["pneumonia", "=x", "pneumonia=", " =x"])
def test_what_is_no_class_and_pattern_is_told(text: str, table: Path) -> None:
    with pytest.raises(ConfigError, match="not of the form CLASS=REGEX"):
        open_source_from_flags([str(table)], Config(), SourceFlags(label_pattern=[text]))


def test_what_is_no_regular_expression_is_told(table: Path) -> None:
    flags = SourceFlags(label_pattern=["normal=(x"])
    with pytest.raises(ConfigError, match=r"'\(x' for 'normal' is not a regular expression"):
        open_source_from_flags([str(table)], Config(), flags)


def test_the_dataset_preset_of_the_command_line_comes_over_the_configs(tmp_path: Path) -> None:
    for name in ("NORMAL/IM-1-1.jpeg", "PNEUMONIA/person1_virus_2.jpeg"):
        path = tmp_path / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)
    ids = []
    for flags in (SourceFlags(), SourceFlags(dataset_preset="none")):
        found = open_source_from_flags([str(tmp_path)], Config(), flags).scan()
        ids.append([record.patient_id for record in found.records])
    assert ids == [["IM-1", "person1"], ["", ""]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prepare", "x", "--out", "y", "--outside"], "--outside is now --external-test."),
        (["prepare", "x", "--out", "y", "--recipe", "a"], "--recipe is now --dataset-preset."),
        (["prepare", "x", "--out", "y", "--shard", "1/2"], "--shard is now --engine ray."),
        (["merge", "x", "--out", "y"], "The command merge is now prepare --engine ray."),
        (["verify", "x", "--copies"], "--copies is now --recheck-duplicates."),
    ],
)
def test_an_option_of_version_01_is_answered_with_its_new_name(
    words: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(words) == 2
    assert said in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize("command", ["prepare", "run"])
def test_every_command_that_reads_images_takes_the_flags(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line([command, "--help"]) == 0
    shown = capfd.readouterr().out
    for flag in ("--classes", "--columns", "--label-pattern", "--labels", "--no-manifest"):
        assert flag in shown


def test_new_options_of_tables_and_links_reach_the_source(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "file,COVID,Normal,finding\na.png,1,0,Mass; Covid\nb.png,0,1,normal\n"
    )
    (tmp_path / "else").mkdir()
    (tmp_path / "set").mkdir()
    (tmp_path / "t.csv").rename(tmp_path / "set" / "t.csv")
    for name in ("a.png", "b.png"):
        (tmp_path / "else" / name).write_bytes(PNG)
        (tmp_path / "set" / name).symlink_to(tmp_path / "else" / name)
    for flags in (
        SourceFlags(one_hot="COVID, Normal", follow_links=True),
        SourceFlags(label_separator=";", follow_links=True),
    ):
        found = open_source_from_flags([str(tmp_path / "set" / "t.csv")], Config(), flags).scan()
        assert [record.class_name for record in found.records] == ["covid-19", "normal"]


def test_a_class_of_the_command_line_comes_over_the_configs_label_by_label(tmp_path: Path) -> None:
    for name in ("A/a.png", "B/b.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(PNG)
    config = Config(source=SourceConfig(classes={"normal": ["A", "B"]}))
    found = open_source_from_flags([str(tmp_path)], config, SourceFlags(classes="covid=b")).scan()
    assert [record.class_name for record in found.records] == ["normal", "covid-19"]


def test_flags_about_classes_and_patients_are_values_of_the_section_data() -> None:
    flags = SourceFlags(allow_empty_classes=True, no_patient=["TEMP"])
    config = change_config(Config(), flags.list_data_values())
    assert config.data.allow_empty_classes
    assert config.data.no_patients == ("TEMP",)
    assert change_config(Config(), SourceFlags().list_data_values()) == Config()
