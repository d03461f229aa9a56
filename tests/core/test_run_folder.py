from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cxresnet.core.errors import RunFolderError
from cxresnet.core.run_folder import (
    RunFolder,
    claim_run_folder,
    hold_run_folder,
    holding_run_folder,
    open_run_folder,
)


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


@pytest.mark.slow
def test_a_flipped_bit_anywhere_in_the_mark_is_found(tmp_path: Path, dataset: Path) -> None:
    run = claim_run_folder(tmp_path / "run", dataset=dataset)
    content = run.mark.read_bytes()
    for place in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            run.mark.write_bytes(changed)
            with pytest.raises(RunFolderError):
                run.read_dataset_path()


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


# One stage at a time.


@holding_run_folder
def _write_a_stage(run: RunFolder, *, text: str) -> str:
    with hold_run_folder(run.path):  # a stage inside a stage
        return text


def test_two_stages_do_not_write_into_one_run_at_once(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with hold_run_folder(run.path):
        assert _write_a_stage(run, text="mine") == "mine"
        with ThreadPoolExecutor(1) as other:
            second = other.submit(_write_a_stage, run, text="theirs")
            with pytest.raises(RunFolderError, match=r"is writing the run '.*run' at this moment"):
                second.result()
    assert list(run.path.iterdir()) == []
    assert _write_a_stage(run, text="later") == "later"


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"])
def test_a_helper_of_a_training_on_several_devices_needs_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with hold_run_folder(tmp_path), ThreadPoolExecutor(1) as other:
        monkeypatch.setenv(name, "1")
        assert other.submit(_write_a_stage, RunFolder(tmp_path), text="helper").result()


def test_a_file_in_the_place_of_a_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with (
        pytest.raises(RunFolderError, match=r"is a file\. Give a folder"),
        hold_run_folder(tmp_path / "run"),
    ):
        pytest.fail("held a file")


def test_what_a_killed_stage_left_half_written_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "evaluate" / ".selective.json.abc.tmp"
    left.parent.mkdir()
    left.write_text("{")
    kept = tmp_path / "evaluate" / "selective.json"
    kept.write_text("{}")
    with hold_run_folder(tmp_path):
        assert not left.exists()
        left.write_text("ours")
        with hold_run_folder(tmp_path):
            assert left.exists()
    assert kept.exists()


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b"\xff"])
def test_a_damaged_mark_is_told(tmp_path: Path, content: bytes) -> None:
    run = RunFolder(tmp_path)
    run.mark.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"run\.json' is damaged"):
        run.read_dataset_path()
