"""`verify`: prove from disk that nothing leaks and nothing was altered.

Nothing is taken on trust that can be computed again; a problem names the row by its image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxresnet.core.errors import DatasetError
from cxresnet.core.files import compute_sha256
from cxresnet.core.progress import track
from cxresnet.data.dataset_record import (
    FINGERPRINTS_NAME,
    IMAGES_NAME,
    LEDGER_NAME,
    MANIFEST_NAME,
    ROW_HASHES_NAME,
    DatasetRecord,
    compute_dataset_hash,
    read_dataset_record,
)
from cxresnet.data.duplicates import find_clusters
from cxresnet.data.film_file import open_film_file
from cxresnet.data.groups import join_groups
from cxresnet.data.manifest import compute_row_hashes, read_manifest
from cxresnet.data.sealed_test import find_broken_links, read_ledger

__all__ = ["Verification", "verify_dataset"]

_MANY = 20


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        proofs: Sentences that hold.
        problems: Sentences about what does not; empty if the dataset holds.
    """

    proofs: tuple[str, ...]
    problems: tuple[str, ...]


def verify_dataset(path: Path, *, find_copies_again: bool = False) -> Verification:
    """Verify a prepared dataset.

    Args:
        path: The folder that `prepare` wrote.
        find_copies_again: Also look for copies anew, instead of trusting the cluster ids.

    Raises:
        DatasetError: The folder is no dataset, or not even its manifest can be read.
    """
    record = read_dataset_record(path)
    manifest = read_manifest(path / MANIFEST_NAME)
    proofs: list[str] = []
    problems: list[str] = []
    checks = [
        _check_files(path, record),
        _check_rows(path, manifest),
        _check_films(path, manifest),
        _check_units(manifest),
        _check_test_seal(path, record),
    ]
    if find_copies_again:
        checks.append(_check_copies(path, manifest))
    for proof, found in checks:
        problems += _shorten(found)
        if not found:
            proofs.append(proof)
    return Verification(tuple(proofs), tuple(problems))


_Check = tuple[str, list[str]]


def _check_files(path: Path, record: DatasetRecord) -> _Check:
    problems = []
    for name, expected in track(record.files.items(), "Hashing files", total=len(record.files)):
        if not (path / name).is_file():
            problems.append(f"The file {name} is gone.")
        elif compute_sha256(path / name) != expected:
            problems.append(f"The file {name} was altered: its SHA-256 is another.")
    if compute_dataset_hash(record.files) != record.dataset_hash:
        problems.append("The dataset hash in dataset.json does not fit its list of files.")
    return f"{len(record.files)} files have the SHA-256 they were written with", problems


def _check_rows(path: Path, manifest: pd.DataFrame) -> _Check:
    """Name the rows that are not as they were written."""
    try:
        expected = (path / ROW_HASHES_NAME).read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return "", [f"{ROW_HASHES_NAME} is gone or cannot be read, so no row can be checked."]
    hashes = compute_row_hashes(manifest)
    known = set(expected)
    problems = [
        f"The row of the image '{image_id}' was altered, or did not stand here."
        for image_id, row_hash in zip(manifest["image_id"], hashes, strict=True)
        if row_hash not in known
    ]
    if len(hashes) != len(expected):
        problems.append(f"The manifest has {len(hashes)} rows; it had {len(expected)}.")
    elif not problems and hashes != expected:
        problems.append("The rows of the manifest stand in another order.")
    return f"{len(hashes)} rows of the manifest stand as they were written", problems


def _check_films(path: Path, manifest: pd.DataFrame) -> _Check:
    try:
        images = open_film_file(path / IMAGES_NAME)
    except DatasetError as error:
        return "", [str(error)]
    with images:
        if images.count != len(manifest):
            return "", [f"{images.count} films, but {len(manifest)} rows in the manifest."]
        problems = []
        expected = manifest["film_sha256"].tolist()
        for start, films in track(images.read_chunks(), "Hashing films"):
            for row, film in enumerate(films, start=start):
                if hashlib.sha256(film.tobytes()).hexdigest() != expected[row]:
                    image_id = manifest["image_id"].iloc[row]
                    problems.append(f"The film of the image '{image_id}' (row {row}) was altered.")
    return f"{len(manifest)} films have the SHA-256 in their row", problems


def _check_units(manifest: pd.DataFrame) -> _Check:
    """Prove that no patient, no cluster and nothing that they link is in two splits or folds."""
    known = manifest[manifest["patient_id"] != ""]
    linked = join_groups(manifest["patient_id"].tolist(), manifest["cluster_id"].to_numpy())
    problems = [
        *_find_crossings(known, known["patient_id"], "The patient"),
        *_find_crossings(manifest, manifest["cluster_id"], "The cluster of copies"),
        *_find_crossings(manifest, pd.Series(linked, index=manifest.index), "The linked group"),
    ]
    proof = (
        f"no patient ({known['patient_id'].nunique()}) and no cluster of copies "
        f"({manifest['cluster_id'].nunique()}) is in two splits or folds; "
        f"{1 - len(known) / len(manifest):.0%} of the films have no patient id"
    )
    return proof, problems


def _find_crossings(manifest: pd.DataFrame, units: pd.Series, what: str) -> Iterator[str]:
    homes = manifest["split"].str.cat(manifest["fold"].astype(str), sep=" fold ")
    crossing = homes.groupby(units).nunique()
    for unit in crossing.index[crossing > 1]:
        rows = np.flatnonzero((units == unit).to_numpy())
        films = ", ".join(
            f"'{manifest['image_id'].iloc[row]}' ({manifest['split'].iloc[row]})"
            for row in rows[:4].tolist()
        )
        more = " …" if len(rows) > 4 else ""
        yield f"{what} '{unit}' is in several splits or folds: {films}{more}."


def _check_test_seal(path: Path, record: DatasetRecord) -> _Check:
    try:
        openings = read_ledger(path / LEDGER_NAME)
    except DatasetError as error:
        return "", [str(error)]
    earlier = sum(opening.dataset_hash != record.dataset_hash for opening in openings)
    before = f" ({earlier} of them before the dataset was prepared anew)" if earlier else ""
    proof = (
        f"the test split was opened {_count_times(len(openings))}{before}, each with time and "
        f"reason in {LEDGER_NAME}, whose chain is whole"
        if openings
        else "the test split is sealed: it was never opened"
    )
    return proof, [f"{LEDGER_NAME}: {problem}" for problem in find_broken_links(openings)]


def _count_times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _check_copies(path: Path, manifest: pd.DataFrame) -> _Check:
    with open_film_file(path / FINGERPRINTS_NAME) as prints:
        clusters = find_clusters(prints.read(0, prints.count).reshape(prints.count, -1))
    problems = list(
        _find_crossings(manifest, pd.Series(clusters, index=manifest.index), "A cluster found anew")
    )
    return "looking for copies anew finds none in two splits or folds", problems


def _shorten(problems: Sequence[str]) -> list[str]:
    if len(problems) <= _MANY:
        return list(problems)
    return [*problems[:_MANY], f"… and {len(problems) - _MANY} more of this kind."]
