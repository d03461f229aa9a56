"""How fast is the whole main job, beside what one would use instead? Ratios, in one run.

    make bench                                                # or, with more choice:
    .venv/bin/python benchmarks/bench.py [--quick | --long] [--out speed.md] [--only occlusion,...]

Ours and the peer take turns in the same minutes, and the fastest turn of each counts, so that other
work on the machine hurts the seconds but hardly the ratio. The seconds of the processor (all
processes and threads) stand beside those of the clock: a busy machine changes them less. Only a
table that was made on an idle machine says whether a "must" of docs/benchmarks.md is met. Images
are drawings, not patients. `--quick` shows in a minute that everything runs, on so little work that
its ratios say nothing; `--long` adds 100,000 fingerprints and the growth of `prepare` and
`evaluate` from 500 to 8,000 images, with a drawing beside the table.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import bench_table
from bench_table import Growth, Row, Size

Measure = Callable[[Size, Path], Iterator[Row | Growth]]

BUSY_LOAD = 1.0
"""Above this load at the start, the table says that it is not to be quoted."""

SIZES = {
    "quick": Size(
        turns=1, preset="nano", side_px=64, window_px=13, stride_px=13, batches=(16,), images=24,
        image_side_px=256, predicted=32, large=2, large_side_px=512, counts=(300, 1_000),
    ),
    "usual": Size(
        turns=3, preset="small", side_px=224, window_px=45, stride_px=9, batches=(4, 16, 64),
        images=1_124, image_side_px=1024, predicted=1_000, large=200, large_side_px=2_000,
        counts=(1_000, 10_000),
    ),
    "long": Size(
        turns=3, preset="small", side_px=224, window_px=45, stride_px=9, batches=(4, 16, 64),
        images=1_124, image_side_px=1024, predicted=1_000, large=200, large_side_px=2_000,
        counts=(1_000, 10_000, 100_000), growth=(500, 1_000, 2_000, 4_000, 8_000),
    ),
}  # fmt: skip


def main(measures: Mapping[str, Measure], start: Callable[[int], None]) -> None:
    """Measure what the command line asks for; `start` prepares each measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", const="quick", dest="size")
    size.add_argument("--long", action="store_const", const="long", dest="size")
    parser.add_argument("--only", default="", help=f"some of {','.join(measures)}")
    parser.add_argument("--out", type=Path, help="a Markdown file; the table is printed without it")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else list(measures)
    if unknown := set(chosen) - set(measures):
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}")
    lines, growths = list(describe_machine(options.threads)), list[Growth]()
    lines += ["", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            # Each from the same state, so that one alone measures what it measures among all.
            start(options.threads)
            for found in measures[name](SIZES[options.size or "usual"], Path(folder)):
                if isinstance(found, Growth):
                    growths.append(found)
                lines.append(format_row(found if isinstance(found, Row) else found.to_row()))
    write(lines, growths, out=options.out)


COLUMNS = (
    "question", "peer", "ours, s: clock, processor", "peer, s: clock, processor",
    "ratio: clock, processor", "must", "met",
)  # fmt: skip


def describe_machine(threads: int) -> Iterator[str]:
    """Say where and when, and warn where the machine has other work."""
    load = os.getloadavg()[0]
    now = dt.datetime.now(dt.UTC)
    names = ("cxresnet", "torch", "captum", "numpy", "pillow")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names]
    yield f"{now:%Y-%m-%d %H:%M} UTC; {read_processor()}, {os.cpu_count()} cores, {threads} threads"
    yield f"Python {platform.python_version()}, {', '.join(versions)}"
    yield f"load average at the start: {load:.2f}"
    if load > BUSY_LOAD:
        yield (
            f"**Warning: the machine was busy (load {load:.2f}, above {BUSY_LOAD}). Do not quote "
            "these numbers; run this again on an idle machine.**"
        )


def read_processor() -> str:
    """Read the model of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (cpuinfo.read_text().splitlines() if cpuinfo.exists() else ())
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor() or platform.machine()


def format_row(row: Row) -> str:
    """Write one row of the table."""
    cells = (
        row.question,
        row.peer,
        *(
            "–" if cost is None else f"{cost.clock_s:.3g}, {cost.processor_s:.3g}"
            for cost in (row.ours, row.theirs)
        ),
        row.ratio,
        row.must,
        "–" if row.met is None else "yes" if row.met else "no",
    )
    return f"| {' | '.join(cells)} |"


def write(lines: Sequence[str], growths: Sequence[Growth], *, out: Path | None) -> None:
    """Write table and drawing, or print the table."""
    text = "\n".join(lines) + "\n"
    if out is None:
        print(text, end="")
        return
    out.write_text(text, encoding="utf-8")
    if growths:
        out.with_suffix(".svg").write_text(bench_table.draw(growths), encoding="utf-8")
    print(f"wrote {out}")


if __name__ == "__main__":
    # Not above: processes that measures start import this file, and would measure its imports.
    import bench_measures

    main(bench_measures.MEASURES, bench_measures.start)
