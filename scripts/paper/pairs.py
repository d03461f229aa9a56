"""Pairs of unseen sources: read from the trainings of `benchmarks/unseen_sources.py`, and drawn.

Those trainings take an hour, so that their areas lie beside this file, in `unseen_pairs.csv`;
`scripts/study --unseen WORK` computes them again from the predictions in WORK.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from paper.sheet import Cell, draw_table

from cxresnet.core.files import write_text
from cxresnet.data.dataset.dataset import open_dataset

RECORDED = Path(__file__).parent / "unseen_pairs.csv"
COMMAND = (
    "python benchmarks/unseen_sources.py DATASET --work WORK --sets outer --seeds 0,1,2,3,4; "
    "then inner, single"
)
SEEDS = "0,1,2,3,4"
DATE = "2026-11-28"
_BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@dataclass(frozen=True)
class PairCell:
    """One cell of the grid.

    Attributes:
        task: The classes.
        ill: Source of the images of the first class.
        well: Source of the others.
        auroc: Of the networks together.
        low: Lower end of its interval.
        high: Upper end.
        baseline: Area of the best shortcut baseline in this very cell.
        n: Images.
    """

    task: str
    ill: str
    well: str
    auroc: float
    low: float
    high: float
    baseline: float
    n: int


def read_recorded(path: Path = RECORDED) -> tuple[PairCell, ...]:
    """Read the recorded cells."""
    with path.open(encoding="utf-8", newline="") as stream:
        return tuple(
            PairCell(
                row["task"],
                row["ill"],
                row["well"],
                *(float(row[name]) for name in ("auroc", "low", "high", "baseline")),
                n=int(row["n"]),
            )
            for row in csv.DictReader(stream)
        )


def compute_cells(work: Path, dataset: Path, unknown: Path | None) -> tuple[PairCell, ...]:
    """Compute the cells anew from the predictions of the trainings; takes a minute."""
    sys.path.insert(0, str(_BENCHMARKS))
    from unseen_sources import gather
    from unseen_summary import collect_cells

    material = gather(open_dataset(dataset), open_dataset(unknown) if unknown else None)
    return tuple(
        PairCell(
            task.replace("covid", "COVID-19").replace("/", " against "),
            ill,
            well,
            *(round(float(value or 0), 4) for value in (found.value, found.low, found.high, best)),
            n=found.n,
        )
        for task, ill, well, found, best in collect_cells(work, material)
    )


def record(cells: Sequence[PairCell], path: Path = RECORDED) -> None:
    """Write the cells beside this file."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [one.name for one in fields(PairCell)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(one) for one in cells)
    write_text(path, stream.getvalue())


def draw_pairs(cells: Sequence[PairCell]) -> str:
    """Draw the cells of one task: sources of the ill down, those of the others across."""
    rows = sorted({one.ill for one in cells})
    columns = sorted({one.well for one in cells})
    found = {(one.ill, one.well): one for one in cells}
    table = [[_build_cell(found.get((ill, well))) for well in columns] for ill in rows]
    first, _, second = cells[0].task.partition(" against ")
    return draw_table(
        table,
        rows=rows,
        columns=columns,
        title=cells[0].task,
        corner=f"Source of {first} down, source of {second} across",
        description=f"AUROC of {cells[0].task} by pair of unseen sources.",
    )


def _build_cell(one: PairCell | None) -> Cell:
    if one is None:
        return Cell()
    lines = (f"{one.auroc:.2f}", f"{one.low:.2f}–{one.high:.2f}", f"baseline {one.baseline:.2f}")
    return Cell(lines, share=2 * (one.auroc - 0.5))
