"""Does a prepared dataset train that is larger than the memory it may use?

Command:  python benchmarks/larger_than_memory.py --cache-mb 4096 --limit-mb 512
Time:     about a minute

Makes a cache of images of 256 px (a sparse file, so it takes no space), opens it as training opens
`images.npy`, and goes through one epoch: every image is drawn, in the shuffled order of training,
and each 100th batch is learned from (forward, backward, step of `nano`). After the first step the
system is told to refuse this process more than so much further private memory (RLIMIT_DATA): where
images piled up, it would end in a MemoryError. Images that the system keeps of the file for speed
are its own, and given back when somebody needs the space. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from cxresnet.core.config import ModelConfig
from cxresnet.model.presets import build_model
from cxresnet.train.loaders import EpochSampler, build_loader

SIDE_PX = 256
BATCH_IMAGES = 16
LEARN_EVERY = 100
MIB = 2**20


@dataclass(frozen=True)
class LabelledImages:
    """A cache on the disk, and labels."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def main() -> None:
    """Make the cache, set the limit, go through it, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache-mb", type=int, default=4096)
    parser.add_argument("--limit-mb", type=int, default=512)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images = make_cache(Path(folder) / "images.npy", size_mb=arguments.cache_mb)
        started = time.perf_counter()
        before, most = go_through(images, limit_mb=arguments.limit_mb)
        seconds = time.perf_counter() - started
    print("| cache MB | images | private MB before | most private MB | allowed MB more | seconds |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {arguments.cache_mb} | {len(images.labels):,} | {before} | {most} | "
        f"{arguments.limit_mb} | {seconds:.0f} |"
    )


def make_cache(path: Path, *, size_mb: int) -> LabelledImages:
    """Make a cache as `prepare` writes it, all black, without taking the space."""
    count = size_mb * MIB // SIDE_PX**2
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, SIDE_PX, SIDE_PX)}
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        stream.truncate(stream.tell() + count * SIDE_PX**2)
    images = np.load(path, mmap_mode="r", allow_pickle=False)
    return LabelledImages(images, np.arange(count) % 3)


def go_through(images: LabelledImages, *, limit_mb: int) -> tuple[int, int]:
    """Go through one epoch; returns private MB after the first step, and the most there was."""
    network = build_model(ModelConfig(preset="nano"), class_count=3).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    sampler = EpochSampler(len(images.labels), batch_size=BATCH_IMAGES, seed=0)
    before = most = 0
    for number, batch in enumerate(build_loader(images, sampler=sampler)):
        if number % LEARN_EVERY == 0:
            optimizer.zero_grad()
            logits = network(batch.images.float() / 255 - 0.5)
            functional.cross_entropy(logits, batch.labels).backward()
            optimizer.step()
        if number == 0:
            before = read_private_mb("RssAnon")
            limit = (read_private_mb("VmData") + limit_mb) * MIB
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        most = max(most, read_private_mb("RssAnon"))
    return before, most


def read_private_mb(name: str) -> int:
    """Read what the system counts as this process's own memory."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) // 1024


if __name__ == "__main__":
    main()
