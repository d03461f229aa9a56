"""How fast is `prepare` against a bare decode loop, and does its memory stay bounded?

Command:  python benchmarks/prepare.py --images 2000 --side 1024
          python benchmarks/prepare.py --images 2000 --images 20000 --side 128 --bare none
Time:     about 3 minutes for the first, of which one goes into drawing the images

The images are phantoms, each drawn for itself, enlarged, overlaid with noise and written as PNG or
JPEG (quality 90), in turns (`--kind` takes one of them): drawings, not patients. Two bare loops, on
as many processes as `prepare` has, each read every file, and then
  pillow   decode it with Pillow to an array of bytes: the least that anybody must do;
  road     decode it and bring it to a prepared image in memory, as `prepare` does with each image.
`prepare` also takes fingerprints and hashes, finds copies, splits, and writes and hashes a dataset.
The command line adds the data report to that. Ratios are given twice: of time on the clock, and of
processor time (all processes, their start included), which a busy machine changes less. Peak memory
is the largest resident set of the main process, and of its largest worker. Prints a table in
Markdown.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cxresnet.core.config import DataConfig
from cxresnet.data.decode.decoder import decode_image
from cxresnet.data.phantoms.plan import PhantomSettings
from cxresnet.data.prepare.prepare import run_prepare
from cxresnet.data.prepare.preprocessing import build_preprocessing, prepare_image
from cxresnet.data.sources.class_folders import ClassFoldersSource
from cxresnet.data.sources.phantom import PhantomSource

DRAWN_SIDE_PX = 224
KINDS = {"png": {"compress_level": 1}, "jpg": {"quality": 90}}


@dataclass(frozen=True)
class Cost:
    """Time of a piece of work, and the peak memory of the main process and the largest worker."""

    clock_s: float
    processor_s: float
    main_mb: float
    worker_mb: float


def main() -> None:
    """Measure each number of images in a process of its own, so that its peak memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, action="append")
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--kind", choices=list(KINDS), action="append")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--bare", choices=["both", "none"], default="both")
    arguments = parser.parse_args()
    print(
        "| images | side | kinds | workers | Pillow, images/s | decode + preprocess, images/s "
        "| prepare, images/s | prepare / Pillow: clock, processor "
        "| prepare / (decode + preprocess): clock, processor "
        "| peak MB, main | peak MB, worker |"
    )
    print("|---" * 11 + "|")
    for images in arguments.images or [400]:
        print_row(images, arguments, kinds=arguments.kind or list(KINDS))


def print_row(images: int, arguments: argparse.Namespace, *, kinds: Sequence[str]) -> None:
    """Draw images, measure both loops and `prepare`, and print one row."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_images(root / "images", count=images, side_px=arguments.side, kinds=kinds)
        loops = (decode_with_pillow, decode_on_the_road) if arguments.bare == "both" else ()
        works = [functools.partial(decode_all, decode, arguments.workers) for decode in loops]
        bare = [measure_apart(work, root) for work in works]
        full = measure_apart(functools.partial(prepare, arguments.workers), root)
    speeds = [f"{images / cost.clock_s:.0f}" for cost in bare] or ["–", "–"]
    ratios = [
        f"{full.clock_s / cost.clock_s:.2f}, {full.processor_s / cost.processor_s:.2f}"
        for cost in bare
    ] or ["–", "–"]
    cells = [
        f"{images:,}", str(arguments.side), "+".join(kinds), str(arguments.workers), *speeds,
        f"{images / full.clock_s:.0f}", *ratios, f"{full.main_mb:.0f}", f"{full.worker_mb:.0f}",
    ]  # fmt: skip
    print(f"| {' | '.join(cells)} |", flush=True)


def write_images(folder: Path, *, count: int, side_px: int, kinds: Sequence[str]) -> None:
    """Draw images, enlarge them, and lay noise over them as a detector does."""
    drawn_side_px = min(DRAWN_SIDE_PX, side_px)
    source = PhantomSource(PhantomSettings(images_per_class=-(-count // 3), side_px=drawn_side_px))
    noise = np.random.default_rng(0).integers(-6, 7, (side_px, side_px), dtype=np.int16)
    for number, record in enumerate(source.scan().records[:count]):
        drawn = Image.fromarray(np.asarray(source.read(record.location)))
        large = np.asarray(drawn.resize((side_px, side_px), Image.Resampling.BICUBIC))
        image = np.clip(large + np.roll(noise, number), 0, 255).astype(np.uint8)
        place = folder / record.class_name
        place.mkdir(parents=True, exist_ok=True)
        kind = kinds[number % len(kinds)]
        Image.fromarray(image).save(place / f"{record.image_id}.{kind}", **KINDS[kind])


def measure_apart(work: Callable[[Path], None], root: Path) -> Cost:
    """Measure a piece of work in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, work, root).result()


def measure(work: Callable[[Path], None], root: Path) -> Cost:
    """Measure a piece of work done here, by this process and its children."""
    started = time.perf_counter()
    work(root)
    seconds = time.perf_counter() - started
    own, children = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Cost(
        clock_s=seconds,
        processor_s=sum(use.ru_utime + use.ru_stime for use in (own, children)),
        main_mb=own.ru_maxrss / 1024,
        worker_mb=children.ru_maxrss / 1024,
    )


def decode_all(decode: Callable[[Path], int], workers: int, root: Path) -> None:
    """Decode every image, and keep nothing."""
    paths = sorted((root / "images").rglob("*.*"))
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for _ in pool.map(decode, paths, chunksize=8):
            pass


def decode_with_pillow(path: Path) -> int:
    """Decode one image; returns its number of pixels."""
    with Image.open(path) as image:
        return int(np.asarray(image).size)


def decode_on_the_road(path: Path) -> int:
    """Decode and prepare one image; returns its number of pixels."""
    road = build_preprocessing(DataConfig())
    image = decode_image(path.read_bytes(), min_side_px=road.min_side_px)
    return int(prepare_image(image.pixels, road).size)


def prepare(workers: int, root: Path) -> None:
    """Prepare the same images, copies and all."""
    source = ClassFoldersSource(root / "images")
    run_prepare(source, config=DataConfig(workers=workers), out=root / "dataset")


if __name__ == "__main__":
    main()
