"""`prepare`: make a dataset on disk from images as they come, completely or not at all.

All work happens in a hidden folder beside the output, `.NAME.partial`. Interrupted work leaves it
there, and the next attempt continues it; finished work is renamed into place.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import CXResnetError, RunFolderError, StorageError
from cxresnet.core.executor import AbstractExecutor, Processes
from cxresnet.core.files import explain_storage_errors, locked
from cxresnet.data.dataset.dataset_record import RECORD_NAME, DatasetRecord
from cxresnet.data.dataset.held_out import carry_over_access_log, hold_access_log
from cxresnet.data.decode.limits import DecodeLimits
from cxresnet.data.decode.record import Decoding
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.prepare.assemble import DatasetInputs, assemble_dataset
from cxresnet.data.prepare.decoded_folder import compute_decoded_bytes, decode_into
from cxresnet.data.prepare.preprocessing import build_preprocessing
from cxresnet.data.prepare.requirements import require_classes, require_plausible_patients
from cxresnet.data.sources.source import AbstractSource, Rejection, ScanResult, forget_patients

_logger = logging.getLogger(__name__)

_SPARE_BYTES = 16 * 2**20
_REPLACED = "replaced"


def require_free_output(out: Path, *, force: bool) -> None:
    """Refuse to overwrite other files.

    Args:
        out: Where the dataset will be.
        force: Overwrite a dataset, but never anything else.

    Raises:
        RunFolderError: There is something that must not be overwritten.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise RunFolderError(f"'{out}' is a file. Give a folder with --out.")
    if (out / RECORD_NAME).is_file():
        if not force:
            raise RunFolderError(
                f"'{out}' already holds a dataset. Give another --out, or overwrite it with "
                "--force."
            )
    elif any(out.iterdir()):
        raise RunFolderError(
            f"'{out}' holds other files and is not overwritten. Give another --out."
        )


def require_disk_space(out: Path, needed_bytes: int) -> None:
    """Refuse to start if the images do not fit on the disk.

    Raises:
        StorageError: There is less space than the images take.
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
def open_working_directory(out: Path, *, force: bool) -> Iterator[Path]:
    """Work in `.NAME.partial`, which is kept after Ctrl-C, a full disk or an impossible split.

    Args:
        out: As of `require_free_output`, which is called again once the lock is held.
        force: As `require_free_output`.

    Yields:
        The folder; it may hold earlier work, or not be there yet.

    Raises:
        RunFolderError: Another process is at work on the same folder, or has just finished it.
    """
    partial = out.parent / f".{out.name}.partial"
    with locked(out.parent / f".{out.name}.lock", what=f"'{out}'"):
        _put_replaced_back(partial, out)
        require_free_output(out, force=force)
        try:
            yield partial
        except (KeyboardInterrupt, CXResnetError):
            if partial.exists():
                _logger.warning(
                    "Decoded images are kept in '%s'; the next attempt continues from there.",
                    partial,
                )
            raise


def _put_replaced_back(partial: Path, out: Path) -> None:
    """Undo a replacement that was killed half-way: the old dataset has the test access log."""
    replaced = partial / _REPLACED
    if replaced.is_dir() and not (out.exists() and any(out.iterdir())):
        with explain_storage_errors(out):
            if out.exists():
                out.rmdir()
            replaced.rename(out)
        _logger.warning(
            "An earlier 'prepare' was stopped while it replaced '%s'. The dataset that was there "
            "is back, with its test access log.",
            out,
        )


def move_into_place(fresh: Path, out: Path) -> None:
    """Rename a finished folder to its place.

    Args:
        fresh: The finished folder, inside the folder of the work, which is taken away.
        out: Its place; what is there is replaced.
    """
    with explain_storage_errors(out):
        if out.exists():
            replaced = fresh.with_name(_REPLACED)
            shutil.rmtree(replaced, ignore_errors=True)
            out.rename(replaced)
        fresh.rename(out)
        shutil.rmtree(fresh.parent)


def _to_megabytes(size: int) -> int:
    return -(-size // 2**20)


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
        """Images by class, then split, then source."""
        return self.record.counts

    @property
    def rejected(self) -> int:
        """Number of images that could not be used."""
        return self.record.images.rejected

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings for the user."""
        return self.record.warnings

    def describe(self) -> str:
        """Describe in one line for each class how many images are in which split."""
        images = self.record.images
        total = (
            f"{images.scanned} images scanned, {images.kept} kept, {images.rejected} rejected, "
            f"{images.conflicting} left out as label conflicts."
        )
        lines = [total]
        for name in self.record.class_names:
            by_split = self.counts[name]
            parts = ", ".join(f"{sum(by_split[key].values())} {key}" for key in by_split)
            lines.append(f"  {name}: {parts}")
        return "\n".join(lines)


def run_prepare(
    source: AbstractSource,
    *,
    config: DataConfig,
    out: Path,
    force: bool = False,
    executor: AbstractExecutor | None = None,
) -> PrepareResult:
    """Prepare a dataset.

    Args:
        source: Where the images come from.
        config: How to prepare and split them.
        out: Folder for the dataset.
        force: Overwrite an existing dataset; its test access log is kept
            (`carry_over_access_log`).
        executor: Where images are decoded; None for worker processes of this machine, as many as
            the config says.

    Returns:
        What was made.

    Raises:
        EmptySourceError: No usable image.
        ClassMapError: A label that no class claims, or one class only.
        SplitError: The images cannot be split as configured.
        RunFolderError: `out` holds something else, or another process is writing it.
        StorageError: Disk full or read-only; decoded images are kept for the next attempt.
    """
    require_free_output(out, force=force)
    scan = scan_source(source, config=config)
    decoding = build_decoding(source, config)
    require_disk_space(out, 2 * compute_decoded_bytes(scan.records, decoding.preprocessing))
    with open_working_directory(out, force=force) as partial:
        decoded = decode_into(
            partial / "decoded",
            decoding,
            scan.records,
            executor=executor or Processes(config.workers),
        )
        inputs = DatasetInputs(
            source_name=source.name,
            class_names=source.class_map.class_names,
            decoded=decoded,
            rejections=scan.rejections,
            warnings=scan.warnings,
            claimed=scan.classes,
        )
        return finish_dataset(inputs, config=config, out=out, partial=partial)


def build_decoding(source: AbstractSource, config: DataConfig) -> Decoding:
    """Build the decoding of a source, as the config says."""
    limits = DecodeLimits(config.decode_memory_mib, config.decode_seconds)
    return Decoding(source, build_preprocessing(config), limits)


def scan_source(source: AbstractSource, *, config: DataConfig) -> ScanResult:
    """Scan a source, and reject all but the first of several images with the same id.

    Raises:
        EmptySourceError: There is no image.
        ClassMapError: There are images of one class only, and they are no external test set; or a
            class has no image.
        SourceError: One patient has too large a share of a class to be one person.
    """
    scan = source.scan()
    first: dict[str, ImageRecord] = {}
    twice = []
    for record in scan.records:
        if first.setdefault(record.image_id, record) is not record:
            reason = "Another image has the same id; the first one was kept."
            twice.append(
                Rejection(
                    image_id=record.image_id,
                    class_name=record.class_name,
                    code="duplicate-row",
                    reason=reason,
                )
            )
    rejections = (*scan.rejections, *twice)
    classes = [record.class_name for record in first.values()]
    claimed = tuple(sorted({*scan.classes, *source.class_map.named, *classes}))
    require_classes(classes, rejections, config=config, claimed=claimed)
    records = forget_patients(first.values(), config.no_patients)
    require_plausible_patients(records, config=config)
    return replace(scan, records=records, rejections=rejections, classes=claimed)


def finish_dataset(
    inputs: DatasetInputs, *, config: DataConfig, out: Path, partial: Path
) -> PrepareResult:
    """Assemble a dataset in the folder of the work, and put it in its place."""
    fresh = partial / "dataset"
    shutil.rmtree(fresh, ignore_errors=True)
    record = assemble_dataset(inputs, config=config, folder=fresh, name=out.name)
    with hold_access_log(out) if out.is_dir() else contextlib.nullcontext():
        carry_over_access_log(out, fresh)
        move_into_place(fresh, out)
    return PrepareResult(out, record)
