"""Reading DICOM: every transfer syntax, every broken file, nothing larger than an image."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate

from cxresnet.core.errors import ImageError
from cxresnet.data.decode.decoder import decode_image
from cxresnet.data.decode.dicom import read_dicom_header, read_dicom_image, reader


def encode_picture(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def refuse(content: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read_dicom_image(content)
    assert str(caught.value).endswith(".")
    return caught.value.code


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.DeflatedExplicitVRLittleEndian,
        uid.RLELossless,
    ],
    ids=lambda syntax: syntax.name,
)
def test_what_pydicom_writes_is_read(syntax: uid.UID, kit: Any) -> None:
    dataset = kit.make_dataset(kit.draw_levels())
    if syntax.is_compressed:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = syntax
    image = read_dicom_image(kit.save(dataset))
    assert image.pixels.dtype == np.float32
    assert image.mode == "MONOCHROME2;12"
    np.testing.assert_allclose(image.pixels, kit.draw_levels() / 4095, atol=1e-6)


def test_big_endian_is_read(kit: Any) -> None:
    dataset = kit.make_dataset(kit.draw_levels().astype(">u2"))
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    content = kit.save(dataset, implicit_vr=False, little_endian=False)
    np.testing.assert_allclose(
        read_dicom_image(content).pixels, kit.draw_levels() / 4095, atol=1e-6
    )


@pytest.mark.parametrize(
    "name", ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless"]
)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_what_gdcm_writes_is_read(name: str, bits: int, tmp_path: Path, kit: Any) -> None:
    levels = kit.draw_levels(bits).astype(np.uint8 if bits == 8 else np.uint16)
    syntax = getattr(gdcm.TransferSyntax, name)
    content = kit.change_syntax(kit.make_image(levels, bits=bits), syntax, tmp_path)
    image = read_dicom_image(content)
    np.testing.assert_allclose(image.pixels, levels / (2**bits - 1), atol=1e-6)


def test_jpeg_2000_of_sixteen_bits_is_read(kit: Any) -> None:
    codestream = encode_picture(Image.fromarray(kit.draw_levels(16)), "JPEG2000", no_jp2=True)
    content = kit.encapsulate(codestream, uid.JPEG2000Lossless, bits=16)
    np.testing.assert_allclose(
        read_dicom_image(content).pixels, kit.draw_levels(16) / 65535, atol=1e-6
    )


def test_baseline_jpeg_is_read(kit: Any) -> None:
    image = Image.fromarray(kit.draw_levels(8).astype(np.uint8))
    content = kit.encapsulate(
        encode_picture(image, "JPEG", quality=90), uid.JPEGBaseline8Bit, bits=8
    )
    assert np.abs(read_dicom_image(content).pixels - kit.draw_levels(8) / 255).mean() <= 2 / 255


def test_a_file_without_its_preamble_is_read(kit: Any) -> None:
    dataset = kit.make_dataset(kit.draw_levels())
    dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
    bare = kit.save(dataset)
    for content in (bare[132:], bare[bare.index(b"\x08\x00\x16\x00") :]):
        image = decode_image(content)
        np.testing.assert_allclose(image.pixels, kit.draw_levels() / 4095, atol=1e-6)


def test_a_preamble_that_looks_like_a_tiff_changes_nothing(kit: Any) -> None:
    content = b"II*\0" + kit.make_image()[4:]
    assert decode_image(content).format == "DICOM"


def test_an_unknown_transfer_syntax_is_refused(kit: Any) -> None:
    dataset = kit.make_dataset(kit.draw_levels())
    dataset.file_meta.TransferSyntaxUID = uid.MPEG2MPML
    stream = io.BytesIO()
    dataset.PixelData = encapsulate([dataset.PixelData])
    dataset["PixelData"].is_undefined_length = True
    pydicom.dcmwrite(stream, dataset, implicit_vr=False, little_endian=True)
    with pytest.raises(ImageError, match="This compression cannot be read here: MPEG2") as caught:
        read_dicom_image(stream.getvalue())
    assert caught.value.code == "format-not-allowed"


def resave(name: str, **tags: Any) -> bytes:
    """Give a file of pydicom's own, calling itself a chest image."""
    dataset = pydicom.dcmread(get_testdata_file(name))
    dataset.Modality, dataset.BodyPartExamined = "DX", "CHEST"
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(stream)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_jpeg_of_twelve_bits_is_read(name: str) -> None:
    """Levels from 0 to 264 with a mean of 14.38, as libjpeg decodes the first."""
    image = decode_image(resave(name, WindowCenter=None, WindowWidth=None))
    assert image.pixels.shape == (1024, 256)
    levels = image.pixels * 4095
    assert (levels.min(), round(float(levels.max()))) == (0, 264)
    assert levels.mean() == pytest.approx(14.38, abs=0.05)


def test_jpeg_2000_in_a_wrapping_that_pillow_refuses_is_read() -> None:
    """Red, green and blue have means of 122.54, 126.42 and 124.35."""
    image = decode_image(resave("GDCMJ2K_TextGBR.dcm"))
    expected = 0.299 * 122.5355 + 0.587 * 126.4196 + 0.114 * 124.3525
    assert image.pixels.mean() * 255 == pytest.approx(expected, abs=0.01)


def test_a_cut_image_is_called_truncated(kit: Any) -> None:
    content = kit.make_image()
    assert refuse(content[:-1000]) == "truncated"


@pytest.mark.parametrize(("rows", "columns"), [(60_000, 60_000), (8_001, 8_000)])
def test_an_image_too_large_is_refused_on_its_header(rows: int, columns: int, kit: Any) -> None:
    assert refuse(kit.make_image(Rows=rows, Columns=columns)) == "too-large"


@pytest.mark.slow
def test_an_image_that_unpacks_without_end_takes_no_memory(tmp_path: Path, kit: Any) -> None:
    """300 MB of zeros in 0.3 MB; in a process of its own to see the peak."""
    dataset = kit.make_dataset(kit.draw_levels())
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    content = kit.save(dataset)
    (length,) = np.frombuffer(content[140:144], dtype="<u4")
    packer = zlib.compressobj(wbits=-15)
    zeros = bytes(2**24)
    bomb = b"".join([packer.compress(zeros) for _ in range(18)]) + packer.flush()
    (tmp_path / "bomb").write_bytes(content[: 144 + int(length)] + bomb)
    script = (
        "import pathlib, resource, sys\n"
        "from cxresnet.core.errors import ImageError\n"
        "from cxresnet.data.decode.dicom import reader\n"
        "from cxresnet.data.decode.decoder import decode_image\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak()\n"
        "try: decode_image(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "except ImageError as error: print(error.code, peak() - before)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "bomb")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, grown_mib = done.stdout.split()
    assert code == "too-large"
    assert int(grown_mib) <= 80


def pack_meta(tag: int, kind: bytes, value: bytes) -> bytes:
    """An element of the meta header."""
    long = kind == b"OB"
    length = struct.pack("<2xI" if long else "<H", len(value))
    return struct.pack("<HH", 2, tag) + kind + length + value


def pack_deflated(way: str, body: bytes) -> bytes:
    """A deflated file whose header hides from a reader that looks at fixed places."""
    syntax = pack_meta(0x10, b"UI", b"1.2.840.10008.1.2.1.99")
    if way == "a false group length":
        syntax = pack_meta(0, b"UL", struct.pack("<I", 0x7FFFFFFF)) + syntax
    if way == "a long element before":
        syntax = pack_meta(1, b"OB", bytes(4096)) + syntax
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(body) + packer.flush()
    preamble = b"" if way == "no preamble" else bytes(128) + b"DICM"
    return preamble + syntax + packed


WAYS = ("plain", "a false group length", "a long element before", "no preamble")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("part", ["pixels", "header"])
def test_a_deflated_bomb_is_refused_wherever_its_header_lies(
    way: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_MAX_INFLATED_BYTES", 2**20)
    content = pack_deflated(way, bytes(2**22))
    with pytest.raises(ImageError, match="unpacks to more than") as caught:
        read_dicom_image(content) if part == "pixels" else read_dicom_header(io.BytesIO(content))
    assert caught.value.code == "too-large"


@pytest.mark.parametrize("way", WAYS)
def test_a_deflated_image_is_read_wherever_its_header_lies(way: str, kit: Any) -> None:
    plain = kit.make_image()
    body = plain[plain.index(b"\x08\x00\x16\x00") :]
    content = pack_deflated(way, body)
    np.testing.assert_allclose(
        read_dicom_image(content).pixels, kit.draw_levels() / 4095, atol=1e-6
    )
    assert read_dicom_header(io.BytesIO(content)).identifiers["PatientID"]
    assert refuse(content[:-50]) == "truncated"


def test_a_deflated_file_within_a_deflated_file_is_not_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "_MAX_INFLATED_BYTES", 2**20)
    inner = pack_deflated("no preamble", bytes(2**22))
    assert refuse(pack_deflated("plain", inner)) != "too-large"


def test_a_picture_of_very_many_scans_is_refused(kit: Any) -> None:
    image = Image.fromarray(kit.draw_levels(8).astype(np.uint8))
    codestream = encode_picture(image, "JPEG", progressive=True)
    last = codestream.rindex(b"\xff\xda")
    content = codestream[:last] + codestream[last:-2] * 120 + codestream[-2:]
    with pytest.raises(ImageError, match=r"stored in 1\d\d scans"):
        read_dicom_image(kit.encapsulate(content, uid.JPEGBaseline8Bit, bits=8))


def list_packaged_files() -> list[Path]:
    folder = Path(get_testdata_file("CT_small.dcm")).parent
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", list_packaged_files(), ids=lambda path: path.name)
def test_a_file_of_pydicom_is_read_or_refused(path: Path) -> None:
    try:
        image = decode_image(path.read_bytes())
    except ImageError as error:
        assert error.code  # noqa: PT017
    else:
        assert image.pixels.ndim == 2


READABLE = (
    "CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm",
    "JPEG2000.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle.dcm", "SC_rgb_gdcm_KY.dcm",
    "SC_rgb_jpeg_dcmtk.dcm", "SC_ybr_full_422_uncompressed.dcm", "SC_rgb_rle_16bit.dcm",
    "examples_palette.dcm", "examples_overlay.dcm", "image_dfl.dcm", "J2K_pixelrep_mismatch.dcm",
)  # fmt: skip


@pytest.mark.parametrize("name", READABLE)
def test_a_file_of_pydicom_that_calls_itself_a_chest_image_is_read(name: str) -> None:
    dataset = pydicom.dcmread(get_testdata_file(name))
    image = decode_image(resave(name))
    assert image.pixels.shape == (dataset.Rows, dataset.Columns)
    assert image.pixels.min() < image.pixels.max()
