from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet.core.errors import RunFolderError
from cxresnet.core.run_folder import claim_run_folder, open_run_folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "dataset"
    path.mkdir()
    return path


def test_a_claimed_folder_can_be_opened_and_knows_its_dataset(
    tmp_path: Path, dataset: Path
) -> None:
    claim_run_folder(tmp_path / "run", dataset=dataset)
    assert open_run_folder(tmp_path / "run").read_dataset_path() == dataset


def test_run_and_dataset_can_be_moved_together(tmp_path: Path, dataset: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    dataset.rename(home / "dataset")
    claim_run_folder(home / "run", dataset=home / "dataset")
    home.rename(tmp_path / "elsewhere")
    run = open_run_folder(tmp_path / "elsewhere" / "run")
    assert run.read_dataset_path() == tmp_path / "elsewhere" / "dataset"


def test_a_folder_that_holds_a_run_is_not_written_over(tmp_path: Path, dataset: Path) -> None:
    run = claim_run_folder(tmp_path / "run", dataset=dataset)
    run.train.mkdir()
    with pytest.raises(RunFolderError, match=r"already holds a run.*--out.*--resume.*--force"):
        claim_run_folder(tmp_path / "run", dataset=dataset)
    claim_run_folder(tmp_path / "run", dataset=dataset, force=True)


def test_a_file_in_the_way_is_told(tmp_path: Path, dataset: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(RunFolderError, match="is a file"):
        claim_run_folder(tmp_path / "run", dataset=dataset)


def test_a_folder_that_is_no_run_is_told_with_the_way_to_one(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"is not a run.*cxresnet run SOURCE --out DIR"):
        open_run_folder(tmp_path)


def test_a_dataset_that_is_gone_is_told(tmp_path: Path, dataset: Path) -> None:
    run = claim_run_folder(tmp_path / "run", dataset=dataset)
    dataset.rmdir()
    with pytest.raises(RunFolderError, match=r"dataset of the run .* is missing"):
        run.read_dataset_path()
