"""For random headers, the image is that of an independent reference, written with NumPy alone."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset, uid

from cxresnet.data.decode.dicom import read_dicom_image

SIDE = 16
NATIVE = {
    "implicit": uid.ImplicitVRLittleEndian,
    "explicit": uid.ExplicitVRLittleEndian,
    "big-endian": uid.ExplicitVRBigEndian,
    "deflated": uid.DeflatedExplicitVRLittleEndian,
    "RLE": uid.RLELossless,
}
BY_GDCM = {
    "JPEG lossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "JPEG-LS": gdcm.TransferSyntax.JPEGLSLossless,
    "JPEG 2000": gdcm.TransferSyntax.JPEG2000Lossless,
}


@dataclass(frozen=True)
class Header:
    """What a DICOM image says of itself."""

    bits: int
    low_bits: int
    signed: bool
    photometric: str
    rescale: tuple[float, float] | None
    modality_table: str
    table: str
    window: tuple[float, float] | None
    function: str
    padding: bool
    syntax: str
    seed: int

    def draw(self) -> NDArray[np.int64]:
        """Draw the stored levels; a corner is at the lowest level, which may be padding."""
        levels = np.random.default_rng(self.seed).integers(self.low, self.high + 1, (SIDE, SIDE))
        levels[:4, :4] = self.low
        return levels

    @property
    def low(self) -> int:
        return -(2 ** (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        return self.low + 2**self.bits - 1


def make_entries(kind: str, count: int) -> tuple[NDArray[np.int64], int]:
    """Make a table of a kind, and the bits that its descriptor states."""
    ramp = np.arange(count)[::-1] / (count - 1)
    highest, bits = {
        "8": (255, 8), "12": (4095, 12), "16": (65535, 16), "12 as 16": (4095, 16),
        "12 as 8": (4095, 8), "8 packed": (255, 8),
    }[kind]  # fmt: skip
    return np.rint(ramp**0.5 * highest).astype(np.int64), bits


@st.composite
def draw_headers(draw: st.DrawFn) -> Header:
    bits = draw(st.sampled_from([8, 10, 12, 14, 16]))
    syntax = draw(st.sampled_from([*NATIVE, *BY_GDCM]))
    tables = ["", "", "8", "12", "16", "12 as 16", "12 as 8", "8 packed"]
    can_shift = 8 < bits < 16 and syntax in NATIVE
    modality_table = draw(st.sampled_from(tables))
    slopes = st.sampled_from([(1.0, 0.0), (2.0, -1024.0), (0.5, 10.0), (-1.0, 4095.0)])
    return Header(
        bits=bits,
        low_bits=draw(st.sampled_from([0, 16 - bits])) if can_shift else 0,
        signed=draw(st.booleans()) and bits > 8 and syntax in NATIVE,
        photometric=draw(st.sampled_from(["MONOCHROME1", "MONOCHROME2"])),
        rescale=None if modality_table else draw(st.none() | slopes),
        modality_table=modality_table,
        table=draw(st.sampled_from(tables)),
        window=draw(st.none() | st.tuples(st.floats(-500, 5000), st.floats(2, 9000))),
        function=draw(st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID", ""])),
        padding=draw(st.booleans()),
        syntax=syntax,
        seed=draw(st.integers(0, 99)),
    )


# The reference: what PS3.3 says, in NumPy.


def look_up(levels: NDArray[Any], kind: str, first: int, count: int) -> NDArray[np.float64]:
    entries, _ = make_entries(kind, count)
    return entries[np.clip(np.rint(levels).astype(int) - first, 0, count - 1)] / entries.max()


def show(header: Header) -> NDArray[np.float64]:
    """Compute the image as it is meant to be shown."""
    stored = header.draw()
    padding = (stored == header.low) & header.padding
    low, high = float(header.low), float(header.high)
    levels = stored.astype(float)
    if header.modality_table:
        count = 2**header.bits
        entries, _ = make_entries(header.modality_table, count)
        low, high = 0.0, float(entries.max())
        levels = look_up(stored, header.modality_table, header.low, count) * high
    elif header.rescale:
        slope, intercept = header.rescale
        levels = levels * slope + intercept
        low, high = sorted((low * slope + intercept, high * slope + intercept))
    whole = (levels - low) / (high - low)
    shown = whole
    if header.table:
        shown = look_up(levels, header.table, 0, 4096)
    elif header.window:
        windowed = apply(levels, *(round(number, 3) for number in header.window), header.function)
        inside = ~padding
        single = windowed.astype(np.float32)
        black = ((single <= 0) & (whole > 0) & inside).sum()
        white = ((single >= 1) & (whole < 1) & inside).sum()
        is_lost = header.bits > 8 and max(black, white) * 2 > inside.sum()
        shown = whole if is_lost else windowed
    if header.photometric == "MONOCHROME1":
        shown = 1 - shown
    return np.where(padding, 0, shown)


def apply(
    levels: NDArray[np.float64], centre: float, width: float, function: str
) -> NDArray[np.float64]:
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (levels - centre) / width))
    if function == "LINEAR_EXACT":
        return np.clip((levels - centre) / width + 0.5, 0, 1)
    return np.clip((levels - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


# The file that says so.


def encode(header: Header, kit: Any) -> bytes:
    noise = 2**header.low_bits - 1
    raw = header.draw() * 2**header.low_bits + noise
    size = "1" if header.bits == 8 else "2"
    order = ">" if header.syntax == "big-endian" else "<"
    pixels = raw.astype(f"{order}{'i' if header.signed else 'u'}{size}")
    dataset = kit.make_dataset(
        pixels,
        bits=header.bits,
        HighBit=header.bits + header.low_bits - 1,
        PhotometricInterpretation=header.photometric,
    )
    if header.syntax in BY_GDCM:
        with tempfile.TemporaryDirectory() as folder:
            content = kit.change_syntax(kit.save(dataset), BY_GDCM[header.syntax], Path(folder))
        dataset = pydicom.dcmread(io.BytesIO(content))
    describe(dataset, header)
    if header.syntax in BY_GDCM:
        return bytes(kit.save(dataset))
    if header.syntax == "big-endian":
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
        return bytes(kit.save(dataset, implicit_vr=False, little_endian=False))
    syntax = NATIVE[header.syntax]
    if syntax == uid.RLELossless:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = syntax
    return bytes(kit.save(dataset))


def describe(dataset: Dataset, header: Header) -> None:
    if header.rescale:
        dataset.RescaleSlope, dataset.RescaleIntercept = map(str, header.rescale)
    if header.modality_table:
        table = build_table(header, header.modality_table, header.low, 2**header.bits)
        dataset.ModalityLUTSequence = [table]
    if header.table:
        dataset.VOILUTSequence = [build_table(header, header.table, 0, 4096)]
    if header.window:
        centre, width = (str(round(number, 3)) for number in header.window)
        dataset.WindowCenter, dataset.WindowWidth = centre, width
    if header.function:
        dataset.VOILUTFunction = header.function
    if header.padding:
        dataset.add_new("PixelPaddingValue", "US", header.low % 2**16)


def build_table(header: Header, kind: str, first: int, count: int) -> Dataset:
    entries, bits = make_entries(kind, count)
    order = ">" if header.syntax == "big-endian" else "<"
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [count % 2**16, first % 2**16, bits])
    words = entries[0::2] + 256 * entries[1::2] if kind == "8 packed" else entries
    if kind == "8 packed" or count > 4096:
        table.add_new("LUTData", "OW", words.astype(f"{order}u2").tobytes())
    else:
        table.add_new("LUTData", "US", words.tolist())
    return table


@pytest.mark.slow
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(header=draw_headers())
def test_an_image_is_shown_as_the_standard_says(header: Header, kit: Any) -> None:
    image = read_dicom_image(encode(header, kit))
    assert image.notes == () or "window" in image.notes[0]
    np.testing.assert_allclose(image.pixels, show(header), atol=2e-4)
