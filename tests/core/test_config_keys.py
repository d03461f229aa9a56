from __future__ import annotations

import tomllib

import pytest

from cxresnet.core.config import Config, change_config
from cxresnet.core.config.keys import (
    find_config_keys,
    format_config_toml,
    list_config_keys,
    list_config_sections,
)
from cxresnet.core.errors import ConfigError


def test_every_key_is_listed_once_with_what_it_does() -> None:
    keys = list_config_keys()
    names = [key.name for key in keys]
    assert len(set(names)) == len(names)
    assert {name.split(".")[0] for name in names} == set(Config.model_fields)
    assert "train.augment.gamma" in names
    for key in keys:
        assert key.effect.rstrip()[-1:] in {".", ")"}, f"{key.name} has no effect in its docstring"
        assert key.section in list_config_sections()


@pytest.mark.parametrize(
    ("name", "default", "allowed"),
    [
        ("train.epochs", "40", "a whole number, at least 1 and at most 100,000"),
        ("train.label_smoothing", "0.05", "a number, at least 0 and below 1"),
        ("evaluate.false_negative_cost", "10", "a number, above 0"),
        ("data.label_conflicts", '"drop"', '"drop" or "keep"'),
        ("train.devices", "1", 'a whole number or "auto"'),
        ("data.find_duplicates", "true", "true or false"),
        ("model.norm", "as the preset says", '"batch" or "group"'),
        ("data.no_patients", "[]", "a list; each entry: text"),
        (
            "model.depths",
            "as the preset says",
            "a list of 1 to 8 entries; each entry: a whole number, at least 1 and at most 64",
        ),
        (
            "evaluate.prevalence",
            "{}",
            "a table of names; each value: a number, above 0 and below 1",
        ),
    ],
)
def test_default_and_range_are_told_in_words(name: str, default: str, allowed: str) -> None:
    (key,) = find_config_keys(name)
    assert (key.name, key.default, key.allowed) == (name, default, allowed)


@pytest.mark.slow
def test_a_key_is_found_by_its_short_name_a_section_and_a_name_of_version_01() -> None:
    assert [key.name for key in find_config_keys("epochs")] == ["train.epochs"]
    assert {key.section for key in find_config_keys("seed")} >= {"data", "train", "explain"}
    assert {key.section for key in find_config_keys("train")} == {"train", "train.augment"}
    assert [key.name for key in find_config_keys("data.fit")] == ["data.resize_mode"]


@pytest.mark.parametrize(
    ("name", "said", "unsaid"),
    [("epcohs", "Did you mean 'train.epochs'?", "nothing"), ("zebra", "lists all", "Did you mean")],
)
def test_an_unknown_key_is_told(name: str, said: str, unsaid: str) -> None:
    with pytest.raises(ConfigError, match=f"no config key '{name}'") as error:
        find_config_keys(name)
    assert said in str(error.value)
    assert unsaid not in str(error.value)


def test_a_config_that_was_written_as_toml_is_the_same_when_read() -> None:
    config = change_config(
        Config(),
        {
            "source.classes": {"covid-19": ['a "quoted" folder', "ü"]},
            "evaluate.prevalence": {"covid-19": 0.02},
            "model.widths": (8, 16),
            "train.augment.horizontal_flip": True,
        },
    )
    text = format_config_toml(config)
    assert Config.model_validate(tomllib.loads(text)) == config
    assert "# stem: as the preset says" in text
