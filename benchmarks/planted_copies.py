"""Are copies found, and strangers left apart? 500 planted copies of real images.

Run: python benchmarks/planted_copies.py [--images ../shared/data] [--copies 500]
Each copy goes through one of the changes below. Prints the share of copies in their original's
cluster by kind of change, the same of 200 copies of another tone in few greys (a search of their
own, and not in the total), the pairs found among the images themselves (same patient or not), and
the images that `kaggle317` shares with `darkcovid` under other names.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from cxresnet.data.duplicates import compute_fingerprint, find_clusters, find_near_duplicates

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, np.random.Generator], Pixels]


def encode(image: Pixels, quality: int) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def resize(image: Pixels, generator: np.random.Generator) -> Pixels:
    scale = generator.uniform(0.4, 1.6)
    size = [round(scale * length) for length in image.shape[::-1]]
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def pad(image: Pixels, generator: np.random.Generator) -> Pixels:
    grey = int(generator.choice([0, 255]))
    width = [(int(generator.uniform(0, 0.15) * length),) * 2 for length in image.shape]
    return encode(np.pad(image, width, constant_values=grey), 90)


def brighten(image: Pixels, generator: np.random.Generator) -> Pixels:
    contrast, brightness = generator.uniform(0.9, 1.1), generator.uniform(-25.5, 25.5)
    return np.clip((image - 127.5) * contrast + 127.5 + brightness, 0, 255).astype(np.uint8)


def crop(image: Pixels, generator: np.random.Generator) -> Pixels:
    height, width = image.shape
    top, bottom = (generator.uniform(0, 0.03, 2) * height).astype(int)
    left, right = (generator.uniform(0, 0.03, 2) * width).astype(int)
    return image[top : height - bottom, left : width - right]


def combine(image: Pixels, generator: np.random.Generator) -> Pixels:
    return encode(resize(brighten(crop(image, generator), generator), generator), 60)


CHANGES: dict[str, Change] = {
    "JPEG quality 40 to 90": lambda image, draw: encode(image, int(draw.integers(40, 91))),
    "resized to 40-160 %": resize,
    "padded by up to 15 % a side": pad,
    "brightness and contrast ±10 %": brighten,
    "cropped by up to 3 % a side": crop,
    "mirrored, JPEG 70": lambda image, _draw: encode(image[:, ::-1], 70),
    "crop, brightness, size, JPEG 60": combine,
}


def retone(image: Pixels, generator: np.random.Generator) -> Pixels:
    gamma, greys = generator.uniform(0.4, 2.5), int(generator.integers(8, 33))
    steps = np.floor((image / 255) ** gamma * greys).clip(0, greys - 1)
    return encode((steps * (255 / (greys - 1))).astype(np.uint8), 80)


RETONED: dict[str, Change] = {"tone with gamma 0.4 to 2.5, 8 to 32 greys, JPEG 80": retone}


def fingerprint(image: Pixels) -> NDArray[np.uint8]:
    return compute_fingerprint(image / np.float32(255))


def measure_planted(
    images: list[Pixels], known: NDArray[np.uint8], copies: int, kinds_of_change: dict[str, Change]
) -> None:
    generator = np.random.default_rng(0)
    originals = generator.choice(len(images), copies, replace=copies > len(images))
    kinds = np.arange(copies) % len(kinds_of_change)
    changes = list(kinds_of_change.values())
    planted = np.stack(
        [
            fingerprint(changes[kind](images[original], generator))
            for kind, original in zip(kinds, originals, strict=True)
        ]
    )
    clusters = find_clusters(np.concatenate([known, planted]))
    found = clusters[len(images) :] == clusters[originals]
    print("| change | copies | in their original's cluster |\n|---|---|---|")
    for number, name in enumerate(kinds_of_change):
        print(f"| {name} | {(kinds == number).sum()} | {found[kinds == number].mean():.1%} |")
    print(f"| all | {copies} | {found.mean():.1%} |")


def list_real_copies(table: pd.DataFrame, known: NDArray[np.uint8]) -> None:
    copies = find_near_duplicates(known)
    left, right = (table.iloc[copies.pairs[:, side]].reset_index(drop=True) for side in (0, 1))
    one_patient = left["patient_id"] == right["patient_id"]
    across = left["set"] != right["set"]
    print(f"\n{len(copies.pairs)} pairs among {len(table)} images themselves:")
    print(f"{int((one_patient & ~across).sum())} of one patient in one set,")
    print(f"{int((~one_patient & ~across).sum())} of two patients in one set,")
    print(f"{int(across.sum())} across sets.\n")
    order = np.argsort(-copies.agreement, kind="stable")
    for row in order:
        flag = "mirrored" if copies.mirrored[row] else ""
        print(f"{copies.agreement[row]:.3f} {left['file'][row]}  {right['file'][row]} {flag}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, default=Path("../shared/data"))
    parser.add_argument("--copies", type=int, default=500)
    arguments = parser.parse_args()
    table = pd.read_csv(arguments.images / "manifest.csv", dtype=str).fillna("")
    images = [
        np.asarray(Image.open(arguments.images / name).convert("L")) for name in table["file"]
    ]
    known = np.stack([fingerprint(image) for image in images])
    measure_planted(images, known, arguments.copies, CHANGES)
    measure_planted(images, known, 200, RETONED)
    list_real_copies(table, known)


if __name__ == "__main__":
    main()
