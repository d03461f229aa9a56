from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet.api.stages import open_configured_source
from cxresnet.core.config import Config
from cxresnet.core.errors import EmptySourceError
from cxresnet.data.sources.survey import Survey, survey_folder


def _survey(folder: Path, names: list[str]) -> Survey:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    config = Config()
    return survey_folder(folder, open_configured_source(folder, config.source, config.data))


def test_classes_formats_splits_and_tables_are_counted(tmp_path: Path) -> None:
    found = _survey(
        tmp_path / "chest",
        [
            "train/Covid-19/a.png",
            "train/Covid-19/b.JPG",
            "test/normal/c.png",
            "test/normal/notes.mp4",
            "labels.csv",
        ],
    )
    assert found.classes == {"normal": 1, "covid-19": 2}
    assert found.formats == {"png": 2, "jpg": 1}
    assert found.given_splits == ("test", "train")
    assert found.tables == ("labels.csv",)
    assert (found.patients, found.without_patient, found.left_out) == (0, 3, 1)
    assert (found.problem, found.unclaimed, found.dataset_preset) == ("", {}, "")


def test_patients_and_sources_of_a_manifest_are_seen(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(
        "path,class,patient_id,source\n"
        "normal/a.png,normal,p1,east\nnormal/b.png,normal,p1,east\ncovid/c.png,covid,,west\n"
    )
    found = _survey(tmp_path, ["normal/a.png", "normal/b.png", "covid/c.png"])
    assert found.sources == {"east": 2, "west": 1}
    assert (found.patients, found.without_patient) == (1, 1)


def test_folders_without_a_class_are_named_with_a_guess_only_where_one_is_near(
    tmp_path: Path,
) -> None:
    found = _survey(tmp_path, ["covid/a.png", "Nromal/b.png", "Nromal/c.png", "sick/d.png"])
    assert found.unclaimed == {"Nromal": 2, "sick": 1}
    assert found.guesses == {"Nromal": "normal"}
    assert found.classes == {"covid-19": 1}
    assert "No class claims" in found.problem


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptySourceError):
        _survey(tmp_path, [])
