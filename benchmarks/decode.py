"""How much does our one door for bytes cost, against a bare decode loop?

    .venv/bin/python benchmarks/decode.py [--images 60] [--side 1024] [--workers 2]

The bare loop is what one would write by hand: Pillow's `convert("L")`, or pydicom's `pixel_array`,
to a NumPy array, with no check, no EXIF, no 16 bits and no window. Both loops take turns on the
same bytes in memory, and the fastest of three turns counts. Images are drawn noise on a slope:
they compress worse than real images, so decoders take longer than on these.
"""

from __future__ import annotations

import argparse
import functools
import io
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import pixel_array

from cxresnet.data.decode.decoder import decode_image

TURNS = 3


def draw_image(side: int, seed: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:side, :side] / side
    image = 128 + 80 * np.sin(5 * x + seed) * np.cos(4 * y)
    noise = np.random.default_rng(seed).normal(0, 3, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def encode(image: NDArray[np.uint8], kind: str) -> bytes:
    stream = io.BytesIO()
    picture = Image.fromarray(image)
    if kind == "JPEG":
        picture.save(stream, "JPEG", quality=90)
    elif kind == "JPEG, colour":
        picture.convert("RGB").save(stream, "JPEG", quality=90)
    elif kind == "PNG":
        picture.save(stream, "PNG")
    elif kind == "PNG, 16 bits":
        Image.fromarray(image.astype(np.uint16) * 257).save(stream, "PNG")
    else:
        make_dicom(image).save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def make_dicom(image: NDArray[np.uint8]) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "1.2.3"
    dataset.Modality, dataset.BodyPartExamined = "DX", "CHEST"
    dataset.Rows, dataset.Columns = image.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = (image.astype(np.uint16) * 16).tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def decode_bare(content: bytes) -> int:
    if content[128:132] == b"DICM":
        return pixel_array(pydicom.dcmread(io.BytesIO(content))).size
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("L")).size


def decode_ours(content: bytes) -> int:
    return decode_image(content).pixels.size


def measure(decode: Callable[[bytes], int], contents: Sequence[bytes], pool: object) -> float:
    """Measure seconds for all images, in this process or on a pool of workers."""
    start = time.perf_counter()
    if isinstance(pool, ProcessPoolExecutor):
        list(pool.map(decode, contents, chunksize=4))
    else:
        list(map(decode, contents))
    return time.perf_counter() - start


def compare(kind: str, *, images: int, side: int, pool: object) -> None:
    encoded = [encode(draw_image(side, seed), kind) for seed in range(4)]
    contents = [encoded[index % len(encoded)] for index in range(images)]
    loops = [functools.partial(measure, decode, contents, pool) for decode in LOOPS]
    for loop in loops:
        loop()
    turns = [[loop() for loop in loops] for _ in range(TURNS)]
    bare, ours = (images / min(seconds) for seconds in zip(*turns, strict=True))
    size_kb = len(contents[0]) / 1000
    print(f"{kind:<14}{size_kb:>8,.0f} kB{bare:>12,.0f}{ours:>12,.0f}{bare / ours:>9.2f}")


LOOPS = (decode_bare, decode_ours)
KINDS = ("JPEG", "JPEG, colour", "PNG", "PNG, 16 bits", "DICOM")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    print(
        f"{options.images} images of {options.side} px, {options.workers} workers, images a second"
    )
    print(f"{'':<14}{'size':>11}{'bare':>12}{'ours':>12}{'ratio':>9}")
    pool = ProcessPoolExecutor(options.workers) if options.workers > 1 else None
    try:
        for kind in KINDS:
            compare(kind, images=options.images, side=options.side, pool=pool)
    finally:
        if pool is not None:
            pool.shutdown()


if __name__ == "__main__":
    main()
