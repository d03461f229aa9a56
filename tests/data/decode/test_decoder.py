"""Decoding: one image is one array, however it is stored, and no bytes bring the door down."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cxresnet.core.errors import ImageError
from cxresnet.data.decode.decoder import DecodedImage, decode_image, decode_mask
from cxresnet.data.decode.limits import MAX_PIXELS

ONE_GREY_LEVEL = 1 / 255 + 1e-6


def draw_image(height: int = 96, width: int = 120) -> NDArray[np.uint8]:
    """A smooth image without symmetry, from 0 to 255."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    image = np.sin(5 * x + 1) * np.cos(4 * y) + 0.7 * x - 0.3 * y
    return np.round((image - image.min()) / np.ptp(image) * 255).astype(np.uint8)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pack_tiff(
    levels: NDArray[np.generic], *, bits: int, sample_format: int = 1, photometric: int = 1
) -> bytes:
    """Write an uncompressed TIFF in the byte order of the array, by hand."""
    order = ">" if levels.dtype.byteorder == ">" else "<"
    height, width = levels.shape
    data = levels.tobytes()
    fields = [
        (256, width), (257, height), (258, bits), (259, 1), (262, photometric),
        (273, 8 + 2 + 10 * 12 + 4), (277, 1), (278, height), (279, len(data)), (339, sample_format),
    ]  # fmt: skip
    head = (b"MM" if order == ">" else b"II") + struct.pack(order + "HI", 42, 8)
    directory = struct.pack(order + "H", len(fields))
    for tag, value in fields:
        directory += struct.pack(order + "HHII", tag, 4, 1, value)
    return head + directory + struct.pack(order + "I", 0) + data


def pack_png_header(width: int, height: int, *, bits: int = 8) -> bytes:
    """Write a PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def encode_losslessly(image: NDArray[np.uint8]) -> dict[str, bytes]:
    """The same image in every lossless way."""
    grey = Image.fromarray(image)
    wide = image.astype(np.uint16) * 257
    rgba = Image.merge("RGBA", (grey, grey, grey, Image.new("L", grey.size, 255)))
    palette = Image.fromarray(255 - image, "L").convert("P")
    palette.putpalette([255 - level // 3 for level in range(768)])
    return {
        "PNG": encode(grey, "PNG"),
        "PNG of 16 bits": encode(Image.fromarray(wide), "PNG"),
        "PNG in colour": encode(grey.convert("RGB"), "PNG"),
        "PNG with alpha": encode(rgba, "PNG"),
        "PNG grey with alpha": encode(grey.convert("LA"), "PNG"),
        "PNG with a palette in odd order": encode(palette, "PNG"),
        "BMP": encode(grey, "BMP"),
        "BMP in colour": encode(grey.convert("RGB"), "BMP"),
        "WebP": encode(grey, "WEBP", lossless=True),
        "TIFF": encode(grey, "TIFF"),
        "TIFF with LZW": encode(grey, "TIFF", compression="tiff_lzw"),
        "TIFF in CMYK": encode(grey.convert("RGB").convert("CMYK"), "TIFF"),
        "TIFF, 16 bits, big-endian": pack_tiff(wide.astype(">u2"), bits=16),
        "TIFF, 16 bits, negative": pack_tiff((65535 - wide).astype("<u2"), bits=16, photometric=0),
        "TIFF, 8 bits, negative": pack_tiff(255 - image, bits=8, photometric=0),
        "TIFF, signed 16 bits": pack_tiff((wide - 32768.0).astype("<i2"), bits=16, sample_format=2),
        "TIFF, 32 bits": pack_tiff(wide.astype("<i4"), bits=32, sample_format=2),
        "TIFF, floats from 0 to 1": pack_tiff(
            (image / 255).astype("<f4"), bits=32, sample_format=3
        ),
        "TIFF, floats of any size, big-endian": pack_tiff(
            (image * 9.0 - 50).astype(">f4"), bits=32, sample_format=3
        ),
        "TIFF, floats, negative": pack_tiff(
            (1 - image / 255).astype("<f4"), bits=32, sample_format=3, photometric=0
        ),
    }  # fmt: skip


IMAGE = draw_image()
LOSSLESS = encode_losslessly(IMAGE)
LOSSY = {
    "JPEG": encode(Image.fromarray(IMAGE), "JPEG", quality=90),
    "JPEG in colour": encode(Image.fromarray(IMAGE).convert("RGB"), "JPEG", quality=90),
    "JPEG, progressive": encode(Image.fromarray(IMAGE), "JPEG", quality=90, progressive=True),
    "JPEG in CMYK": encode(
        Image.fromarray(IMAGE).convert("RGB").convert("CMYK"), "JPEG", quality=90
    ),
    "WebP, lossy": encode(Image.fromarray(IMAGE), "WEBP", quality=95),
}  # fmt: skip


def refuse(content: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(content)
    assert str(caught.value).endswith(".")
    return caught.value.code


# The same image


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_lossless_encoding_gives_the_same_image(name: str) -> None:
    image = decode_image(LOSSLESS[name])
    assert image.pixels.dtype == np.float32
    assert image.pixels.flags.c_contiguous
    np.testing.assert_allclose(image.pixels, IMAGE / 255, atol=ONE_GREY_LEVEL)


@pytest.mark.parametrize("name", LOSSY)
def test_a_lossy_encoding_differs_by_at_most_two_levels_in_the_mean(name: str) -> None:
    image = decode_image(LOSSY[name])
    assert np.abs(image.pixels - IMAGE / 255).mean() <= 2 / 255


@pytest.mark.images
def test_a_real_image_is_the_same_in_every_encoding(images_root: Path) -> None:
    path = next(iter(sorted((images_root / "darkcovid").rglob("*.jp*g"))))
    image = np.asarray(Image.open(path).convert("L"))
    for name, content in encode_losslessly(image).items():
        pixels = decode_image(content).pixels
        if name in (
            "TIFF, signed 16 bits",
            "TIFF, 32 bits",
            "TIFF, floats of any size, big-endian",
        ):
            pixels = pixels * (np.ptp(image) / 255) + image.min() / 255  # these run low to high
        np.testing.assert_allclose(pixels, image / 255, atol=ONE_GREY_LEVEL, err_msg=name)
    jpeg = encode(Image.fromarray(image), "JPEG", quality=90)
    assert np.abs(decode_image(jpeg).pixels - image / 255).mean() <= 2 / 255


def test_what_the_file_says_of_itself_is_kept() -> None:
    image = decode_image(LOSSLESS["PNG of 16 bits"])
    described = (image.width, image.height, image.format, image.mode)
    assert described == (120, 96, "PNG", "I;16")
    assert image.size_bytes == len(LOSSLESS["PNG of 16 bits"])


def test_a_decoded_image_survives_the_way_to_another_process() -> None:
    image = decode_image(LOSSLESS["PNG"])
    copy = pickle.loads(pickle.dumps(image))  # noqa: S301  our own bytes
    assert isinstance(copy, DecodedImage)
    np.testing.assert_array_equal(copy.pixels, image.pixels)


# Upright, and the largest page; of equal ones the first


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_image_stands_upright(kind: str, orientation: int) -> None:
    back = {  # how to store an upright image so that the tag turns it back
        1: IMAGE, 2: IMAGE[:, ::-1], 3: IMAGE[::-1, ::-1], 4: IMAGE[::-1],
        5: IMAGE.T, 6: np.rot90(IMAGE, 1), 7: IMAGE.T[::-1, ::-1], 8: np.rot90(IMAGE, -1),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(back[orientation]))
    image = decode_image(
        encode(stored, kind, exif=exif, **({} if kind == "TIFF" else {"quality": 98}))
    )
    assert image.pixels.shape == IMAGE.shape
    assert np.abs(image.pixels - IMAGE / 255).mean() <= 2 / 255


def test_of_several_pages_the_first_is_read() -> None:
    pages = [Image.fromarray(IMAGE), Image.fromarray(255 - IMAGE)]
    for kind in ("TIFF", "PNG", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        content = encode(pages[0], kind, save_all=True, append_images=pages[1:], **options)
        np.testing.assert_allclose(decode_image(content).pixels, IMAGE / 255, atol=ONE_GREY_LEVEL)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_of_several_pages_the_largest_is_read(place: int) -> None:
    """A thumbnail before the image, as scanners and microscopes write it, is not the image."""
    small = Image.fromarray(255 - IMAGE).resize((20, 16))
    pages = [small, small.copy(), small.copy()]
    pages[place] = Image.fromarray(IMAGE)
    content = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    image = decode_image(content)
    np.testing.assert_allclose(image.pixels, IMAGE / 255, atol=ONE_GREY_LEVEL)
    assert (image.height, image.width) == IMAGE.shape


# Refusals


def test_no_bytes_are_refused() -> None:
    assert refuse(b"") == "empty"


def test_only_the_decoder_that_was_sniffed_is_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real_open = Image.open

    def spy(stream: io.BytesIO, formats: tuple[str, ...]) -> Image.Image:
        asked.append(formats)
        return real_open(stream, formats=formats)

    monkeypatch.setattr(Image, "open", spy)
    decode_image(LOSSLESS["PNG"])
    decode_image(LOSSY["JPEG"])
    refuse(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    assert asked == [("PNG",), ("JPEG",)]


@pytest.mark.parametrize("name", ["PNG", "PNG of 16 bits", "TIFF", "BMP", "JPEG", "WebP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_is_cut_off_is_refused(name: str, share: float) -> None:
    content = (LOSSLESS | LOSSY)[name]
    assert refuse(content[: int(len(content) * share)]) in ("truncated", "damaged")


def test_a_picture_cut_in_half_is_called_truncated() -> None:
    for content in (LOSSLESS["PNG"], LOSSY["JPEG"], LOSSLESS["BMP"]):
        assert refuse(content[: len(content) // 2]) == "truncated"


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_image_is_refused(level: int) -> None:
    assert refuse(encode(Image.new("L", (32, 32), level), "PNG")) == "blank"


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (7, 40)])
def test_an_image_too_small_to_hold_a_chest_is_refused(size: tuple[int, int]) -> None:
    assert refuse(encode(Image.new("L", size, 9), "PNG")) == "too-small"


def test_the_smallest_image_is_read() -> None:
    assert decode_image(encode(Image.fromarray(IMAGE[:8, :8]), "PNG")).pixels.shape == (8, 8)


BOMBS = {
    "PNG of 60,000 × 60,000": pack_png_header(60_000, 60_000),
    "PNG of one bit": pack_png_header(60_000, 60_000, bits=1),
    "PNG just above the limit": pack_png_header(8_000, MAX_PIXELS // 8_000 + 1),
    "JPEG of 65,500 × 65,500": LOSSY["JPEG"].replace(
        struct.pack(">HH", 96, 120), struct.pack(">HH", 65_500, 65_500), 1
    ),
    "BMP of 30,000 × 30,000": LOSSLESS["BMP"][:18]
    + struct.pack("<ii", 30_000, 30_000)
    + LOSSLESS["BMP"][26:],
    "TIFF of 40,000 × 40,000": pack_tiff(np.broadcast_to(np.uint8(7), (8, 8)), bits=8).replace(
        struct.pack("<HHII", 256, 4, 1, 8), struct.pack("<HHII", 256, 4, 1, 40_000), 1
    ).replace(struct.pack("<HHII", 257, 4, 1, 8), struct.pack("<HHII", 257, 4, 1, 40_000), 1),
    "WebP of 16,384 × 16,384": b"RIFF" + struct.pack("<I", 4 + 18 + 16) + b"WEBPVP8X"
    + struct.pack("<I", 10) + b"\x02" + bytes(3) + b"\xff\x3f\x00" * 2
    + b"ANIM" + struct.pack("<I", 6) + bytes(6),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_at_once(name: str) -> None:
    start = time.process_time()
    code = refuse(BOMBS[name])
    assert code == "too-large" or name.startswith("WebP")  # libwebp may already refuse the stub
    assert time.process_time() - start < 1


@pytest.mark.slow
def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    """In a process of its own, because the peak of this one is long past."""
    for index, content in enumerate(BOMBS.values()):
        (tmp_path / f"{index}.bin").write_bytes(content)
    script = (
        "import pathlib, resource, sys\n"
        "from cxresnet.core.errors import ImageError\n"
        "from cxresnet.data.decode.decoder import decode_image\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak()\n"
        "for path in pathlib.Path(sys.argv[1]).iterdir():\n"
        "    try: decode_image(path.read_bytes())\n"
        "    except ImageError: pass\n"
        "print(peak() - before)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    grown_mib = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown_mib <= 50


def test_an_image_just_within_the_limit_is_not_called_too_large() -> None:
    assert refuse(pack_png_header(8_000, MAX_PIXELS // 8_000)) != "too-large"


# Masks


@pytest.mark.parametrize("high", [1, 90, 255])
def test_a_mask_is_read_however_its_levels_are_written(high: int) -> None:
    truth = np.zeros((20, 30), dtype=bool)
    truth[5:15, 4:20] = True
    levels = truth.astype(np.uint8) * high
    np.testing.assert_array_equal(decode_mask(encode(Image.fromarray(levels), "PNG")), truth)
    np.testing.assert_array_equal(decode_mask(levels), truth)
    np.testing.assert_array_equal(decode_mask(truth), truth)


def test_a_red_mask_on_black_is_read() -> None:
    colours = np.zeros((20, 20, 3), dtype=np.uint8)
    colours[3:9, 3:9, 0] = 255
    mask = decode_mask(encode(Image.fromarray(colours), "PNG"))
    assert mask.sum() == 36


def test_an_empty_mask_is_no_error() -> None:
    assert not decode_mask(encode(Image.new("L", (20, 20)), "PNG")).any()
    assert not decode_mask(np.zeros((20, 20), dtype=np.uint8)).any()


def test_a_mask_of_three_dimensions_is_refused() -> None:
    with pytest.raises(ImageError, match="shape"):
        decode_mask(np.zeros((4, 4, 3)))


# Fuzz


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip bytes, cut, repeat or zero a piece; mostly near the head, where the decoders decide."""
    changed = bytearray(content)
    kind = rng.integers(5)
    reach = len(changed) if rng.random() < 0.4 else min(len(changed), 200)
    place, length = int(rng.integers(reach)), int(rng.integers(1, 32))
    if kind == 0:
        for position in rng.integers(reach, size=rng.integers(1, 6)):
            changed[position] = rng.integers(256)
    elif kind == 1:
        del changed[place:]
    elif kind == 2:
        changed[place : place + length] = bytes(length)
    elif kind == 3:
        changed[place:place] = changed[place : place + length] * int(rng.integers(1, 4))
    else:
        changed[place : place + 4] = b"\xff" * 4
    return bytes(changed)


@pytest.mark.slow
def test_no_bytes_bring_the_door_down() -> None:
    """Quickly; `make chaos` does it a hundred thousand times."""
    rng = np.random.default_rng(20_26)
    seeds = [*LOSSLESS.values(), *LOSSY.values()]
    for index in range(500):
        content = mutate(seeds[index % len(seeds)], rng)
        try:
            image = decode_image(content)
        except ImageError:
            continue
        assert np.isfinite(image.pixels).all()
        assert 0 <= image.pixels.min() < image.pixels.max() <= 1


def test_levels_that_are_no_numbers_are_refused() -> None:
    pixels = np.zeros((4, 4), dtype=np.float32)
    for value in (np.nan, np.inf):
        pixels[1, 2] = value
        with pytest.raises(ImageError, match="not numbers"):
            DecodedImage(pixels, 4, 4, "DICOM", "MONOCHROME2;12", 1)
