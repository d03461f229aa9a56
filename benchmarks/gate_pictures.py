"""The pictures of `benchmarks/gate.py`: what is no frontal chest X-ray, and chest X-rays altered.

Every picture is the bytes of a file, so that it takes the same path as a user's. Pictures made from
the same photograph, file or X-ray lie in the same half.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from scipy import ndimage

from cxresnet.core.seeding import build_generator
from cxresnet.data.phantoms.plan import PhantomSettings
from cxresnet.data.sources.phantom import write_phantom_folder

Levels = NDArray[np.uint8]

_SPLIT = "gate 2026-11-28"
"""Decides the halves for `--fit`; the shipped weights know another split and fewer images."""


@dataclass(frozen=True)
class Picture:
    """One picture with its kind.

    Attributes:
        kind: Row of the table.
        origin: What it was made from; decides its half.
        content: The bytes of the file.
        is_new: Whether it comes from a package that was unknown when the shipped gate was made.
    """

    kind: str
    origin: str
    content: bytes
    is_new: bool = False

    @property
    def is_development(self) -> bool:
        """Whether `--fit` may use it; the others are the test."""
        return hashlib.sha256(f"{_SPLIT}: {self.origin}".encode()).digest()[0] % 2 == 0


def encode(picture: Image.Image | Levels) -> bytes:
    """Encode as BMP, which is quick."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    stream = io.BytesIO()
    image.save(stream, "BMP")
    return stream.getvalue()


def draw_others() -> Iterator[Picture]:
    """Draw pictures of other things; every one differs from all others."""
    for kind, draw, count in (
        ("text", _draw_text, 60),
        ("text, scanned", _draw_scanned_text, 60),
        ("screenshot", _draw_screenshot, 60),
        ("noise", _draw_noise, 60),
        ("drawing", _draw_shapes, 60),
        ("plot", _draw_plot, 40),
        ("drawn CT slice of a chest", _draw_ct, 60),
        ("drawn hand", _draw_hand, 40),
    ):
        for number in range(count):
            generator = build_generator(number, "gate", kind)
            yield Picture(kind, f"{kind} {number}", encode(draw(generator, number)))


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


def _draw_scanned_text(generator: np.random.Generator, number: int) -> Image.Image:
    """Draw text as a camera or a scanner sees it: uneven light, blur, noise."""
    page = np.asarray(_draw_text(generator, number), dtype=np.float64)
    light = np.linspace(generator.uniform(0.4, 1), 1, page.shape[1])[None, :]
    levels = ndimage.gaussian_filter(page, generator.uniform(0.5, 3)) * 0.8 + 20
    levels = levels * light + generator.normal(0, generator.uniform(1, 12), page.shape)
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def _draw_plot(generator: np.random.Generator, number: int) -> Image.Image:
    """Draw a heat map, a histogram or curves with Matplotlib, in grey."""
    figure = Figure(figsize=(3, 3), dpi=80)
    axes = figure.add_subplot()
    if number % 3 == 0:
        smooth = ndimage.gaussian_filter(generator.normal(size=(40, 40)), 1 + number % 5)
        figure.colorbar(axes.imshow(smooth, cmap="gray"))
    elif number % 3 == 1:
        axes.hist2d(*generator.normal(size=(2, 2000)), bins=30, cmap="gray")
    else:
        axes.plot(generator.normal(size=(100, 5)).cumsum(axis=0))
    axes.set_title(f"score {number}")
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    with Image.open(stream) as image:
        return image.convert("L")


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
    """Read images of every source; yields source, patient (or file, if not known), bytes."""
    for name in ("multisource.csv", "unknown-disease.csv"):
        table = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
        for source, rows in table.groupby("source"):
            is_known = len(set(rows["patient_id"])) > 1
            for row in rows.sample(min(a_source, len(rows)), random_state=28).itertuples():
                origin = row.patient_id if is_known and row.patient_id else row.file
                yield str(source), str(origin), (folder / str(row.file)).read_bytes()


def draw_phantoms(count: int) -> Iterator[tuple[str, str, bytes]]:
    """Draw phantoms, which the demo predicts; yields "phantom", file, bytes."""
    settings = PhantomSettings(images_per_class=-(-count // 3), seed=15)
    with tempfile.TemporaryDirectory() as temporary:
        folder = write_phantom_folder(settings, Path(temporary))
        for path in sorted(folder.glob("*/image-*")):
            if path.parent.name not in {"lungs", "lesions"}:
                yield "phantom", path.name, path.read_bytes()


def _take(
    left: float, top: float, right: float, bottom: float, *, pressed: bool = False
) -> Callable[[Image.Image], Image.Image]:
    def crop(image: Image.Image) -> Image.Image:
        width, height = image.size
        part = image.crop(
            (int(left * width), int(top * height), int(right * width), int(bottom * height))
        )
        return part.resize((256, 256)) if pressed else part

    return crop


def _shuffle(image: Image.Image) -> Image.Image:
    levels = np.asarray(image.resize((256, 256)))
    tiles = levels.reshape(8, 32, 8, 32).transpose(0, 2, 1, 3).reshape(64, 32, 32)
    tiles = tiles[build_generator(0, "gate", "shuffle").permutation(64)]
    return Image.fromarray(tiles.reshape(8, 8, 32, 32).transpose(0, 2, 1, 3).reshape(256, 256))


TURNS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "rotated by 90° clockwise": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "rotated by 90° anticlockwise": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "rotated by 180°": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "inverted": ImageOps.invert,
    "inverted and rotated by 180°": lambda image: ImageOps.invert(image.rotate(180)),
}
"""What `--fix` can undo."""

CUTS = {
    "left half": (0, 0, 0.5, 1),
    "right half": (0.5, 0, 1, 1),
    "upper half": (0, 0, 1, 0.5),
    "lower half": (0, 0.5, 1, 1),
}
"""Left, top, right and bottom of halves, as shares of the sides."""

HALVES: dict[str, Callable[[Image.Image], Image.Image]] = {
    f"{name}{how}": _take(*box, pressed=bool(how))
    for how in ("", ", pressed to a square")
    for name, box in CUTS.items()
}
"""Halves as they are, which their shape tells, and halves that it does not."""

ALTERATIONS = TURNS | HALVES | {"cut into 64 squares and shuffled": _shuffle}
"""From an upright chest X-ray in grey to what must be refused, or mended."""


def alter(content: bytes, change: Callable[[Image.Image], Image.Image]) -> bytes:
    """Alter a chest X-ray."""
    with Image.open(io.BytesIO(content)) as image:
        return encode(change(image.convert("L")))
