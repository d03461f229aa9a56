"""`checksums.json`: the SHA-256 of each file of a folder, as the stage that wrote it left it.

A stage records the checksum of what it writes, and whoever reads the file compares it. That finds
damage, careless edits and files of another run. Someone who edits this file too is found where the
content can be computed again (`evaluate/checks.py`, `data/dataset/verify.py`).

A checkpoint has its checksums in a `MANIFEST.json` of its own, because it is replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import compute_sha256, write_json

CHECKSUMS_NAME = "checksums.json"

_PlainName = Annotated[str, Field(pattern=r"^[^/\\]+$")]


class _Checksums(BaseModel):
    """The content of the file; `files` goes from plain file name to SHA-256."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    files: dict[_PlainName, str]


class FileState(Enum):
    """What its checksum says of a file."""

    UNALTERED = "unaltered"
    ALTERED = "altered"
    UNRECORDED = "unrecorded"
    """An earlier version wrote the file, or its checksum was removed."""


def record_checksums(*paths: Path) -> None:
    """Record the SHA-256 of files that were just written, all in one folder.

    The entries of other files in the folder stay, unless the files are gone.

    Raises:
        RunFolderError: The checksums that are there already are damaged.
        StorageError: The folder cannot be written.
    """
    folder = paths[0].parent
    kept = {
        name: checksum
        for name, checksum in read_checksums(folder).items()
        if (folder / name).is_file()
    }
    files = kept | {path.name: compute_sha256(path) for path in paths}
    content = _Checksums(files=dict(sorted(files.items())))
    write_json(folder / CHECKSUMS_NAME, content.model_dump(mode="json"))


def record_folder_checksums(folder: Path) -> None:
    """Record the SHA-256 of all files of a folder that one stage wrote, without subfolders."""
    files = [path for path in folder.iterdir() if _is_content(path)]
    if files:
        record_checksums(*files)


def forget_checksums(folder: Path) -> None:
    """Remove the checksums of a folder whose files are about to be written again."""
    (folder / CHECKSUMS_NAME).unlink(missing_ok=True)


def read_checksums(folder: Path) -> dict[str, str]:
    """Read the checksums of a folder, from file name to SHA-256; empty where there are none.

    Raises:
        RunFolderError: They are damaged.
    """
    path = folder / CHECKSUMS_NAME
    if not path.is_file():
        return {}
    try:
        return _Checksums.model_validate_json(path.read_bytes()).files
    except (OSError, ValidationError) as error:
        raise RunFolderError(
            f"'{path}' is damaged, so it is not known whether the files beside it were altered. "
            "Restore it, or remove it and run the command again that writes this folder."
        ) from error


def compare_checksum(path: Path) -> FileState:
    """Compare a file with its recorded checksum.

    Raises:
        RunFolderError: The checksums of its folder are damaged.
    """
    recorded = read_checksums(path.parent).get(path.name)
    if recorded is None:
        return FileState.UNRECORDED
    same = path.is_file() and compute_sha256(path) == recorded
    return FileState.UNALTERED if same else FileState.ALTERED


def require_unaltered(path: Path, *, way_out: str) -> None:
    """Refuse a file that is not as it was written; one without a checksum passes.

    Args:
        path: The file.
        way_out: A sentence for the message.

    Raises:
        RunFolderError: It was altered.
    """
    if compare_checksum(path) is FileState.ALTERED:
        raise RunFolderError(
            f"'{path}' was altered after it was written: its SHA-256 is not the one in "
            f"{CHECKSUMS_NAME}. {way_out}"
        )


def find_altered_files(folder: Path) -> Iterator[str]:
    """Describe each file of a folder that is missing or was altered, one sentence each."""
    try:
        recorded = read_checksums(folder)
    except RunFolderError as error:
        yield str(error)
        return
    for name in recorded:
        if not (folder / name).is_file():
            yield f"The file {folder.name}/{name} is missing."
        elif compare_checksum(folder / name) is FileState.ALTERED:
            yield f"The file {folder.name}/{name} was altered: its SHA-256 has changed."


def _is_content(path: Path) -> bool:
    return path.is_file() and path.name != CHECKSUMS_NAME and not path.name.startswith(".")
