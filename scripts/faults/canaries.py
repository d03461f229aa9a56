"""DICOM images with a canary in every text tag and file name: none may come out anywhere."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from faults.context import Context, Outcome, Part, run
from faults.images import make_dicom, save_dicom
from pydicom import uid
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import Dataset

FILES = 40
TAGS = 80
_KINDS = ("PN", "LO", "SH", "LT", "ST", "UT", "UC", "AE")
_LEFT_ALONE = {
    "BodyPartExamined", "PhotometricInterpretation", "Modality", "PixelData", "LUTExplanation",
    "PresentationIntentType", "TransferSyntaxUID",
}  # fmt: skip
_KNOWN = ("PatientName", "PatientID", "InstitutionName", "Manufacturer", "ManufacturerModelName")
_CANARY = re.compile(rb"canary[0-9]+x[0-9]+y", re.IGNORECASE)


def prepare(shared: Path) -> None:
    """Nothing is shared: every case makes its own images."""
    del shared


def list_text_tags() -> list[str]:
    """List the keywords of text tags, those that name people and devices first."""
    keywords = [
        keyword_for_tag(tag)
        for tag, (kind, many, _, retired, _) in sorted(DicomDictionary.items())
        if kind in _KINDS and many in {"1", "1-n"} and not retired and tag >> 16 >= 8
    ]
    rest = [name for name in keywords if name and name not in {*_LEFT_ALONE, *_KNOWN}]
    return [*_KNOWN, *rest]


def fill_tags(dataset: Dataset, keywords: list[str], number: int) -> None:
    """Write a canary of its own into every tag."""
    for place, keyword in enumerate(keywords):
        setattr(dataset, keyword, f"CANARY{number}X{place}Y")


def write_images(folder: Path, keywords: list[str], first: int) -> None:
    """Write class folders of images that do not look alike, with canaries as file names."""
    for number in range(first, first + FILES):
        dice = np.random.default_rng(number)
        levels = np.kron(dice.integers(0, 255, (8, 7), dtype=np.uint8), np.ones((8, 8), np.uint8))
        dataset = make_dicom(levels, uid.ExplicitVRLittleEndian)
        fill_tags(dataset, keywords, number)
        name = f"canary{number}x{TAGS}y.dcm"
        place = folder / ("normal" if number % 2 else "pneumonia") / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(save_dicom(dataset))


def check(context: Context, number: int) -> Outcome:
    """Prepare, train, evaluate and report, or prepare an archive; then look for canaries."""
    keywords = list_text_tags()
    start = number * (TAGS - len(_KNOWN)) % (len(keywords) - len(_KNOWN)) + len(_KNOWN)
    chosen = [*_KNOWN, *(keywords + keywords)[start : start + TAGS - len(_KNOWN)]]
    source = context.scratch / "set"
    write_images(source, chosen, first=number * FILES)
    given = source if number % 2 == 0 else pack(source, context.scratch / "packed.zip")
    out = context.scratch / "out"
    said = ""
    for arguments in list_commands(given, source, out, number):
        result = run(["--verbose", *arguments])
        said += result.text
        if result.fault or result.code:
            return Outcome("fault", f"{arguments[0]}: {result.code} {result.text[-300:]}")
    found = sorted({*find_canaries(said.encode(), "the terminal"), *search(out)})
    if found:
        return Outcome("fault", f"{len(found)} canaries, for example {', '.join(found[:5])}")
    return Outcome(f"{FILES * TAGS} canaries, none found")


def list_commands(given: Path, source: Path, out: Path, number: int) -> Iterator[list[str]]:
    """List what a user does with images: all stages first, then only those that differ."""
    small = ["data.side_px=32", "data.common_side_px=48", "data.workers=1"]
    options = [word for setting in small for word in ("--set", setting)]
    yield ["prepare", str(given), "--out", str(out / "dataset"), *options]
    if number == 0:
        tiny = ["train.epochs=1", "train.batch_size=8", "model.widths=[8,16]", "model.depths=[1,1]"]
        settings = [word for setting in tiny for word in ("--set", setting)]
        yield ["train", str(out / "dataset"), "--out", str(out / "run"), *settings]
        yield ["evaluate", str(out / "run"), "--set", "evaluate.bootstrap_resamples=100"]
        yield ["report", str(out / "run")]
    renamed = source.parent / "image.dcm"  # `predict` names each file that it was given
    renamed.write_bytes(next(source.rglob("*.dcm")).read_bytes())
    yield ["predict", "--no-gate", "--format", "json", str(renamed)]


def pack(folder: Path, archive: Path) -> Path:
    """Pack a folder, names and all."""
    with zipfile.ZipFile(archive, "w") as stream:
        for path in sorted(folder.rglob("*.dcm")):
            stream.write(path, path.relative_to(folder.parent))
    return archive


def search(folder: Path) -> Iterator[str]:
    """Search all files that were written, and their names."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            yield from find_canaries(name.encode() + b"\n" + path.read_bytes(), name)


def find_canaries(content: bytes, where: str) -> Iterator[str]:
    """Name each canary that is in the text of a file."""
    for found in set(_CANARY.findall(content)):
        yield f"{found.decode()} in {where}"


PART = Part(
    name="canaries",
    promise="No text of a DICOM header and no name of its file comes out in any output.",
    cases=16_000 // (FILES * TAGS),
    short=1,
    limit_seconds=1800,
    prepare=prepare,
    check=check,
)
