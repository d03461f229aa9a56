from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cxresnet.core.config import Config, change_config, read_config, read_written_config
from cxresnet.core.config.config import RENAMED_KEYS
from cxresnet.core.errors import ConfigError
from cxresnet.core.files import write_json


def test_the_file_comes_over_the_defaults_and_set_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[train]\nepochs = 5\nbatch_size = 8\n")
    config = read_config(path, settings=["train.epochs=7", "model.preset=small"])
    assert (config.train.epochs, config.train.batch_size) == (7, 8)
    assert config.model.preset == "small"
    assert config.data == Config().data


def test_the_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read_config().train.epochs = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.epocs=3", r"train\.epocs is unknown\. Did you mean 'epochs'\?"),
        ("trian.epochs=3", r"trian is unknown\. Did you mean 'train'\?"),
        ("train.zzzzzz=3", r"Known here: .*batch_size"),
        ("train.logger=comet", r"logger is wrong: .*'csv', 'mlflow' or 'wandb' \(got 'comet'"),
        ("train.num_nodes=0", r"num_nodes is wrong: .*greater than or equal to 1"),
        ("train.num_nodes=5000", r"num_nodes is wrong: .*less than or equal to 1024"),
        ("train.nodes=2", r"train\.nodes is unknown\. Did you mean 'num_nodes'\?"),
        ("train.epochs=-1", r"train\.epochs is wrong: .*greater than or equal to 1.*got -1"),
        ("train.learning_rate=nan", r"train\.learning_rate is wrong"),
        ("train.batch_size=many", r"train\.batch_size is wrong.*got 'many'"),
        ("data.workers=1000000000", r"data\.workers is wrong"),
        ("epochs=3", "not of the form section.key=value"),
        ("train.epochs", "not of the form section.key=value"),
        ("train.epochs.x=3", r"train\.epochs"),
        ("data.test_share=0.89", "leave less than 10 %"),
        ("data.folds=1", "not a cross-validation"),
        ("data.fit='crop'", r"data\.fit is now data\.resize_mode\."),
        ("evaluate.test_views=true", r"test_views is now evaluate\.test_time_augmentation\."),
        ("source.recipe='none'", r"source\.recipe is now source\.dataset_preset\."),
    ],
)
def test_a_wrong_setting_is_told_with_the_key(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(settings=[setting])


@pytest.mark.parametrize(("old", "new"), RENAMED_KEYS.items())
def test_every_key_of_version_01_is_answered_with_a_key_that_exists(old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=f"{old} is now {new}"):
        read_config(settings=[f"{old}=1"])
    section, _, key = new.partition(".")
    assert key in type(getattr(Config(), section)).model_fields


def test_a_missing_file_is_told_with_the_names_of_ready_configs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config .* ready config: darkcovid.*, small, smoke"):
        read_config(tmp_path / "none.toml")


@pytest.mark.parametrize("content", [b"[train\n", b"\xff\xfe\x00", b"epochs = = 3"])
def test_a_file_that_is_not_toml_is_told(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.toml"):
        read_config(path)


@pytest.mark.parametrize(
    "setting", ["train.batch_size=1", "data.test_share=1", "train.bach_size=2"]
)
def test_a_wrong_value_of_set_blames_set_and_not_the_file(tmp_path: Path, setting: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[train]\nepochs = 3\n")
    with pytest.raises(ConfigError) as caught:
        read_config(path, settings=["train.epochs=4", setting])
    assert str(caught.value).startswith(f"--set '{setting}': The config key ")
    assert "own.toml" not in str(caught.value)


def test_a_wrong_value_of_the_file_blames_the_file(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[train]\nbatch_size = 1\n")
    with pytest.raises(ConfigError, match=r"train\.batch_size in '.*own\.toml' is wrong"):
        read_config(path, settings=["train.epochs=4"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 20_000, "nested too deeply"),
        (f"[train]\nepochs = {'9' * 5000}\n", "is not valid TOML"),
        (f"[train]\nepochs = 0x{'f' * 5000}\n", "is not valid TOML"),
    ],
)
def test_a_file_that_is_too_much_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / "a.toml")


def test_a_value_that_is_too_long_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match=r"train\.epochs") as caught:
        read_config(settings=["train.seed=1", f"train.epochs={'9' * 5000}"])
    with pytest.raises(ConfigError, match="should be a valid integer"):
        read_config(settings=[f"train.seed=0x{'f' * 5000}"])
    assert len(str(caught.value)) < 600


_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "train.epochs": st.integers(1, 500),
        "train.seed": st.integers(0, 2**31),
        "train.learning_rate": st.floats(1e-6, 0.9),
        "data.side_px": st.integers(32, 512),
        "data.val_share": st.floats(0.05, 0.4),
        "data.find_duplicates": st.booleans(),
        "evaluate.prevalence": st.dictionaries(
            st.text(min_size=1, max_size=5), st.floats(0.001, 0.999), max_size=2
        ),
    },
)


@pytest.mark.slow
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=_VALUES)
def test_any_config_that_a_run_writes_is_read_again(
    values: dict[str, object], tmp_path: Path
) -> None:
    config = change_config(Config(), values)
    path = write_json(tmp_path / "config.json", config.model_dump(mode="json"))
    again = read_written_config(path)
    assert again == config
    assert again.evaluate.compute_hash() == config.evaluate.compute_hash()
    for key, value in values.items():
        section, _, name = key.partition(".")
        assert getattr(getattr(again, section), name) == value


def test_the_mark_that_windows_puts_before_a_text_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[train]\nepochs = 3\n", encoding="utf-8-sig")
    assert read_config(path).train.epochs == 3
