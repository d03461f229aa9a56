"""`prepare`: from films as people have them to a dataset on disk, whole or not at all.

All work happens in a hidden folder beside the output, `.NAME.partial`. Interrupted work leaves it
there, and the same command goes on from it; finished work is renamed into place.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import RunFolderError, StorageError
from cxresnet.core.files import explain_storage_errors
from cxresnet.data.assemble import Materials, assemble_dataset
from cxresnet.data.dataset_record import LEDGER_NAME, RECORD_NAME, DatasetRecord
from cxresnet.data.decoded_films import require_two_classes
from cxresnet.data.decoded_folder import compute_decoded_bytes, decode_into
from cxresnet.data.preprocess import build_preprocessing
from cxresnet.data.record import ImageRecord
from cxresnet.data.sources.source import AbstractSource, Rejection, ScanResult

__all__ = ["PrepareResult", "run_prepare"]

_logger = logging.getLogger(__name__)

_SPARE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class PrepareResult:
    """What `prepare` made.

    Attributes:
        path: The dataset's folder.
        record: What its `dataset.json` says.
    """

    path: Path
    record: DatasetRecord

    @property
    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Films by class, then split, then source."""
        return self.record.counts

    @property
    def rejected(self) -> int:
        """Number of films that could not be used."""
        return self.record.films.rejected

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences that the user should hear."""
        return self.record.notices

    def describe(self) -> str:
        """Say in one line a class how many films are in which split."""
        films = self.record.films
        total = (
            f"{films.scanned} films scanned, {films.kept} kept, {films.rejected} rejected, "
            f"{films.conflicting} left out as label conflicts."
        )
        lines = [total]
        for name in self.record.class_names:
            by_split = self.counts[name]
            parts = ", ".join(f"{sum(by_split[key].values())} {key}" for key in by_split)
            lines.append(f"  {name}: {parts}")
        return "\n".join(lines)


def run_prepare(
    source: AbstractSource, *, config: DataConfig, out: Path, force: bool = False
) -> PrepareResult:
    """Prepare a dataset.

    Args:
        source: Where the films come from.
        config: How to prepare and split them.
        out: Folder for the dataset.
        force: Write over a dataset that is there; its ledger of test openings is kept.

    Returns:
        What was made.

    Raises:
        EmptySourceError: No usable film.
        ClassMapError: A label that no class claims, or one class only.
        SplitError: The films cannot be split as asked.
        RunFolderError: `out` holds something else.
        StorageError: Disk full or read-only; what was decoded stands for the next try.
    """
    require_free_place(out, force=force)
    scan = scan_source(source)
    require_two_classes([record.class_name for record in scan.records], scan.rejections)
    preprocessing = build_preprocessing(config)
    require_space(out, 2 * compute_decoded_bytes(scan.records, preprocessing))
    partial = out.parent / f".{out.name}.partial"
    with _say_that_work_can_go_on(partial):
        decoded = decode_into(
            partial / "decoded", source, scan.records, preprocessing, workers=config.workers
        )
        materials = Materials(
            source_name=source.name,
            class_names=source.class_map.class_names,
            folders=(decoded,),
            rejections=scan.rejections,
            notices=scan.notices,
        )
        record = finish_dataset(materials, config=config, out=out, partial=partial)
    return PrepareResult(out, record)


def scan_source(source: AbstractSource) -> ScanResult:
    """Scan, and reject all but the first of several films with the same id."""
    scan = source.scan()
    first: dict[str, ImageRecord] = {}
    twice = []
    for record in scan.records:
        if first.setdefault(record.image_id, record) is not record:
            reason = "Another film has the same id; the first one was kept."
            twice.append(
                Rejection(
                    image_id=record.image_id,
                    class_name=record.class_name,
                    code="duplicate-row",
                    reason=reason,
                )
            )
    return ScanResult(tuple(first.values()), (*scan.rejections, *twice), scan.notices)


def require_free_place(out: Path, *, force: bool) -> None:
    """Refuse to write where something else is.

    Raises:
        RunFolderError: `out` holds a dataset and `force` is off, or it holds something else.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise RunFolderError(f"'{out}' is a file. Give a folder with --out.")
    if (out / RECORD_NAME).is_file():
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
        StorageError: There is less space than films and masks take.
    """
    there = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if free < needed_bytes + _SPARE_BYTES:
        raise StorageError(
            f"The dataset needs up to {_to_megabytes(needed_bytes + _SPARE_BYTES)} MB beside "
            f"'{out}', but {_to_megabytes(free)} MB are free. Free some space, give another "
            "--out, or lower data.side_px."
        )


def finish_dataset(
    materials: Materials, *, config: DataConfig, out: Path, partial: Path
) -> DatasetRecord:
    """Assemble a dataset in the partial folder, and rename it into place."""
    fresh = partial / "dataset"
    with explain_storage_errors(out):
        if fresh.exists():
            shutil.rmtree(fresh)
        record = assemble_dataset(materials, config=config, folder=fresh, name=out.name)
        _replace(fresh, out)
        shutil.rmtree(partial)
    return record


def _replace(fresh: Path, out: Path) -> None:
    """Put a finished folder in place of what is there, with the old ledger of test openings."""
    if not out.exists():
        fresh.rename(out)
        return
    if (out / LEDGER_NAME).is_file():
        shutil.copyfile(out / LEDGER_NAME, fresh / LEDGER_NAME)
    old = fresh.with_name("replaced")
    if old.exists():
        shutil.rmtree(old)
    out.rename(old)
    fresh.rename(out)


@contextlib.contextmanager
def _say_that_work_can_go_on(partial: Path) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, StorageError):
        if partial.exists():
            _logger.warning(
                "What was decoded is kept in '%s'; the same command goes on from there.", partial
            )
        raise


def _to_megabytes(size: int) -> int:
    return -(-size // 2**20)
