"""`prepare`: from films as people have them to a dataset on disk, whole or not at all.

All work happens in a hidden folder beside the output, `.NAME.partial`. Interrupted work leaves it
there, and the next try goes on from it; finished work is renamed into place.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from cxresnet.core.config.data import DataConfig
from cxresnet.data.assemble import Materials, assemble_dataset
from cxresnet.data.dataset_record import RECORD_NAME, DatasetRecord
from cxresnet.data.decoded_films import require_classes
from cxresnet.data.decoded_folder import compute_decoded_bytes, decode_into
from cxresnet.data.old_ledger import keep_old_ledger
from cxresnet.data.preprocess import build_preprocessing
from cxresnet.data.record import ImageRecord
from cxresnet.data.sources.source import AbstractSource, Rejection, ScanResult
from cxresnet.data.workplace import (
    put_in_place,
    require_free_place,
    require_space,
    working_beside,
)

__all__ = ["PrepareResult", "finish_dataset", "run_prepare", "scan_source"]


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
        force: Write over a dataset that is there; the openings of its test are not forgotten
            (`keep_old_ledger`).

    Returns:
        What was made.

    Raises:
        EmptySourceError: No usable film.
        ClassMapError: A label that no class claims, or one class only.
        SplitError: The films cannot be split as asked.
        RunFolderError: `out` holds something else, or another process is writing it.
        StorageError: Disk full or read-only; what was decoded stands for the next try.
    """
    require_free_place(out, mark=RECORD_NAME, force=force)
    scan = scan_source(source, outside=config.outside)
    preprocessing = build_preprocessing(config)
    require_space(out, 2 * compute_decoded_bytes(scan.records, preprocessing))
    with working_beside(out, mark=RECORD_NAME, force=force) as partial:
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
        return finish_dataset(materials, config=config, out=out, partial=partial)


def scan_source(source: AbstractSource, *, outside: bool) -> ScanResult:
    """Scan, and reject all but the first of several films with the same id.

    Raises:
        EmptySourceError: There is no film.
        ClassMapError: There are films of one class only, and they are no outside set.
    """
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
    rejections = (*scan.rejections, *twice)
    classes = [record.class_name for record in first.values()]
    require_classes(classes, rejections, outside=outside)
    return ScanResult(tuple(first.values()), rejections, scan.notices)


def finish_dataset(
    materials: Materials, *, config: DataConfig, out: Path, partial: Path
) -> PrepareResult:
    """Assemble a dataset in the folder of the work, and put it in its place."""
    fresh = partial / "dataset"
    shutil.rmtree(fresh, ignore_errors=True)
    record = assemble_dataset(materials, config=config, folder=fresh, name=out.name)
    keep_old_ledger(out, fresh)
    put_in_place(fresh, out)
    return PrepareResult(out, record)
