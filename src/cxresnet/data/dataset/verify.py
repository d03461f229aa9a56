"""`verify`: check on disk that no patient is in two splits and that nothing was altered.

Everything that can be computed again is; a problem names the row by its image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.checksums import FileState, find_altered_files, record_checksums
from cxresnet.core.errors import DatasetError
from cxresnet.core.files import compute_sha256
from cxresnet.core.finding import FINDINGS_NAME
from cxresnet.core.progress import track
from cxresnet.data.dataset.dataset_record import (
    ACCESS_LOG_NAME,
    FINGERPRINTS_NAME,
    IMAGES_NAME,
    MANIFEST_NAME,
    RECORD_NAME,
    ROW_HASHES_NAME,
    DatasetRecord,
    compare_record,
    compare_seal,
    compute_dataset_hash,
    names_other_classes,
    parse_dataset_record,
    read_seals,
)
from cxresnet.data.dataset.held_out import find_broken_links, read_access_log
from cxresnet.data.duplicates import find_clusters
from cxresnet.data.manifest import compute_row_hashes, read_manifest
from cxresnet.data.prepare.preprocessing import (
    Preprocessing,
    complete_preprocessing,
    count_levels,
)
from cxresnet.data.prepare.store import open_image_array
from cxresnet.data.split.groups import join_groups

if TYPE_CHECKING:
    import pandas as pd

_MANY = 20
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Verification:
    """The result of verifying a dataset.

    Attributes:
        proofs: Sentences about what was verified.
        problems: Sentences about what failed; empty if everything was verified.
    """

    proofs: tuple[str, ...]
    problems: tuple[str, ...]


def verify_dataset(
    path: Path, *, recheck_near_duplicates: bool = False, record_missing: bool = False
) -> Verification:
    """Verify a prepared dataset.

    Args:
        path: The folder that `prepare` wrote.
        recheck_near_duplicates: Also search for near-duplicates again, instead of trusting the
            cluster ids.
        record_missing: Record the checksums of `dataset.json` and the findings as they are now,
            if there are none and nothing else is wrong.

    Raises:
        DatasetError: The folder is no dataset, or not even its manifest can be read.
    """
    record = parse_dataset_record(path)
    manifest = read_manifest(path / MANIFEST_NAME)
    proofs: list[str] = []
    problems: list[str] = []
    checks = [
        _check_files(path, record),
        _check_rows(path, manifest, record),
        _check_images(path, manifest, record),
        _check_units(manifest),
        _check_test_access(path, record),
    ]
    if recheck_near_duplicates:
        checks.append(_check_near_duplicates(path, manifest))
    for proof, found in checks:
        problems += _shorten(found)
        if not found:
            proofs.append(proof)
    if record_missing and not problems and compare_record(path) is FileState.UNRECORDED:
        names = (RECORD_NAME, FINDINGS_NAME)
        record_checksums(*(path / name for name in names if (path / name).is_file()))
    proof, found = _check_record(path)
    problems += found
    return Verification((*proofs, *([] if found else [proof])), tuple(problems))


_Check = tuple[str, list[str]]


def _check_files(path: Path, record: DatasetRecord) -> _Check:
    problems = []
    for name, expected in track(record.files.items(), "Hashing files", total=len(record.files)):
        if not (path / name).is_file():
            problems.append(f"The file {name} is missing.")
        elif compute_sha256(path / name) != expected:
            problems.append(f"The file {name} was altered: its SHA-256 has changed.")
    if compute_dataset_hash(record.files) != record.dataset_hash:
        problems.append("The dataset hash in dataset.json does not match its list of files.")
    return f"{len(record.files)} files have the SHA-256 that they were written with", problems


def _check_record(path: Path) -> _Check:
    """Check that nobody altered `dataset.json`, which names the classes, or the findings."""
    altered = list(find_altered_files(path))
    if not altered and compare_record(path) is FileState.UNRECORDED:
        problem = (
            f"There is no checksum of {RECORD_NAME}: an earlier version prepared the dataset, or "
            f"the checksum was removed. If you trust it: 'cxresnet verify {path} "
            "--record-checksums'."
        )
        altered.append(problem)
    sealed, problems = _check_seal(path)
    proof = f"{RECORD_NAME} and its classes are as they were written{sealed}"
    return proof, altered or problems


def _check_seal(path: Path) -> _Check:
    """Check that `dataset.json` means what it meant, also where its checksum was mended."""
    try:
        state = compare_seal(path)
    except DatasetError:
        return "", []  # told by other checks
    if state is FileState.UNRECORDED:
        return f", says its checksum alone: an earlier version put no seal in {ROW_HASHES_NAME}", []
    problem = (
        f"{RECORD_NAME} says something else of the classes, the preprocessing, the counts or the "
        f"config than when it was sealed in {ROW_HASHES_NAME}: somebody edited it. Restore it, or "
        "prepare the dataset again."
    )
    return "", [problem] if state is FileState.ALTERED else []


def _check_rows(path: Path, manifest: pd.DataFrame, record: DatasetRecord) -> _Check:
    """Name the rows that are not as they were written."""
    try:
        expected, _ = read_seals(path)
    except DatasetError as error:
        return "", [str(error)]
    hashes = compute_row_hashes(manifest)
    known = set(expected)
    problems = [
        f"The row of the image '{image_id}' was altered, or was not there before."
        for image_id, row_hash in zip(manifest["image_id"], hashes, strict=True)
        if row_hash not in known
    ]
    if len(hashes) != len(expected):
        problems.append(f"The manifest has {len(hashes)} rows; it had {len(expected)}.")
    elif not problems and hashes != expected:
        problems.append("The rows of the manifest are in another order.")
    if names_other_classes(record, manifest["class_name"]):
        problems.append(f"{RECORD_NAME} names other classes than {MANIFEST_NAME} has.")
    return f"{len(hashes)} rows of the manifest are as they were written", problems


def _check_images(path: Path, manifest: pd.DataFrame, record: DatasetRecord) -> _Check:
    """Name the images that are not as they were written; compute mean and sd again."""
    try:
        array_file = open_image_array(path / IMAGES_NAME)
    except DatasetError as error:
        return "", [str(error)]
    with array_file:
        if array_file.count != len(manifest):
            return "", [f"{array_file.count} images, but {len(manifest)} rows in the manifest."]
        problems = []
        expected = manifest["pixels_sha256"].tolist()
        in_training = (manifest["split"] == "train").to_numpy()
        levels = np.zeros(256, dtype=np.int64)
        for start, images in track(array_file.read_chunks(), "Hashing images"):
            levels += count_levels(images[in_training[start : start + len(images)]])
            for row, image in enumerate(images, start=start):
                if hashlib.sha256(image.tobytes()).hexdigest() != expected[row]:
                    image_id = manifest["image_id"].iloc[row]
                    problems.append(
                        f"The pixels of the image '{image_id}' (row {row}) were altered."
                    )
    if not problems and in_training.any():
        problems += _compare_preprocessing(record.preprocessing, levels)
    return f"{len(manifest)} images have the SHA-256 in their row", problems


def _compare_preprocessing(stated: Preprocessing, levels: NDArray[np.int64]) -> Iterator[str]:
    computed = complete_preprocessing(stated, levels)
    pairs = ((stated.mean, computed.mean), (stated.sd, computed.sd))
    if any(one is None or other is None or abs(one - other) > _TOLERANCE for one, other in pairs):
        yield (
            f"{RECORD_NAME} states mean {stated.mean} and sd {stated.sd} of the training images; "
            f"they are {computed.mean:.4f} and {computed.sd:.4f}."
        )


def _check_units(manifest: pd.DataFrame) -> _Check:
    """Check that no patient, no cluster and no linked group is in two splits or folds."""
    import pandas as pd  # noqa: PLC0415  slow to import, and not needed to say what is wrong

    known = manifest[manifest["patient_id"] != ""]
    linked = join_groups(manifest["patient_id"].tolist(), manifest["cluster_id"].to_numpy())
    problems = [
        *_find_crossings(known, known["patient_id"], "The patient"),
        *_find_crossings(manifest, manifest["cluster_id"], "The near-duplicate cluster"),
        *_find_crossings(manifest, pd.Series(linked, index=manifest.index), "The linked group"),
    ]
    proof = (
        f"no patient ({known['patient_id'].nunique()}) and no near-duplicate cluster "
        f"({manifest['cluster_id'].nunique()}) is in two splits or folds; "
        f"{1 - len(known) / len(manifest):.0%} of the images have no patient id"
    )
    return proof, problems


def _find_crossings(manifest: pd.DataFrame, units: pd.Series, what: str) -> Iterator[str]:
    parts = manifest["split"].str.cat(manifest["fold"].astype(str), sep=" fold ")
    crossing = parts.groupby(units).nunique()
    for unit in crossing.index[crossing > 1]:
        rows = np.flatnonzero((units == unit).to_numpy())
        images = ", ".join(
            f"'{manifest['image_id'].iloc[row]}' ({manifest['split'].iloc[row]})"
            for row in rows[:4].tolist()
        )
        more = " …" if len(rows) > 4 else ""
        yield f"{what} '{unit}' is in several splits or folds: {images}{more}."


def _check_test_access(path: Path, record: DatasetRecord) -> _Check:
    try:
        accesses = read_access_log(path / ACCESS_LOG_NAME)
    except DatasetError as error:
        return "", [str(error)]
    earlier = sum(access.dataset_hash != record.dataset_hash for access in accesses)
    before = f" ({earlier} of them before the dataset was prepared again)" if earlier else ""
    proof = (
        f"the test set was accessed {_count_times(len(accesses))}{before}, each with time and "
        f"reason in {ACCESS_LOG_NAME}, whose chain is intact"
        if accesses
        else "the test set was never accessed"
    )
    return proof, [f"{ACCESS_LOG_NAME}: {problem}" for problem in find_broken_links(accesses)]


def _count_times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _check_near_duplicates(path: Path, manifest: pd.DataFrame) -> _Check:
    import pandas as pd  # noqa: PLC0415  slow to import, and not needed to say what is wrong

    with open_image_array(path / FINGERPRINTS_NAME) as prints:
        clusters = find_clusters(prints.read(0, prints.count).reshape(prints.count, -1))
    problems = list(
        _find_crossings(
            manifest,
            pd.Series(clusters, index=manifest.index),
            "A near-duplicate cluster found again",
        )
    )
    return "searching for near-duplicates again finds none in two splits or folds", problems


def _shorten(problems: Sequence[str]) -> list[str]:
    if len(problems) <= _MANY:
        return list(problems)
    return [*problems[:_MANY], f"… and {len(problems) - _MANY} more of this kind."]
