"""Images that are drawn instead of read: the embedded default, with a known truth.

They are drawings, not patients: good for a first run, for tests, and for planting a fault that the
audit must find; no result on them is evidence about people.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.classes import ClassMap, build_class_map
from cxresnet.core.errors import ImageError
from cxresnet.core.files import write_bytes, write_text
from cxresnet.core.progress import track
from cxresnet.data.manifest import ImageRecord, write_safe_csv
from cxresnet.data.phantoms.draw import PhantomImage, draw_phantom
from cxresnet.data.phantoms.lesions import corrupt_file, encode_png, make_near_duplicate
from cxresnet.data.phantoms.plan import PhantomPlan, PhantomSettings, plan_phantoms
from cxresnet.data.sources.source import AbstractSource, ScanResult

PHANTOM_WARNING = (
    "These images are drawings, not patients: no result on them is evidence about people."
)


@lru_cache(maxsize=4)
def _draw_phantom_once(plan: PhantomPlan, settings: PhantomSettings) -> PhantomImage:
    """Draw an image and keep it for a moment: its masks are usually read next."""
    return draw_phantom(plan, settings)


class PhantomSource(AbstractSource):
    """Drawn images. A location is "image-00012", or that with ":lung" or ":lesion" for a mask."""

    def __init__(self, settings: PhantomSettings) -> None:
        self.settings = settings

    @property
    def name(self) -> str:
        """Always "phantoms"."""
        return "phantoms"

    @property
    def class_map(self) -> ClassMap:
        """The three default classes."""
        return build_class_map()

    @cached_property
    def plans(self) -> dict[str, PhantomPlan]:
        """What is known about each image before it is drawn, by location."""
        plans = plan_phantoms(self.settings)
        return {f"image-{number:05d}": plan for number, plan in enumerate(plans)}

    def scan(self) -> ScanResult:
        """List the images; nothing is drawn yet."""
        records = tuple(_describe(location, plan) for location, plan in self.plans.items())
        return ScanResult(records, warnings=(PHANTOM_WARNING,))

    def read(self, location: str) -> bytes | NDArray[np.uint8]:
        """Draw one image or mask.

        Args:
            location: Of a record of `scan`.

        Returns:
            Grey levels 0 to 255, (side_px, side_px); bytes for a re-encoded or corrupt image.

        Raises:
            ImageError: There is no such image.
        """
        image, _, mask = location.partition(":")
        plan = self.plans.get(image)
        if plan is None or mask not in {"", "lung", "lesion"}:
            raise ImageError("missing", f"There is no drawn image '{location}'.")
        drawn = _draw_phantom_once(plan, self.settings)
        if mask:
            return drawn.lung_mask if mask == "lung" else drawn.lesion_mask
        if plan.corrupt != "none":
            return corrupt_file(drawn.pixels, plan.corrupt)
        return make_near_duplicate(drawn.pixels, plan.copy)


def _describe(location: str, plan: PhantomPlan) -> ImageRecord:
    return ImageRecord(
        image_id=location,
        location=location,
        class_name=plan.class_name,
        source=plan.source,
        patient_id=plan.patient_id,
        view=plan.view,
        age_years=str(plan.age_years),
        sex=plan.sex,
        lung_mask=f"{location}:lung",
        lesion_mask="" if plan.class_name == "normal" else f"{location}:lesion",
    )


def write_phantom_folder(settings: PhantomSettings, out: Path) -> Path:
    """Write drawn images as people keep real ones: a folder a class, and a table beside them.

    Args:
        settings: Which images.
        out: Gets `CLASS/image-00012.png` (`.jpg` for re-encoded ones), `lungs/`, `lesions/`,
            `manifest.csv` and a `README.txt` that says that they are drawings.

    Returns:
        `out`.

    Raises:
        StorageError: The folder cannot be written.
    """
    source = PhantomSource(settings)
    records = source.scan().records
    drawn = track(records, "Drawing images", total=len(records))
    write_safe_csv(
        out / "manifest.csv", _COLUMNS, (_write_image(source, record, out) for record in drawn)
    )
    write_text(out / "README.txt", PHANTOM_WARNING + "\n")
    return out


_COLUMNS = (
    "file", "class", "patient_id", "source", "view", "age_years", "sex", "lung_mask", "lesion_mask",
)  # fmt: skip


def _write_image(source: PhantomSource, record: ImageRecord, out: Path) -> Iterator[str]:
    content = source.read(record.location)
    suffix = "png"
    if isinstance(content, bytes):
        suffix = "jpg" if content[:2] == b"\xff\xd8" else "png"
    else:
        content = encode_png(content)
    paths = {"file": f"{record.class_name}/{record.image_id}.{suffix}"}
    write_bytes(out / paths["file"], content)
    for column, location in (("lungs", record.lung_mask), ("lesions", record.lesion_mask)):
        paths[column] = f"{column}/{record.image_id}.png" if location else ""
        if location:
            mask = source.read(location)
            if isinstance(mask, bytes):
                raise TypeError("a mask has no file")
            write_bytes(out / paths[column], encode_png(mask))
    yield from (
        paths["file"], record.class_name, record.patient_id, record.source, record.view,
        record.age_years, record.sex, paths["lungs"], paths["lesions"],
    )  # fmt: skip
