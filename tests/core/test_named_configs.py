from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet.core.config import read_config
from cxresnet.core.config.named import find_config_file, list_named_configs
from cxresnet.core.errors import ConfigError


def test_every_ready_config_is_read_by_its_name_and_says_what_it_is_for() -> None:
    found = {one.name: one for one in list_named_configs()}
    assert {"small", "demo", "smoke", "reference", "multisource"} <= set(found)
    for name, one in found.items():
        assert read_config(Path(name)) == read_config(one.path)
        assert one.purpose.endswith("."), name
        assert one.time != "unknown", name
        heading = one.path.read_text(encoding="utf-8").split("\n\n")[0]
        assert f"--config {name}" in heading
        assert "Expected:" in heading
    assert found["small"].purpose == "The main job on about a thousand real images, on a laptop."
    assert found["small"].time == "about 5 minutes on 2 cores"
    assert read_config(Path("small")).train.epochs == 60


def test_an_existing_file_wins_over_a_name_and_a_folder_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert find_config_file(Path("demo")).name == "demo.toml"
    (tmp_path / "small").write_text("[train]\nepochs = 3\n")
    assert read_config(Path("small")).train.epochs == 3


@pytest.mark.parametrize(
    ("name", "said", "unsaid"),
    [
        ("smal", "no config 'smal'. Did you mean 'small'?", "nothing"),
        ("configs/small.toml", "Did you mean 'small'?", "nothing"),
        ("mine.toml", "ready config: darkcovid-as-published, darkcovid-folds", "Did you mean"),
        (".", "'.' is not a file", "Did you mean"),
    ],
)
def test_an_unknown_name_is_told_with_the_list_and_a_near_one_only_if_it_is_near(
    name: str, said: str, unsaid: str
) -> None:
    with pytest.raises(ConfigError) as error:
        find_config_file(Path(name))
    assert said in str(error.value)
    assert unsaid not in str(error.value)
    assert "reference, small, smoke." in str(error.value)
