"""Damaged images of every format: an image or an `ImageError`, nothing else."""

from __future__ import annotations

import io
import random
import resource
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from faults.context import Context, Outcome, Part
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

_MEMORY_BYTES = 4 * 2**30
_EXTREME = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def draw_levels(height: int = 48, width: int = 40) -> NDArray[np.uint8]:
    """Draw a smooth picture."""
    y, x = np.mgrid[:height, :width] / height
    levels = np.sin(5 * x + 1) * np.cos(4 * y) + 0.7 * x
    return np.uint8(255 * (levels - levels.min()) / np.ptp(levels))


def make_dicom(levels: NDArray[np.generic], syntax: str, frames: bytes | None = None) -> Dataset:
    """Make a chest radiograph; its tags are filled by those who need them."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.Modality, dataset.BodyPartExamined = "DX", "CHEST"
    dataset.Rows, dataset.Columns = levels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = levels.dtype.itemsize * 8
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    dataset.PixelData = levels.tobytes() if frames is None else encapsulate([frames])
    dataset["PixelData"].VR = "OW" if frames is None else "OB"
    dataset["PixelData"].is_undefined_length = frames is not None
    return dataset


def save_dicom(dataset: Dataset) -> bytes:
    """Write a dataset to bytes."""
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def save_picture(kind: str, mode: str = "L", **options: object) -> bytes:
    """Write the picture in a format of Pillow."""
    stream = io.BytesIO()
    image = Image.fromarray(draw_levels())
    image = Image.fromarray(draw_levels().astype(np.uint16) * 257) if mode == "I;16" else image
    image = image if mode == "I;16" else image.convert(mode)
    image.save(stream, format=kind, **options)
    return stream.getvalue()


def build_seeds() -> dict[str, bytes]:
    """Build one or more whole files of every format, to be damaged."""
    levels = draw_levels()
    run_length = make_dicom(levels.astype(np.uint16), uid.ExplicitVRLittleEndian)
    run_length.compress(uid.RLELossless, generate_instance_uid=False)
    jpeg = save_picture("JPEG", quality=90)
    pictures = {"png": save_picture("PNG"), "jpg": jpeg}
    return pictures | {
        "rgba.png": save_picture("PNG", "RGBA"),
        "palette.png": save_picture("PNG", "P"),
        "16.png": save_picture("PNG", "I;16"),
        "progressive.jpg": save_picture("JPEG", "RGB", progressive=True),
        "bmp": save_picture("BMP"),
        "tiff": save_picture("TIFF"),
        "lzw.tiff": save_picture("TIFF", "RGB", compression="tiff_lzw"),
        "deflate.tiff": save_picture("TIFF", "I;16", compression="tiff_adobe_deflate"),
        "webp": save_picture("WEBP", "RGB"),
        "dcm": save_dicom(make_dicom(levels, uid.ExplicitVRLittleEndian)),
        "implicit.dcm": save_dicom(make_dicom(levels, uid.ImplicitVRLittleEndian)),
        "deflated.dcm": save_dicom(make_dicom(levels, uid.DeflatedExplicitVRLittleEndian)),
        "rle.dcm": save_dicom(run_length),
        "jpeg.dcm": save_dicom(make_dicom(levels, uid.JPEGBaseline8Bit, jpeg)),
        "zip": pack_zip(pictures),
        "tar": pack_tar(pictures),
        "npz": pack_npz(levels),
    }


def pack_zip(pictures: dict[str, bytes]) -> bytes:
    """Pack pictures into class folders of a zip file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for label in ("normal", "pneumonia"):
            for name, content in pictures.items():
                archive.writestr(f"set/{label}/image.{name}", content)
    return stream.getvalue()


def pack_tar(pictures: dict[str, bytes]) -> bytes:
    """Pack pictures into class folders of a tar file."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for label in ("normal", "pneumonia"):
            for name, content in pictures.items():
                info = tarfile.TarInfo(f"set/{label}/image.{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def pack_npz(levels: NDArray[np.uint8]) -> bytes:
    """Pack images as MedMNIST does."""
    stream = io.BytesIO()
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = np.stack([levels[:28, :28]] * 4)
        arrays[f"{split}_labels"] = np.array([[0], [1], [0], [1]], dtype=np.uint8)
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def flip_bits(content: bytearray, dice: random.Random) -> None:
    """Flip one to eight bits anywhere."""
    for _ in range(dice.randint(1, 8)):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)


def set_extreme(content: bytearray, dice: random.Random) -> None:
    """Write a number that breaks arithmetic, mostly into the header."""
    size = dice.choice("BHI")
    place = dice.randrange(dice.choice([min(400, len(content)), len(content)]))
    number = dice.choice(_EXTREME) & (256 ** struct.calcsize(size) - 1)
    packed = struct.pack(dice.choice("<>") + size, number)
    content[place : place + len(packed)] = packed


def truncate(content: bytearray, dice: random.Random) -> None:
    """Leave out the end."""
    del content[dice.randrange(len(content)) :]


def remove(content: bytearray, dice: random.Random) -> None:
    """Leave out a piece."""
    place = dice.randrange(len(content))
    del content[place : place + dice.randint(1, 64)]


def insert(content: bytearray, dice: random.Random) -> None:
    """Put in random bytes."""
    place = dice.randrange(len(content))
    content[place:place] = dice.randbytes(dice.randint(1, 64))


def repeat(content: bytearray, dice: random.Random) -> None:
    """Write a piece a second time, somewhere else."""
    start, place = dice.randrange(len(content)), dice.randrange(len(content))
    content[place:place] = content[start : start + dice.randint(1, 256)]


_CHANGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flip_bits,
    flip_bits,
    set_extreme,
    set_extreme,
    truncate,
    remove,
    insert,
    repeat,
)


def damage(content: bytes, dice: random.Random) -> bytes:
    """Damage a file in one to three ways."""
    changed = bytearray(content)
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        if changed:
            dice.choice(_CHANGES)(changed, dice)
    return bytes(changed)


def prepare(shared: Path) -> None:
    """Write the whole files."""
    for name, content in build_seeds().items():
        (shared / f"seed.{name}").write_bytes(content)


def check(context: Context, number: int) -> Outcome:
    """Damage one file by number, and read it."""
    seeds = sorted(context.shared.glob("seed.*"))
    chosen = seeds[number % len(seeds)]
    content = damage(chosen.read_bytes(), context.random("images", number))
    kind = chosen.name.rpartition(".")[2]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    packed = kind in {"zip", "tar", "npz"}
    outcome = check_archive(context, content, kind) if packed else check_one(content)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if grown > 2**19 and not outcome.fault:
        return Outcome("fault", f"{chosen.name}: {grown // 1024} MiB of memory for one image")
    return Outcome(outcome.word, outcome.fault and f"{chosen.name}: {outcome.fault}")


def check_one(content: bytes) -> Outcome:
    """Decode one image."""
    from cxresnet.core.errors import ImageError
    from cxresnet.data.decode.decoder import decode_image

    try:
        return check_pixels(decode_image(content).pixels)
    except ImageError as error:
        return Outcome(error.code)
    except Exception as error:  # noqa: BLE001  this is what must not come
        return Outcome("fault", f"{type(error).__name__}: {error}"[:300])


def check_pixels(pixels: NDArray[np.generic]) -> Outcome:
    """Check that an image is one."""
    if pixels.ndim != 2 or not np.isfinite(pixels).all():
        return Outcome("fault", f"pixels of shape {pixels.shape}, not all finite")
    highest = 1 if pixels.dtype.kind == "f" else 255
    if pixels.min() < 0 or pixels.max() > highest:
        return Outcome("fault", f"grey levels from {pixels.min()} to {pixels.max()}")
    return Outcome("image")


def check_archive(context: Context, content: bytes, kind: str) -> Outcome:
    """List an archive, and read what it lists."""
    from cxresnet.core.errors import CXResnetError, ImageError
    from cxresnet.data.sources.open import open_source

    path = context.scratch / f"set.{kind}"
    path.write_bytes(content)
    word = "listed"
    try:
        source = open_source(str(path))
        for record in source.scan().records:
            try:
                read = source.read(record.location)
            except ImageError:
                continue
            outcome = check_one(read) if isinstance(read, bytes) else check_pixels(read)
            if outcome.fault:
                return outcome
    except CXResnetError as error:
        word = type(error).__name__
    except Exception as error:  # noqa: BLE001  this is what must not come
        return Outcome("fault", f"{type(error).__name__}: {error}"[:300])
    return Outcome(word)


PART = Part(
    name="images",
    promise="A damaged image or archive gives an image or one reason: no crash, hang or NaN.",
    cases=100_000,
    short=200,
    limit_seconds=400,
    prepare=prepare,
    check=check,
)
