from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cxresnet.core.checksums import CHECKSUMS_NAME, record_checksums
from cxresnet.core.config import DataConfig
from cxresnet.core.errors import DatasetError
from cxresnet.core.files import compute_sha256, read_json, write_json, write_text
from cxresnet.data.dataset import verify as verify_module
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.data.dataset.held_out import AccessRequest, log_access
from cxresnet.data.dataset.verify import verify_dataset
from cxresnet.data.manifest import compute_row_hashes, read_manifest, write_manifest
from cxresnet.data.phantoms.plan import PhantomSettings
from cxresnet.data.prepare.prepare import run_prepare
from cxresnet.data.sources.phantom import PhantomSource


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = PhantomSource(PhantomSettings(images_per_class=20, side_px=48, near_duplicates=3))
    config = DataConfig(side_px=24, common_side_px=32, folds=2, workers=1)
    return run_prepare(source, config=config, out=tmp_path_factory.mktemp("data") / "d").path


@pytest.fixture
def path(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "d"))


def rewrite(path: Path, change: Callable[[pd.DataFrame], None]) -> None:
    """Change the manifest and cover it up: every hash in every list is made to fit."""
    manifest = read_manifest(path / "manifest.csv")
    change(manifest)
    write_manifest(path / "manifest.csv", manifest)
    write_text(path / "row_hashes.txt", "\n".join(compute_row_hashes(manifest)) + "\n")
    names = ("manifest.csv", "row_hashes.txt")
    rewrite_record(path, files={name: compute_sha256(path / name) for name in names})


def rewrite_record(path: Path, *, files: dict[str, str] | None = None, **changes: object) -> None:
    """Change `dataset.json` and cover it up: its checksum is made to fit."""
    record = read_json(path / "dataset.json")
    files = record["files"] | (files or {})
    write_json(path / "dataset.json", {**record, "files": files, **changes})
    record_checksums(path / "dataset.json")


def test_of_a_patient_in_two_splits_four_images_are_named() -> None:
    manifest = pd.DataFrame(
        {"image_id": list("abcde"), "split": ["train", "test"] + 3 * ["train"], "fold": 0}
    )
    (four,) = verify_module._find_crossings(manifest[:4], pd.Series(4 * ["p"]), "The patient")
    (five,) = verify_module._find_crossings(manifest, pd.Series(5 * ["p"]), "The patient")
    named = "'a' (train), 'b' (test), 'c' (train), 'd' (train)"
    assert four == f"The patient 'p' is in several splits or folds: {named}."
    assert five == f"The patient 'p' is in several splits or folds: {named} …."


@pytest.mark.slow
def test_a_fresh_dataset_holds(path: Path) -> None:
    verification = verify_dataset(path, recheck_near_duplicates=True)
    assert verification.problems == ()
    proofs = "; ".join(verification.proofs)
    assert "no patient" in proofs
    assert "never accessed" in proofs
    assert "images have the SHA-256" in proofs
    assert len(verification.proofs) == 7


def test_openings_that_are_written_down_are_no_problem(path: Path) -> None:
    open_dataset(path).open_held_out_test(
        AccessRequest(reason="evaluate", run="first", network="", config="c0")
    )
    verification = verify_dataset(path)
    assert verification.problems == ()
    assert any("accessed once" in proof for proof in verification.proofs)


def test_one_row_moved_by_hand_is_named(path: Path) -> None:
    manifest = path / "manifest.csv"
    lines = manifest.read_text().splitlines(keepends=True)
    moved = next(number for number, line in enumerate(lines) if '"test"' in line)
    lines[moved] = lines[moved].replace('"test"', '"train"')
    manifest.write_text("".join(lines))
    image_id = lines[moved].split(",")[0].strip('"')
    problems = verify_dataset(path).problems
    assert f"The row of the image '{image_id}' was altered, or was not there before." in problems
    assert any("manifest.csv was altered" in problem for problem in problems)


def test_a_patient_in_two_splits_is_found_even_if_all_hashes_were_mended(path: Path) -> None:
    manifest = read_manifest(path / "manifest.csv")
    counts = manifest.groupby("patient_id")["image_id"].count()
    patient = counts.index[counts > 1][0]
    row = manifest.index[manifest["patient_id"] == patient][0]
    other = "val" if manifest.loc[row, "split"] != "val" else "train"

    def move(frame: pd.DataFrame) -> None:
        frame.loc[row, "split"] = other

    rewrite(path, move)
    problems = verify_dataset(path).problems
    name = manifest.loc[row, "image_id"]
    assert any(f"The patient '{patient}' is in several" in p and name in p for p in problems)


def test_a_patient_in_two_folds_of_one_split_is_found(path: Path) -> None:
    manifest = read_manifest(path / "manifest.csv")
    learnt = manifest[manifest["split"] == "train"]
    counts = learnt.groupby("patient_id")["image_id"].count()
    patient = counts.index[counts > 1][0]
    row = learnt.index[learnt["patient_id"] == patient][0]

    def move(frame: pd.DataFrame) -> None:
        frame.loc[row, "fold"] = 1 - frame.loc[row, "fold"]

    rewrite(path, move)
    problems = verify_dataset(path).problems
    name = manifest.loc[row, "image_id"]
    assert any(f"The patient '{patient}' is in several" in p and name in p for p in problems)


def test_copies_of_unknown_patients_in_two_splits_are_found_by_their_cluster(path: Path) -> None:
    manifest = read_manifest(path / "manifest.csv")
    sizes = manifest.groupby("cluster_id")["image_id"].count()
    cluster = sizes.index[sizes > 1][0]
    rows = manifest.index[manifest["cluster_id"] == cluster]

    def move(frame: pd.DataFrame) -> None:
        frame.loc[rows, "patient_id"] = ""
        frame.loc[rows[0], "split"] = "val" if frame.loc[rows[0], "split"] != "val" else "train"

    rewrite(path, move)
    problems = verify_dataset(path).problems
    assert any(f"The near-duplicate cluster '{cluster}' is in several" in p for p in problems)
    assert not any("The patient" in problem for problem in problems)


def test_a_dataset_hash_that_is_not_of_its_files_is_told(path: Path) -> None:
    rewrite_record(path, dataset_hash="0" * 64)
    (problem,) = verify_dataset(path).problems
    assert problem == "The dataset hash in dataset.json does not match its list of files."


def _swap_classes(path: Path) -> None:
    record = read_json(path / "dataset.json")
    write_json(path / "dataset.json", {**record, "class_names": record["class_names"][::-1]})


def test_swapped_classes_are_found_before_anything_is_trained_or_evaluated(path: Path) -> None:
    _swap_classes(path)
    (problem,) = verify_dataset(path).problems
    assert problem == "The file d/dataset.json was altered: its SHA-256 has changed."
    with pytest.raises(DatasetError, match=r"dataset\.json' was altered after it was written"):
        open_dataset(path)


def test_another_mean_is_found_although_the_checksum_was_mended(path: Path) -> None:
    preprocessing = read_json(path / "dataset.json")["preprocessing"]
    rewrite_record(path, preprocessing={**preprocessing, "mean": 0.25})
    problem, unsealed = verify_dataset(path).problems
    assert re.match(r"dataset\.json states mean 0\.25 and sd .*; they are 0\.\d{4} and", problem)
    assert _UNSEALED in unsealed


_UNSEALED = "dataset.json says something else of the classes, the preprocessing"


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": ["covid-19", "pneumonia", "normal"]},
        {"preprocessing": {"low_percentile": 5.0}},
        {"config": {"seed": 7}},
        {"config": {"keep_given_split": True}},
        {"images": {"rejected": 0, "scanned": 99}},
        {"counts": {}},
        {"warnings": ["Experts have checked every image."]},
        {"patients_unknown_share": 0.9},
        {"source": "a trustworthy hospital"},
    ],
    ids=str,
)
def test_an_edited_record_is_found_although_its_checksum_was_mended(
    path: Path, changes: dict[str, Any]
) -> None:
    """Classes swapped, checksum mended: `verify` passed, and so did `train`."""
    record = read_json(path / "dataset.json")
    full = {
        name: record[name] | value if isinstance(value, dict) and value else value
        for name, value in changes.items()
    }
    rewrite_record(path, **full)
    (problem,) = verify_dataset(path).problems
    assert _UNSEALED in problem
    with pytest.raises(DatasetError, match=r"dataset\.json' was altered after it was written"):
        open_dataset(path)


def test_how_and_where_a_dataset_was_prepared_is_not_sealed(path: Path) -> None:
    config = read_json(path / "dataset.json")["config"]
    rewrite_record(path, name="renamed", config=config | {"workers": 3, "decode_seconds": 60.0})
    assert verify_dataset(path).problems == ()
    assert open_dataset(path).record.name == "renamed"


def test_a_dataset_without_a_seal_is_read_and_that_is_said(path: Path) -> None:
    """As an earlier version wrote it."""
    rewrite(path, lambda _: None)
    open_dataset(path).select("train")
    verification = verify_dataset(path)
    assert verification.problems == ()
    assert "an earlier version put no seal in row_hashes.txt" in verification.proofs[-1]


def test_a_seal_that_was_removed_or_replaced_is_missed(path: Path) -> None:
    record = read_json(path / "dataset.json")
    rewrite_record(path, class_names=record["class_names"][::-1])
    hashes = path / "row_hashes.txt"
    hashes.write_text("\n".join(hashes.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(DatasetError, match=r"row_hashes\.txt' was altered or removed"):
        open_dataset(path)
    hashes.unlink()
    with pytest.raises(DatasetError, match=r"row_hashes\.txt' was altered or removed"):
        open_dataset(path)


@pytest.mark.slow
def test_classes_or_a_hash_that_do_not_fit_the_manifest_are_refused(path: Path) -> None:
    """Of a dataset without a seal; a class of another name ended in a bug report."""
    rewrite(path, lambda _: None)
    names = read_json(path / "dataset.json")["class_names"]
    for changes in (
        {"class_names": ["healthy", *names[1:]]},
        {"class_names": [*names, "tuberculosis"]},
        {"class_names": [*names, names[0]]},
        {"class_names": names, "dataset_hash": "0" * 64},
    ):
        rewrite_record(path, **changes)
        with pytest.raises(DatasetError, match="another hash or other classes"):
            open_dataset(path)
        (problem,) = verify_dataset(path).problems
        assert "names other classes than" in problem or "hash in dataset.json" in problem


@pytest.mark.slow
def test_a_dataset_without_checksums_is_read_with_a_warning_and_can_get_them(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As an earlier version wrote it."""
    (path / CHECKSUMS_NAME).unlink()
    open_dataset(path).select("train")
    assert "has no checksum of its dataset.json" in caplog.text
    (problem,) = verify_dataset(path).problems
    assert f"'cxresnet verify {path} --record-checksums'" in problem
    assert verify_dataset(path, record_missing=True).problems == ()
    assert verify_dataset(path).problems == ()


def test_checksums_are_not_recorded_over_a_problem(path: Path) -> None:
    _swap_classes(path)
    assert verify_dataset(path, record_missing=True).problems
    (path / CHECKSUMS_NAME).unlink()
    (path / "row_hashes.txt").unlink()
    assert len(verify_dataset(path, record_missing=True).problems) == 3
    assert not (path / CHECKSUMS_NAME).exists()


def test_damaged_checksums_are_told(path: Path) -> None:
    (path / CHECKSUMS_NAME).write_text("{")
    assert any("is damaged" in problem for problem in verify_dataset(path).problems)
    with pytest.raises(DatasetError, match="is damaged"):
        open_dataset(path)


def test_openings_of_the_dataset_as_it_was_before_are_told_apart(path: Path) -> None:
    request = AccessRequest(reason="evaluate", run="first", network="", config="c0")
    log_access(path / "test_access_log.csv", request, dataset_hash="0" * 64)
    open_dataset(path).open_held_out_test(request)
    verification = verify_dataset(path)
    assert verification.problems == ()
    expected = "accessed 2 times (1 of them before the dataset was prepared again)"
    assert any(expected in proof for proof in verification.proofs)


@pytest.mark.slow
def test_a_copy_in_another_split_is_found_though_its_cluster_id_was_changed(path: Path) -> None:
    manifest = read_manifest(path / "manifest.csv")
    sizes = manifest.groupby("cluster_id")["image_id"].count()
    cluster = sizes.index[sizes > 1][0]
    row = manifest.index[manifest["cluster_id"] == cluster][-1]

    def move(frame: pd.DataFrame) -> None:
        other = "val" if frame.loc[row, "split"] != "val" else "train"
        frame.loc[row, ["split", "patient_id"]] = [other, "somebody else"]
        frame.loc[row, "cluster_id"] = 10_000

    rewrite(path, move)
    assert not any(
        "A near-duplicate cluster found again" in p for p in verify_dataset(path).problems
    )
    problems = verify_dataset(path, recheck_near_duplicates=True).problems
    name = manifest.loc[row, "image_id"]
    assert any(
        "A near-duplicate cluster found again" in problem and name in problem
        for problem in problems
    )


def test_a_changed_image_is_named(path: Path) -> None:
    images = np.load(path / "images.npy", mmap_mode="r+")
    images[5, 3, 3] ^= 1
    images.flush()
    del images
    image_id = read_manifest(path / "manifest.csv")["image_id"].iloc[5]
    problems = verify_dataset(path).problems
    assert f"The pixels of the image '{image_id}' (row 5) were altered." in problems


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lung_masks.npy", r"lung_masks\.npy is missing"),
        ("images.npy", r"images\.npy is missing"),
        ("row_hashes.txt", "no row can be checked"),
        ("test_access_log.csv", "it is not known how often"),
    ],
)
def test_a_missing_file_is_named(path: Path, name: str, message: str) -> None:
    (path / name).unlink()
    verification = verify_dataset(path)
    assert any(re.search(message, problem) for problem in verification.problems)


def test_a_lost_row_and_a_new_order_are_told(path: Path) -> None:
    manifest = path / "manifest.csv"
    header, *rows = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join([header, rows[1], rows[0], *rows[2:]]))
    assert any("another order" in problem for problem in verify_dataset(path).problems)
    manifest.write_text("".join([header, *rows[1:]]))
    problems = verify_dataset(path).problems
    expected = f"has {len(rows) - 1} rows; it had {len(rows)}."
    assert any(expected in problem for problem in problems)


def test_a_ledger_changed_by_hand_is_told(path: Path) -> None:
    open_dataset(path).open_held_out_test(
        AccessRequest(reason="evaluate", run="first", network="", config="c0")
    )
    access_log = path / "test_access_log.csv"
    access_log.write_text(access_log.read_text().replace("evaluate", "just prep"))
    problems = verify_dataset(path).problems
    assert any("Row 1 was changed after it was written" in problem for problem in problems)


def test_very_many_problems_are_counted_not_all_told(path: Path) -> None:
    def scatter(frame: pd.DataFrame) -> None:
        frame["source"] = "elsewhere"

    manifest = read_manifest(path / "manifest.csv")
    scatter(manifest)
    write_manifest(path / "manifest.csv", manifest)
    problems = verify_dataset(path).problems
    assert f"… and {len(manifest) - 20} more of this kind." in problems


def test_a_folder_that_is_no_dataset_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not a prepared dataset"):
        verify_dataset(tmp_path)
