"""The pictures of `benchmarks/gate.py` that others took or drew: photographs, scans, clip art.

All come with packages. Those of Python packages are found where they are installed; more lie in a
folder of the reader's, into which packages of sample pictures were unpacked. Pictures made from one
file, or from one volume, have one origin.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import plistlib
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image

from gate_pictures import Picture, encode

_PHOTOGRAPHS = {".png", ".jpg", ".webp"}
_LONGEST_SIDE_PX = 512
_LARGEST_BYTES = 2_000_000
_A_FOLDER = 300
_SLICES = 10

NEMA_CHEST = "frontal: RG1 of the DICOM test files, a chest X-ray"


def list_others(folder: Path | None) -> Iterator[Picture]:
    """List the pictures of installed packages, and of all files below a folder."""
    for package, inside in (("skimage", "data"), ("sklearn", "datasets/images")):
        if root := find_package(package):
            yield from _list_photographs(root / inside, package)
    if root := find_package("pydicom"):
        yield from _list_dicom_files(root / "data/test_files")
    if root := find_package("nilearn"):
        yield from _list_volumes(root / "datasets/data")
    for one in sorted(folder.iterdir()) if folder else ():
        for list_kind in (_list_photographs, _list_dicom_files, _list_volumes, _list_ct_volumes):
            yield from (replace(picture, is_new=True) for picture in list_kind(one))


def find_package(name: str) -> Path | None:
    """Find the folder of an installed package."""
    spec = importlib.util.find_spec(name)
    return Path(str(spec.origin)).parent if spec and spec.origin else None


def _list_photographs(root: Path, package: str = "") -> Iterator[Picture]:
    """List pictures as they are, in grey, and a piece in grey; of many files, a fixed choice."""
    package = package or root.name
    found = [
        path
        for path in root.rglob("*")
        if path.suffix in _PHOTOGRAPHS and path.stat().st_size <= _LARGEST_BYTES
    ]
    found.sort(key=lambda path: hashlib.sha256(str(path.relative_to(root)).encode()).digest())
    for path in found[:_A_FOLDER]:
        with Image.open(path) as image:
            image.draft("RGB", (2 * _LONGEST_SIDE_PX, 2 * _LONGEST_SIDE_PX))
            shown = image.convert("RGBA")
        photo = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
        photo.thumbnail((_LONGEST_SIDE_PX, _LONGEST_SIDE_PX))
        if min(photo.size) < 100:
            continue
        # The sizes and the dark version of one wallpaper lie in one folder.
        name = path.parts[path.parts.index("contents") - 1] if "contents" in path.parts else None
        origin = f"{package} {name or path.name.replace('-d.', '-l.')}"
        kind = "clip art" if "clipart" in package else "photograph"
        grey = photo.convert("L")
        if np.ptp(np.asarray(photo), axis=2).max() > 0:
            yield Picture(f"{kind} in colour", origin, encode(photo))
        yield Picture(f"{kind} in grey", origin, encode(grey))
        if kind == "photograph":
            width, height = grey.size
            box = (0.3 * width, 0.2 * height, 0.9 * width, 0.8 * height)
            yield Picture("piece of a photograph in grey", origin, encode(grey.crop(box)))


def _list_dicom_files(root: Path) -> Iterator[Picture]:
    """List DICOM files: as they are, and their pixels without the header."""
    for path in sorted(root.rglob("*.dcm")):
        # Versions of one picture differ behind the first underscore.
        origin = f"dicom {path.stem.split('_')[0]}"
        kind = NEMA_CHEST if path.stem.startswith("RG1_") else "DICOM test file"
        yield Picture(kind, origin, path.read_bytes())
        try:
            pixels = pydicom.dcmread(path).pixel_array.astype(np.float64)
        except Exception:  # noqa: BLE001, S112  files without pixels, and broken ones
            continue
        while pixels.ndim > 2:
            pixels = pixels[..., 0] if pixels.shape[-1] == 3 else pixels[0]
        if min(pixels.shape) >= 32 and (content := _encode_levels(pixels)):
            yield Picture("its pixels without the header (CT, MR, US, CR)", origin, content)


def _list_volumes(root: Path) -> Iterator[Picture]:
    """List slices of NIfTI volumes of heads, in three directions."""
    for path in sorted(root.rglob("*.nii.gz")):
        raw = gzip.decompress(path.read_bytes())
        header = np.frombuffer(raw, "<i2", count=8, offset=40)
        code = int(np.frombuffer(raw, "<i2", count=1, offset=70)[0])
        kind = {2: np.uint8, 4: np.int16, 8: np.int32, 16: np.float32, 64: np.float64}.get(code)
        if header[0] != 3 or kind is None:
            continue
        start = int(np.frombuffer(raw, "<f4", count=1, offset=108)[0])
        shape = tuple(int(side) for side in header[1:4])
        levels = np.frombuffer(raw, kind, count=int(np.prod(shape)), offset=start)
        yield from _cut("MR slice or atlas of a head", path.name, levels.reshape(shape, order="F"))


def _list_ct_volumes(root: Path) -> Iterator[Picture]:
    """List slices of the CT of a head that InVesalius brings."""
    for path in sorted(root.rglob("*.inv3")):
        with tarfile.open(path) as archive:
            inside = {Path(name).name: name for name in archive.getnames()}
            project = plistlib.loads(_read_member(archive, inside["main.plist"]))
            levels = np.frombuffer(_read_member(archive, inside["matrix.dat"]), np.int16)
        yield from _cut("CT slice of a head", path.name, levels.reshape(project["matrix"]["shape"]))


def _read_member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    return b"" if member is None else member.read()


def _cut(kind: str, origin: str, volume: NDArray[np.generic]) -> Iterator[Picture]:
    for axis in range(3):
        for share in np.linspace(0.25, 0.75, _SLICES):
            plane = np.rot90(np.take(volume, int(share * volume.shape[axis]), axis=axis))
            if content := _encode_levels(plane.astype(np.float64), side_px=256):
                yield Picture(kind, origin, content)


def _encode_levels(levels: NDArray[np.float64], *, side_px: int = 0) -> bytes:
    """Stretch levels to grey; "" where they are all alike."""
    low, high = np.percentile(levels, (1, 99))
    if not high > low:
        return b""
    grey = np.clip((levels - low) / (high - low), 0, 1) * 255
    picture = Image.fromarray(np.ascontiguousarray(grey.astype(np.uint8)))
    return encode(picture.resize((side_px, side_px)) if side_px else picture)
