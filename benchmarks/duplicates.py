"""How the search for copies grows: 1,000 to 100,000 fingerprints, 2 % of them planted copies.

Run: python benchmarks/duplicates.py [--most 100000]
Fingerprints are sampled from a normal distribution fitted to those of drawn images (mean and
principal components); nothing is downloaded. Real images have more lookalikes: planted_copies.py.
"""

from __future__ import annotations

import argparse
import os
import resource
import time

import numpy as np
from numpy.typing import NDArray

from cxresnet.data.duplicates import compute_fingerprints, find_clusters
from cxresnet.data.duplicates.fingerprint import FINGERPRINT_SIDE_PX
from cxresnet.data.phantoms.plan import PhantomSettings
from cxresnet.data.sources.phantom import PhantomSource

COUNTS = (1_000, 3_000, 10_000, 30_000, 100_000)
COPY_SHARE = 0.02


def draw_drawn_fingerprints(images: int) -> NDArray[np.uint8]:
    settings = PhantomSettings(images_per_class=images // 3, max_images_per_patient=1, side_px=96)
    source = PhantomSource(settings)
    pixels = (source.read(record.location) for record in source.scan().records)
    return compute_fingerprints(image for image in pixels if not isinstance(image, bytes))


def sample_fingerprints(
    known: NDArray[np.uint8], count: int, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Sample strangers, then copies of the first of them: brighter, shifted by a pixel, noisy."""
    mean = known.mean(axis=0)
    _, scale, directions = np.linalg.svd(known - mean, full_matrices=False)
    scale = scale / np.sqrt(len(known))
    copies = int(COPY_SHARE * count)
    images = np.empty((count, known.shape[1]), dtype=np.uint8)
    for start in range(0, count - copies, 4096):
        size = min(4096, count - copies - start)
        sampled = mean + (generator.standard_normal((size, len(scale))) * scale) @ directions
        images[start : start + size] = np.clip(sampled, 0, 255)
    side = FINGERPRINT_SIDE_PX
    originals = images[:copies].reshape(-1, side, side).astype(np.float32)
    shifted = 0.5 * originals + 0.5 * np.roll(originals, 1, axis=2)
    noisy = shifted * 1.03 + generator.normal(0, 2, shifted.shape)
    images[count - copies :] = np.clip(noisy, 0, 255).reshape(copies, -1)
    return images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=COUNTS[-1])
    most = parser.parse_args().most
    generator = np.random.default_rng(0)
    known = draw_drawn_fingerprints(1500)
    print(f"{os.cpu_count()} cores, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}")
    print(
        "| images | seconds | processor s | µs an image | copies found | strangers joined | MiB |"
    )
    print("|---|---|---|---|---|---|---|")
    for count in (count for count in COUNTS if count <= most):
        images = sample_fingerprints(known, count, generator)
        copies = int(COPY_SHARE * count)
        start, worked = time.perf_counter(), time.process_time()
        clusters = find_clusters(images)
        seconds, work = time.perf_counter() - start, time.process_time() - worked
        found = float(np.mean(clusters[count - copies :] == clusters[:copies]))
        strangers = count - copies - len(np.unique(clusters[: count - copies]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(
            f"| {count:,} | {seconds:.1f} | {work:.1f} | {work / count * 1e6:.0f} | {found:.1%} "
            f"| {strangers / count:.2%} | {peak} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
