"""Where a dataset is made: a hidden folder beside the output, renamed into place when whole."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from cxresnet.core.errors import CXResnetError, RunFolderError, StorageError
from cxresnet.core.files import explain_storage_errors
from cxresnet.core.lock import locked

__all__ = ["put_in_place", "require_free_place", "require_space", "working_beside"]

_logger = logging.getLogger(__name__)

_SPARE_BYTES = 16 * 2**20


def require_free_place(out: Path, *, mark: str, force: bool) -> None:
    """Refuse to write where something else is.

    Args:
        out: Where the finished folder will be.
        mark: Name of the file that a finished folder of ours has.
        force: Write over a finished folder of ours; never over anything else.

    Raises:
        RunFolderError: There is something that is not to be written over.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise RunFolderError(f"'{out}' is a file. Give a folder with --out.")
    if (out / mark).is_file():
        if not force:
            raise RunFolderError(
                f"'{out}' already holds a dataset. Give another --out, or write over it with "
                "--force."
            )
    elif any(out.iterdir()):
        raise RunFolderError(
            f"'{out}' holds other files and is not written over. Give another --out."
        )


def require_space(out: Path, needed_bytes: int) -> None:
    """Refuse to start what cannot fit.

    Raises:
        StorageError: There is less space than the films take.
    """
    there = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if free < needed_bytes + _SPARE_BYTES:
        raise StorageError(
            f"The dataset needs up to {_to_megabytes(needed_bytes + _SPARE_BYTES)} MB beside "
            f"'{out}', but {_to_megabytes(free)} MB are free. Free some space, give another "
            "--out, or lower data.side_px."
        )


@contextlib.contextmanager
def working_beside(out: Path, *, mark: str, force: bool) -> Iterator[Path]:
    """Work in `.NAME.partial`; it is kept after Ctrl-C, a full disk or an impossible split.

    Args:
        out: As `require_free_place`, which is asked once more when nobody else can be at work.
        mark: As `require_free_place`.
        force: As `require_free_place`.

    Yields:
        The folder; it may hold earlier work, or not be there yet.

    Raises:
        RunFolderError: Another process is at work on the same folder, or has just finished it.
    """
    partial = out.parent / f".{out.name}.partial"
    with locked(out.parent / f".{out.name}.lock", what=f"'{out}'"):
        require_free_place(out, mark=mark, force=force)
        try:
            yield partial
        except (KeyboardInterrupt, CXResnetError):
            if partial.exists():
                _logger.warning(
                    "What was decoded is kept in '%s'; the next try goes on from there.", partial
                )
            raise


def put_in_place(fresh: Path, out: Path) -> None:
    """Rename a finished folder to its place.

    Args:
        fresh: The finished folder, inside the folder of the work, which is taken away.
        out: Its place; what is there is replaced.
    """
    with explain_storage_errors(out):
        if out.exists():
            replaced = fresh.with_name("replaced")
            shutil.rmtree(replaced, ignore_errors=True)
            out.rename(replaced)
        fresh.rename(out)
        shutil.rmtree(fresh.parent)


def _to_megabytes(size: int) -> int:
    return -(-size // 2**20)
