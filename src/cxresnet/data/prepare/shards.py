"""Preparing in shares, on machines without a shared disk.

Every machine decodes its share of the images into a folder of its own. Merging these folders gives
exactly the dataset that one machine would have made: near-duplicates are found and images are split
over all shares at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError

from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import ConfigError, DatasetError, EmptySourceError
from cxresnet.core.executor import Processes
from cxresnet.core.record import Record, compare_format, write_record
from cxresnet.data.dataset.dataset_record import RECORD_NAME
from cxresnet.data.prepare.assemble import DatasetInputs
from cxresnet.data.prepare.decoded_folder import DecodedFolder, compute_decoded_bytes, decode_into
from cxresnet.data.prepare.prepare import (
    PrepareResult,
    build_decoding,
    finish_dataset,
    move_into_place,
    open_working_directory,
    require_disk_space,
    require_free_output,
    scan_source,
)
from cxresnet.data.prepare.preprocessing import Preprocessing, build_preprocessing
from cxresnet.data.sources.source import AbstractSource, Rejection

_RECORD_NAME = "shard.json"
_FORMAT = 2
"""Version 0.1 wrote no format."""


class ShardRecord(Record):
    """`shard.json`: what one share is. Written last.

    Attributes:
        format: Version of the layout.
        number: Which share, 1 to `count`.
        count: How many shares there are.
        scanned_images: Images of all shares.
        source: Name of the source.
        class_names: Of the source's class map.
        preprocessing: The pipeline of every share.
        rejections: Left out while scanning; the same in every share.
        warnings: What the source warned of.
    """

    format: int = _FORMAT
    number: int
    count: int
    scanned_images: int
    source: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    rejections: tuple[dict[str, str], ...]
    warnings: tuple[str, ...]
    claimed: tuple[str, ...] = ()


def run_prepare_shard(
    source: AbstractSource,
    *,
    config: DataConfig,
    out: Path,
    shard: tuple[int, int],
    force: bool = False,
) -> Path:
    """Decode one share of the images.

    Args:
        source: Where all the images come from; the same on every machine.
        config: How to prepare; the same on every machine.
        out: Folder for this share.
        shard: Which share of how many, from (1, n) to (n, n).
        force: Overwrite an earlier share.

    Returns:
        `out`.

    Raises:
        ConfigError: There is no such share.
        EmptySourceError: There is no image for this share.
        RunFolderError: `out` holds something else.
        StorageError: Disk full or read-only; decoded images are kept for the next attempt.
    """
    number, count = shard
    if not 1 <= number <= count:
        raise ConfigError(f"There is no share {number} of {count}; count from 1 to {count}.")
    require_free_output(out, mark=_RECORD_NAME, force=force)
    scan = scan_source(source, config=config)
    records = scan.records[number - 1 :: count]
    if not records:
        raise EmptySourceError(
            f"{len(scan.records)} images cannot fill {count} shares. Use fewer shares."
        )
    preprocessing = build_preprocessing(config)
    require_disk_space(out, compute_decoded_bytes(records, preprocessing))
    with open_working_directory(out, mark=_RECORD_NAME, force=force) as partial:
        decoded = decode_into(
            partial / "decoded",
            build_decoding(source, config),
            records,
            executor=Processes(config.workers),
        )
        record = ShardRecord(
            number=number,
            count=count,
            scanned_images=len(scan.records),
            source=source.name,
            class_names=source.class_map.class_names,
            preprocessing=preprocessing,
            rejections=tuple(asdict(rejection) for rejection in scan.rejections),
            warnings=scan.warnings,
            claimed=scan.classes,
        )
        write_record(decoded.path / _RECORD_NAME, record, with_checksum=False)
        move_into_place(decoded.path, out)
    return out


def merge_shards(
    paths: Sequence[Path], *, config: DataConfig, out: Path, force: bool = False
) -> PrepareResult:
    """Merge all shares into one dataset.

    Args:
        paths: The folders of all shares, in any order.
        config: How to split; its preprocessing must be that of the shares.
        out: Folder for the dataset.
        force: Overwrite an existing dataset.

    Returns:
        What was made.

    Raises:
        DatasetError: A share is missing, given twice, unfinished, from another version, or made
            from other images.
        ConfigError: The shares were prepared with other preprocessing than the config names.
        EmptySourceError: No usable image.
        ClassMapError: One class only.
        SplitError: The images cannot be split as configured.
        RunFolderError: `out` holds something else.
        StorageError: Disk full or read-only.
    """
    require_free_output(out, mark=RECORD_NAME, force=force)
    shards = sorted(((_read_record(path), path) for path in paths), key=lambda item: item[0].number)
    records = [record for record, _ in shards]
    _require_one_whole(records)
    if records[0].preprocessing != build_preprocessing(config):
        raise ConfigError(
            "The shares were prepared with other preprocessing than this config names. "
            "Merge with the config that they were prepared with."
        )
    inputs = DatasetInputs(
        source_name=records[0].source,
        class_names=records[0].class_names,
        folders=tuple(DecodedFolder.read(path) for _, path in shards),
        rejections=tuple(Rejection(**rejection) for rejection in records[0].rejections),
        warnings=records[0].warnings,
        claimed=records[0].claimed,
    )
    with open_working_directory(out, mark=RECORD_NAME, force=force) as partial:
        return finish_dataset(inputs, config=config, out=out, partial=partial)


def _read_record(path: Path) -> ShardRecord:
    try:
        content = (path / _RECORD_NAME).read_bytes()
        if compare_format(content, ShardRecord, unnumbered=1) < 0:
            raise DatasetError(
                f"The share '{path}' was prepared by version 0.1; prepare it again with this one."
            )
        return ShardRecord.model_validate_json(content)
    except (OSError, ValidationError) as error:
        raise DatasetError(
            f"'{path}' is not a finished share. Make it with 'cxresnet prepare SOURCE --shard I/N'."
        ) from error


def _require_one_whole(records: Sequence[ShardRecord]) -> None:
    if not records:
        raise DatasetError("There is no share to merge. Name the folders of all shares.")
    first = records[0]
    for record in records[1:]:
        if record.model_copy(update={"number": first.number}) != first:
            raise DatasetError(
                f"The shares {first.number} and {record.number} do not belong together. Prepare "
                "all shares from the same images with the same config."
            )
    numbers = [record.number for record in records]
    if numbers != list(range(1, first.count + 1)):
        raise DatasetError(
            f"Of {first.count} shares, these were named: {', '.join(map(str, numbers))}. "
            "Name each once."
        )
