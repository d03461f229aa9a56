"""The pictures of `benchmarks/gate.py`: what is no frontal chest X-ray, and chest X-rays altered.

Every picture is the bytes of a file, so that it takes the same path as a user's. Pictures made from
the same photograph, file or X-ray lie in the same half.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from scipy import ndimage

from cxresnet.core.seeding import build_generator
from cxresnet.data.phantoms.plan import PhantomSettings
from cxresnet.data.sources.phantom import write_phantom_folder

Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """One picture with its kind.

    Attributes:
        kind: Row of the table.
        origin: What it was made from; decides its half.
        content: The bytes of the file.
    """

    kind: str
    origin: str
    content: bytes

    @property
    def is_development(self) -> bool:
        """Whether it may be used to choose limits; the others are the test."""
        return zlib.crc32(self.origin.encode()) % 2 == 0


def encode(picture: Image.Image | Levels) -> bytes:
    """Encode as PNG."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def list_junk() -> Iterator[Picture]:
    """List everything that is no X-ray of a chest."""
    yield from _list_photographs()
    yield from _list_dicom_files()
    yield from _list_mr_slices()
    for kind, draw, count in (
        ("text", _draw_text, 30),
        ("screenshot", _draw_screenshot, 20),
        ("noise", _draw_noise, 40),
        ("drawing", _draw_shapes, 30),
        ("drawn CT slice of a chest", _draw_ct, 20),
        ("drawn hand", _draw_hand, 10),
    ):
        for number in range(count):
            generator = build_generator(number, "gate", kind)
            yield Picture(kind, f"{kind} {number}", encode(draw(generator, number)))


def _find_package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(str(spec.origin)).parent if spec and spec.origin else None


def _list_photographs() -> Iterator[Picture]:
    """List the sample pictures of packages: in colour, in grey, and grey pieces of them."""
    folders = (("skimage", "data"), ("sklearn", "datasets/images"), ("matplotlib", "mpl-data"))
    for package, inside in folders:
        root = _find_package(package)
        found = [] if root is None else sorted((root / inside).rglob("*"))
        for path in found:
            if path.suffix not in {".png", ".jpg"} or "images/" in str(path) * (
                package == "matplotlib"
            ):
                continue
            with Image.open(path) as image:
                photo = image.convert("RGB")
            if min(photo.size) < 100:
                continue
            colour = np.ptp(np.asarray(photo), axis=2).max() > 0
            name = f"{package} {path.name}"
            if colour:
                yield Picture("photograph in colour", name, encode(photo))
            grey = photo.convert("L")
            width, height = photo.size
            pieces = {
                "photograph in grey": (0, 0, 1, 1),
                "piece of a photograph in grey": (0, 0, 0.6, 0.6),
                "another piece of a photograph in grey": (0.4, 0.4, 1, 1),
            }
            for kind, (left, top, right, bottom) in pieces.items():
                box = (left * width, top * height, right * width, bottom * height)
                size = (int(box[2] - box[0]), int(box[3] - box[1]))
                yield Picture(kind, name, encode(grey.resize(size, box=box)))


def _list_dicom_files() -> Iterator[Picture]:
    """List pydicom's test files: as they are, and their pixels without the header."""
    root = _find_package("pydicom")
    if root is None:
        return
    for path in sorted((root / "data/test_files").glob("*.dcm")):
        yield Picture("pydicom test file", path.name, path.read_bytes())
        try:
            pixels = pydicom.dcmread(path).pixel_array.astype(np.float64)
        except Exception:  # noqa: BLE001, S112  files without pixels, and broken ones
            continue
        while pixels.ndim > 2:
            pixels = pixels[..., 0] if pixels.shape[-1] == 3 else pixels[0]
        low, high = np.percentile(pixels, (1, 99))
        if high > low and min(pixels.shape) >= 32:
            grey = np.clip((pixels - low) / (high - low), 0, 1) * 255
            content = encode(grey.astype(np.uint8))
            yield Picture("its pixels without the header (CT, MR, US)", path.name, content)


def _list_mr_slices() -> Iterator[Picture]:
    """List slices of the brain template that nilearn brings, three directions."""
    root = _find_package("nilearn")
    if root is None:
        return
    path = root / "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
    raw = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(raw, "<i2", count=8, offset=40)[1:4]
    start = int(np.frombuffer(raw, "<f4", count=1, offset=108)[0])
    volume = np.frombuffer(raw, np.uint8, offset=start)[: int(np.prod(shape))]
    volume = volume.reshape(shape, order="F")
    for axis in range(3):
        for share in np.linspace(0.25, 0.75, 12):
            plane = np.rot90(np.take(volume, int(share * shape[axis]), axis=axis))
            picture = Image.fromarray(np.ascontiguousarray(plane)).resize((256, 256))
            yield Picture("MR slice of a brain", f"mr {axis} {share:.2f}", encode(picture))


def _draw_text(generator: np.random.Generator, number: int) -> Image.Image:
    dark = number % 3 == 0
    size = int(generator.integers(200, 500)), int(generator.integers(200, 500))
    page = Image.new("L", size, 0 if dark else 255)
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(int(generator.integers(8, 40)))
    words = ["findings", "none", "the", "lungs", "are", "clear", "heart", "size", "normal", "42"]
    top = 5
    while top < size[1]:
        line = " ".join(generator.choice(words, 8))
        pen.text((generator.integers(0, 20), top), line, fill=255 if dark else 0, font=font)
        top += int(font.size * generator.uniform(1.1, 2.5))
    return page


def _draw_screenshot(generator: np.random.Generator, number: int) -> Image.Image:
    page = Image.new("RGB" if number % 2 else "L", (480, 320), "white")
    pen = ImageDraw.Draw(page)
    for _ in range(int(generator.integers(4, 14))):
        left, top = int(generator.integers(0, 400)), int(generator.integers(0, 260))
        box = (left, top, left + generator.integers(40, 300), top + generator.integers(20, 150))
        fill = tuple(int(level) for level in generator.integers(0, 256, 3))
        pen.rectangle(box, fill=fill if number % 2 else fill[0], outline=0)
        pen.text((left + 5, top + 5), "Open  Save  Cancel", fill="black")
    return page


def _draw_noise(generator: np.random.Generator, number: int) -> Levels:
    white = generator.normal(size=(256, 256))
    blur = (0, 1, 4, 12, 30)[number % 5]
    smooth = ndimage.gaussian_filter(white, blur) if blur else white
    if number % 5 == 4 and number % 2:
        smooth = smooth + np.linspace(-3, 3, 256)[:, None] * smooth.std()
    low, high = smooth.min(), smooth.max()
    return ((smooth - low) / (high - low) * 255).astype(np.uint8)


def _draw_shapes(generator: np.random.Generator, number: int) -> Image.Image:
    page = Image.new("L", (256, 256), int(generator.integers(0, 256)))
    pen = ImageDraw.Draw(page)
    for _ in range(int(generator.integers(1, 12))):
        x, y = generator.integers(0, 256, 2), generator.integers(0, 256, 2)
        box = (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)
        shape = (pen.ellipse, pen.rectangle, pen.line)[int(generator.integers(0, 3))]
        shape(box, fill=int(generator.integers(0, 256)))
    return _blur(page, (0, 3, 8)[number % 3])


def _blur(page: Image.Image, width: float) -> Image.Image:
    return Image.fromarray(ndimage.gaussian_filter(np.asarray(page), width)) if width else page


def _draw_ct(generator: np.random.Generator, number: int) -> Image.Image:
    """Draw an axial slice: body, two lungs, heart, spine, vessels; smooth, with noise."""
    page = Image.new("L", (256, 256), 0)
    pen = ImageDraw.Draw(page)

    def ellipse(x: float, y: float, half_width: float, half_height: float, fill: int) -> None:
        moved = generator.normal(0, 3, 4)
        x, y, half_width, half_height = np.array([x, y, half_width, half_height]) + moved
        half_width, half_height = max(half_width, 2), max(half_height, 2)
        pen.ellipse((x - half_width, y - half_height, x + half_width, y + half_height), fill=fill)

    ellipse(128, 128, 115, 85, 150)
    ellipse(128, 128, 105, 75, 180)
    ellipse(78, 125, 42, 58, 25)
    ellipse(178, 125, 42, 58, 25)
    ellipse(140, 115, 32, 32, 200)
    ellipse(128, 180, 15, 15, 245)
    for _ in range(20):
        x, y = generator.integers(40, 216), generator.integers(80, 170)
        ellipse(float(x), float(y), 2, 2, 120)
    noise = generator.normal(0, 3 + number % 3 * 4, (256, 256))
    levels = ndimage.gaussian_filter(np.asarray(page, dtype=np.float64), 1.2) + noise
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def _draw_hand(generator: np.random.Generator, number: int) -> Image.Image:
    page = Image.new("L", (300, 380), 0)
    pen = ImageDraw.Draw(page)
    pen.rounded_rectangle((90, 180, 210, 340), 30, fill=90)
    for finger in range(5):
        x = 95 + 27 * finger
        top = 60 + abs(finger - 2) * 18 + int(generator.integers(0, 20))
        pen.rounded_rectangle((x - 10, top, x + 10, 220), 9, fill=90)
        for bone in range(4):
            start = top + 5 + bone * 45
            pen.rounded_rectangle((x - 5, start, x + 5, start + 38), 4, fill=210)
    picture = _blur(page.rotate(float(generator.normal(0, 8))), 1.5)
    noisy = np.asarray(picture) + generator.normal(0, 3 + number % 4, (380, 300))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


# Chest X-rays, as they are and altered.


def read_sources(folder: Path, *, a_source: int) -> Iterator[tuple[str, str, bytes]]:
    """Read images of every source; yields source, file, bytes."""
    table = pd.read_csv(folder / "multisource.csv", dtype=str, keep_default_na=False)
    for source, rows in table.groupby("source"):
        for file in rows.sample(min(a_source, len(rows)), random_state=0)["file"]:
            yield str(source), str(file), (folder / file).read_bytes()


def draw_phantoms(count: int) -> Iterator[tuple[str, str, bytes]]:
    """Draw phantoms, which the demo predicts; yields "phantom", file, bytes."""
    settings = PhantomSettings(images_per_class=-(-count // 3), seed=15)
    with tempfile.TemporaryDirectory() as temporary:
        folder = write_phantom_folder(settings, Path(temporary))
        for path in sorted(folder.glob("*/image-*")):
            if path.parent.name not in {"lungs", "lesions"}:
                yield "phantom", path.name, path.read_bytes()


def _take(left: float, top: float, right: float, bottom: float) -> Callable[..., Image.Image]:
    def crop(image: Image.Image) -> Image.Image:
        width, height = image.size
        return image.crop(
            (int(left * width), int(top * height), int(right * width), int(bottom * height))
        )

    return crop


def _shuffle(image: Image.Image) -> Image.Image:
    levels = np.asarray(image.resize((256, 256)))
    tiles = levels.reshape(8, 32, 8, 32).transpose(0, 2, 1, 3).reshape(64, 32, 32)
    tiles = tiles[build_generator(0, "gate", "shuffle").permutation(64)]
    return Image.fromarray(tiles.reshape(8, 8, 32, 32).transpose(0, 2, 1, 3).reshape(256, 256))


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "rotated by 90° clockwise": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "rotated by 90° anticlockwise": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "rotated by 180°": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "inverted": ImageOps.invert,
    "inverted and rotated by 180°": lambda image: ImageOps.invert(image.rotate(180)),
    "left half": _take(0, 0, 0.5, 1),
    "right half": _take(0.5, 0, 1, 1),
    "upper half": _take(0, 0, 1, 0.5),
    "lower half": _take(0, 0.5, 1, 1),
    "cut into 64 squares and shuffled": _shuffle,
}
"""From an upright chest X-ray in grey to what must be refused, or mended."""


def alter(content: bytes, kind: str) -> bytes:
    """Alter a chest X-ray."""
    with Image.open(io.BytesIO(content)) as image:
        return encode(ALTERATIONS[kind](image.convert("L")))
