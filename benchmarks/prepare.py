"""How fast is `prepare` against a bare decode loop, and does its memory stay bounded?

Command:  python benchmarks/prepare.py --films 400 --side 1024
          python benchmarks/prepare.py --films 2000 --films 20000 --side 256
Time:     seconds for a few hundred films; about 20 minutes for 20,000

The films are phantoms, each drawn for itself and written as PNG or JPEG (quality 90), in turns:
drawings, not patients. The bare loop reads and decodes each file with Pillow, on as many processes,
and does nothing else. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from cxresnet.core.config import DataConfig
from cxresnet.data.prepare import run_prepare
from cxresnet.data.sources.class_folders import ClassFoldersSource
from cxresnet.data.sources.phantom import PhantomSettings, PhantomSource

DRAWN_SIDE_PX = 224


def main() -> None:
    """Measure each number of films in a process of its own, so that its peak memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, action="append")
    parser.add_argument("--side", type=int, default=1024)
    arguments = parser.parse_args()
    print("| films | side | workers | bare decode, films/s | prepare, films/s | ratio | peak MB |")
    print("|---|---|---|---|---|---|---|")
    for films in arguments.films or [400]:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            write_films(root / "films", count=films, side_px=arguments.side)
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                bare, _ = pool.submit(measure, decode_bare, root).result()
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                full, peak = pool.submit(measure, prepare, root).result()
        print(
            f"| {films} | {arguments.side} | {os.cpu_count()} | {films / bare:.0f} | "
            f"{films / full:.0f} | {full / bare:.2f} | {peak:.0f} |"
        )


def write_films(folder: Path, *, count: int, side_px: int) -> None:
    """Draw films, enlarge them, and lay noise over them as a detector does."""
    source = PhantomSource(PhantomSettings(films_per_class=-(-count // 3), side_px=DRAWN_SIDE_PX))
    noise = np.random.default_rng(0).integers(-6, 7, (side_px, side_px), dtype=np.int16)
    for number, record in enumerate(source.scan().records[:count]):
        drawn = Image.fromarray(np.asarray(source.read(record.location)))
        large = np.asarray(drawn.resize((side_px, side_px), Image.Resampling.BICUBIC))
        film = np.clip(large + np.roll(noise, number), 0, 255).astype(np.uint8)
        place = folder / record.class_name
        place.mkdir(parents=True, exist_ok=True)
        kind, options = ("png", {"compress_level": 1}) if number % 2 else ("jpg", {"quality": 90})
        Image.fromarray(film).save(place / f"{record.image_id}.{kind}", **options)


def measure(work: Callable[[Path], None], root: Path) -> tuple[float, float]:
    """Time a piece of work; returns seconds, and the peak memory of this process in MB."""
    started = time.perf_counter()
    work(root)
    seconds = time.perf_counter() - started
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def decode_bare(root: Path) -> None:
    """Decode every film, and nothing else."""
    paths = sorted((root / "films").rglob("*.*"))
    with ProcessPoolExecutor(
        os.cpu_count(), mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        for _ in pool.map(decode_one, paths, chunksize=8):
            pass


def decode_one(path: Path) -> int:
    """Decode one film; returns its number of pixels."""
    with Image.open(path) as image:
        return int(np.asarray(image).size)


def prepare(root: Path) -> None:
    """Prepare the same films, copies and all."""
    source = ClassFoldersSource(root / "films")
    run_prepare(source, config=DataConfig(), out=root / "dataset")


if __name__ == "__main__":
    main()
