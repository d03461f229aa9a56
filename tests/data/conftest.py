"""DICOM images made from arrays, for the tests of decoding and of sources."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

_SECRETS = {
    "PatientName": "Canary^Yellow",
    "PatientID": "canary-4711",
    "PatientBirthDate": "19610203",
    "PatientAddress": "Canary Road 9",
    "AccessionNumber": "canary-acc-1",
    "InstitutionName": "Canary Hospital",
    "StudyDescription": "canary in a mine",
}


def _draw_levels(bits: int = 12, *, height: int = 64, width: int = 80) -> NDArray[np.uint16]:
    y, x = np.mgrid[:height, :width] / max(height, width)
    image = np.sin(5 * x + 1) * np.cos(4 * y) + 0.7 * x - 0.3 * y
    return np.round((image - image.min()) / np.ptp(image) * (2**bits - 1)).astype(np.uint16)


def _make_dataset(levels: NDArray[Any], *, bits: int = 12, **tags: Any) -> Dataset:
    """A chest X-ray with somebody's name on it."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    dataset.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.2"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.Modality, dataset.BodyPartExamined = "DX", "CHEST"
    dataset.Rows, dataset.Columns = levels.shape[:2]
    dataset.SamplesPerPixel = 3 if levels.ndim == 3 else 1
    if levels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "RGB" if levels.ndim == 3 else "MONOCHROME2"
    dataset.BitsAllocated = levels.dtype.itemsize * 8
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(levels.dtype.kind == "i")
    dataset.PixelData = levels.tobytes()
    dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 else "OW"
    for keyword, value in (_SECRETS | tags).items():
        setattr(dataset, keyword, value)
    return dataset


def _save_dataset(dataset: Dataset, **options: Any) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True, **options)
    return stream.getvalue()


def _make_image(levels: NDArray[Any] | None = None, *, bits: int = 12, **tags: Any) -> bytes:
    return _save_dataset(
        _make_dataset(_draw_levels(bits) if levels is None else levels, bits=bits, **tags)
    )


def _encapsulate_image(codestream: bytes, syntax: str, *, bits: int) -> bytes:
    """An image whose pixels are a picture that Pillow has written."""
    dataset = _make_dataset(
        _draw_levels(bits).astype(np.uint8 if bits == 8 else np.uint16), bits=bits
    )
    dataset.PixelData = encapsulate([codestream])
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = syntax
    return _save_dataset(dataset)


def _change_syntax(content: bytes, syntax: Any, folder: Path) -> bytes:
    """Let GDCM encode what neither pydicom nor Pillow can."""
    before, after = folder / "before.dcm", folder / "after.dcm"
    before.write_bytes(content)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(before))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(after))
    assert writer.Write()
    return after.read_bytes()


def _make_table(entries: NDArray[np.uint16], *, bits: int) -> Dataset:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [len(entries), 0, bits])
    table.add_new("LUTData", "US", entries.tolist())
    return table


@dataclass(frozen=True)
class DicomKit:
    """What the tests make DICOM images with."""

    draw_levels: Callable[..., NDArray[np.uint16]] = _draw_levels
    make_dataset: Callable[..., Dataset] = _make_dataset
    save: Callable[..., bytes] = _save_dataset
    make_image: Callable[..., bytes] = _make_image
    encapsulate: Callable[..., bytes] = _encapsulate_image
    change_syntax: Callable[..., bytes] = _change_syntax
    make_table: Callable[..., Dataset] = _make_table


@pytest.fixture(scope="session")
def kit() -> DicomKit:
    return DicomKit()


@dataclass(frozen=True)
class UnkindImages:
    """Images as hospitals send them, one entry an image everywhere."""

    groups: NDArray[np.int64]
    classes: list[str]
    sources: list[str]


def _draw_unkind_images(patients: int = 150, *, seed: int = 0) -> UnkindImages:
    """Draw patients with one to twelve images, of 7 : 2 : 1 classes, from two unequal sources.

    Every tenth patient shows two classes. The north sends mostly normal images, the south hardly
    any.
    """
    generator = np.random.default_rng(seed)
    label = generator.choice(3, patients, p=(0.7, 0.2, 0.1))
    groups = np.repeat(np.arange(patients), generator.integers(1, 13, patients))
    shown = label[groups]
    second = (groups % 10 == 0) & (generator.random(len(groups)) < 0.5)
    shown[second] = (shown[second] + 1) % 3
    south = generator.random(patients) < np.array([0.2, 0.7, 0.8])[label]
    return UnkindImages(
        groups=groups,
        classes=[("normal", "pneumonia", "covid-19")[number] for number in shown.tolist()],
        sources=["south" if there else "north" for there in south[groups].tolist()],
    )


@pytest.fixture(scope="session")
def draw_unkind_images() -> Callable[..., UnkindImages]:
    return _draw_unkind_images
