"""Preparing in shares, on machines without a shared disk.

Every machine decodes its share of the films into a folder of its own. The folders are brought
together, and merging gives the very dataset that one machine would have made: copies are found and
films are split over all shares at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import ConfigError, DatasetError, EmptySourceError
from cxresnet.core.files import write_text
from cxresnet.data.assemble import Materials
from cxresnet.data.dataset_record import RECORD_NAME
from cxresnet.data.decoded_folder import DecodedFolder, compute_decoded_bytes, decode_into
from cxresnet.data.prepare import PrepareResult, finish_dataset, scan_source
from cxresnet.data.preprocess import Preprocessing, build_preprocessing
from cxresnet.data.sources.source import AbstractSource, Rejection
from cxresnet.data.workplace import (
    put_in_place,
    require_free_place,
    require_space,
    working_beside,
)

__all__ = ["ShardRecord", "merge_shards", "run_prepare_shard"]

_RECORD_NAME = "shard.json"


class ShardRecord(BaseModel):
    """`shard.json`: what one share is. Written last.

    Attributes:
        number: Which share, 1 to `count`.
        count: How many shares there are.
        scanned_films: Films of all shares.
        source: Name of the source.
        class_names: Of the source's class map.
        preprocessing: The road of every share.
        rejections: Left out while scanning; the same in every share.
        notices: What the source had to say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    count: int
    scanned_films: int
    source: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    rejections: tuple[dict[str, str], ...]
    notices: tuple[str, ...]


def run_prepare_shard(
    source: AbstractSource,
    *,
    config: DataConfig,
    out: Path,
    shard: tuple[int, int],
    force: bool = False,
) -> Path:
    """Decode one share of the films.

    Args:
        source: Where all the films come from; the same on every machine.
        config: How to prepare; the same on every machine.
        out: Folder for this share.
        shard: Which share of how many, from (1, n) to (n, n).
        force: Write over an earlier share.

    Returns:
        `out`.

    Raises:
        ConfigError: There is no such share.
        EmptySourceError: There is no film for this share.
        RunFolderError: `out` holds something else.
        StorageError: Disk full or read-only; what was decoded stands for the next try.
    """
    number, count = shard
    if not 1 <= number <= count:
        raise ConfigError(f"There is no share {number} of {count}; count from 1 to {count}.")
    require_free_place(out, mark=_RECORD_NAME, force=force)
    scan = scan_source(source, outside=config.outside)
    records = scan.records[number - 1 :: count]
    if not records:
        raise EmptySourceError(
            f"{len(scan.records)} films make fewer than {count} shares. Ask for fewer."
        )
    preprocessing = build_preprocessing(config)
    require_space(out, compute_decoded_bytes(records, preprocessing))
    with working_beside(out, mark=_RECORD_NAME, force=force) as partial:
        decoded = decode_into(
            partial / "decoded", source, records, preprocessing, workers=config.workers
        )
        record = ShardRecord(
            number=number,
            count=count,
            scanned_films=len(scan.records),
            source=source.name,
            class_names=source.class_map.class_names,
            preprocessing=preprocessing,
            rejections=tuple(asdict(rejection) for rejection in scan.rejections),
            notices=scan.notices,
        )
        write_text(decoded.path / _RECORD_NAME, record.model_dump_json(indent=2) + "\n")
        put_in_place(decoded.path, out)
    return out


def merge_shards(
    paths: Sequence[Path], *, config: DataConfig, out: Path, force: bool = False
) -> PrepareResult:
    """Merge all shares into one dataset.

    Args:
        paths: The folders of all shares, in any order.
        config: How to split; the road must be that of the shares.
        out: Folder for the dataset.
        force: Write over a dataset that is there.

    Returns:
        What was made.

    Raises:
        DatasetError: A share is missing, there twice, not finished, or of other work.
        ConfigError: The config asks for another road than the shares took.
        EmptySourceError: No usable film.
        ClassMapError: One class only.
        SplitError: The films cannot be split as asked.
        RunFolderError: `out` holds something else.
        StorageError: Disk full or read-only.
    """
    require_free_place(out, mark=RECORD_NAME, force=force)
    shards = sorted(((_read_record(path), path) for path in paths), key=lambda item: item[0].number)
    records = [record for record, _ in shards]
    _require_one_whole(records)
    if records[0].preprocessing != build_preprocessing(config):
        raise ConfigError(
            "The shares were prepared with another side, fit or percentiles than this config says. "
            "Merge with the config that they were prepared with."
        )
    materials = Materials(
        source_name=records[0].source,
        class_names=records[0].class_names,
        folders=tuple(DecodedFolder.read(path) for _, path in shards),
        rejections=tuple(Rejection(**rejection) for rejection in records[0].rejections),
        notices=records[0].notices,
    )
    with working_beside(out, mark=RECORD_NAME, force=force) as partial:
        return finish_dataset(materials, config=config, out=out, partial=partial)


def _read_record(path: Path) -> ShardRecord:
    try:
        return ShardRecord.model_validate_json((path / _RECORD_NAME).read_bytes())
    except (OSError, ValidationError) as error:
        raise DatasetError(
            f"'{path}' is no finished share. Make it with 'cxresnet prepare SOURCE --shard I/N'."
        ) from error


def _require_one_whole(records: Sequence[ShardRecord]) -> None:
    if not records:
        raise DatasetError("There is no share to merge. Name the folders of all shares.")
    first = records[0]
    for record in records[1:]:
        if record.model_copy(update={"number": first.number}) != first:
            raise DatasetError(
                f"The shares {first.number} and {record.number} are not of the same work. Prepare "
                "all shares from the same films with the same config."
            )
    numbers = [record.number for record in records]
    if numbers != list(range(1, first.count + 1)):
        raise DatasetError(
            f"Of {first.count} shares, these were named: {', '.join(map(str, numbers))}. "
            "Name each once."
        )
