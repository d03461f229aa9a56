"""A folder of files that is either valid or refused, and whose last valid state is never destroyed.

`MANIFEST.json` holds size and SHA-256 of every other file and is written last. To overwrite a
folder, the new one is written beside the old one as NAME.next; two renames put it in place:

    NAME → NAME.previous        NAME.next → NAME

Whenever the process is killed, at least one of NAME, NAME.next and NAME.previous is valid, and
`find_sealed_folder` finds it. NAME.previous stays, so that the last two states are kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxresnet.core.errors import CheckpointError
from cxresnet.core.files import explain_storage_errors, write_bytes

_logger = logging.getLogger(__name__)

_FORMAT = 1
_MANIFEST = "MANIFEST.json"
_WAY_OUT = "Use another checkpoint, or train again."


def write_sealed_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files in place of what the folder held; that stays as NAME.previous.

    Args:
        folder: The final place.
        files: From plain file name to content.

    Returns:
        The folder.

    Raises:
        CheckpointError: The folder holds something that was not written by this function.
        StorageError: The disk is full or may not be written; existing files are kept.
    """
    _require_ours(folder)
    following, previous = _name_siblings(folder)
    with explain_storage_errors(folder):
        _finish_interrupted_write(folder)
        following.mkdir(parents=True)
        for name, content in files.items():
            write_bytes(following / name, content)
        write_bytes(following / _MANIFEST, _format_manifest(_describe(files)))
        _flush_folder(following)
        if folder.exists():
            _remove(previous)
            folder.rename(previous)
        following.rename(folder)
        _flush_folder(folder.parent)
    return folder


def read_sealed_folder(folder: Path) -> dict[str, bytes]:
    """Read every file of the manifest once, and check the very bytes that are returned.

    Args:
        folder: As given to `write_sealed_folder`.

    Returns:
        From file name to content. Files that the manifest does not name are left alone.

    Raises:
        CheckpointError: A file is missing, cut off, longer or altered (it is named), or the format
            is newer than this program.
    """
    files = _read_manifest(folder)
    return {name: _read_checked(folder / name, entry) for name, entry in files.items()}


def find_sealed_folder(folder: Path) -> Path:
    """Find a whole folder: itself, else NAME.next or NAME.previous with a logged warning.

    Args:
        folder: As given to `write_sealed_folder`, perhaps killed while writing, perhaps altered.

    Returns:
        The folder to read.

    Raises:
        CheckpointError: None is valid; the message is about the first.
    """
    problem: CheckpointError | None = None
    for candidate in (folder, *_name_siblings(folder)):
        try:
            read_sealed_folder(candidate)
        except CheckpointError as error:
            problem = problem or error
            continue
        if problem is not None:
            _logger.warning("%s Continuing with '%s', which is valid.", problem, candidate)
        return candidate
    raise problem or CheckpointError(f"There is no checkpoint '{folder}'. {_WAY_OUT}")


def _name_siblings(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(f"{folder.name}.next"), folder.with_name(f"{folder.name}.previous")


def _require_ours(folder: Path) -> None:
    """Refuse to move away what we did not write."""
    is_other = folder.is_dir() and any(folder.iterdir()) and not (folder / _MANIFEST).is_file()
    if is_other or (folder.exists() and not folder.is_dir()):
        raise CheckpointError(
            f"'{folder}' holds something that is not a checkpoint. "
            "Move it away, or give another --out."
        )


def _finish_interrupted_write(folder: Path) -> None:
    """Put a whole NAME.next in place if NAME is not whole, as it may be the only one left."""
    following, _ = _name_siblings(folder)
    if following.exists() and _is_whole(following) and not _is_whole(folder):
        _remove(folder)
        following.rename(folder)
    _remove(following)


def _is_whole(folder: Path) -> bool:
    try:
        read_sealed_folder(folder)
    except CheckpointError:
        return False
    return True


def _describe(files: Mapping[str, bytes]) -> dict[str, Any]:
    table = {
        name: {"size_bytes": len(content), "sha256": _compute_sum(content)}
        for name, content in sorted(files.items())
    }
    return {"format": _FORMAT, "files": table}


def _format_manifest(manifest: Mapping[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=2) + "\n").encode()


def _compute_sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / _MANIFEST
    try:
        content = path.read_bytes()
    except OSError as error:
        state = (
            "is not a complete checkpoint: it has no MANIFEST.json"
            if folder.exists()
            else "is missing"
        )
        raise CheckpointError(f"The checkpoint '{folder}' {state}. {_WAY_OUT}") from error
    altered = f"'{path}' was altered or cut off. {_WAY_OUT}"
    try:
        manifest = json.loads(content)
        version, files = manifest["format"], manifest["files"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(altered) from error
    if isinstance(version, int) and version > _FORMAT:
        raise CheckpointError(
            f"'{folder}' has format {version}; this program reads up to {_FORMAT}. "
            "Update cxresnet to read it."
        )
    # Written in one way only, so a single changed bit shows, even in white space.
    if content != _format_manifest(manifest) or version != _FORMAT or not _is_file_table(files):
        raise CheckpointError(altered)
    return dict(files)


def _is_file_table(files: object) -> bool:
    """Say whether every entry is a plain name, which cannot leave the folder, a size and a sum."""
    return isinstance(files, dict) and all(
        Path(name).name == name != ".."
        and isinstance(entry, dict)
        and set(entry) == {"size_bytes", "sha256"}
        and isinstance(entry["size_bytes"], int)
        for name, entry in files.items()
    )


def _read_checked(path: Path, entry: Mapping[str, Any]) -> bytes:
    expected = entry["size_bytes"]
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size == expected else b""
    except OSError as error:
        raise CheckpointError(f"'{path}' is missing or cannot be read. {_WAY_OUT}") from error
    if size != expected:
        state = "longer than written" if size > expected else "cut off"
        raise CheckpointError(f"'{path}' is {state}: {size} bytes, not {expected}. {_WAY_OUT}")
    if _compute_sum(content) != entry["sha256"]:
        raise CheckpointError(f"'{path}' was altered after it was written. {_WAY_OUT}")
    return content


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _flush_folder(folder: Path) -> None:
    """Put the names in a folder on the disk; a rename alone may be lost with the power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
