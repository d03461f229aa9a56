"""Lesions: one dense focus (pneumonia), or faint patches on both sides (covid-19).

Radiology is simplified on purpose: the drawings give the network something to find and a ground
truth for the heat maps; they do not show how a disease looks.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxresnet.data.phantoms.anatomy import Body, Field, soft_step
from cxresnet.data.phantoms.plan import CorruptKind, NearDuplicateKind
from cxresnet.data.phantoms.texture import draw_smooth_noise

# Height within the lung, from 0 (tip) to 1 (diaphragm), by side: the left lung has no middle lobe.
_LOBES: tuple[tuple[int, float, float], ...] = (
    (-1, 0.22, 0.38),
    (-1, 0.52, 0.62),
    (-1, 0.70, 0.86),
    (1, 0.22, 0.42),
    (1, 0.62, 0.84),
)


@dataclass(frozen=True)
class Lesion:
    """What illness adds to one image; every field is (side_px, side_px).

    Attributes:
        opacity: 0 to 1, how much of the air is replaced.
        density: What is added to the X-ray density.
        hidden: 0 to 1, how much of the vessels cannot be told any more.
        airways: 0 to 1, where airways are seen as dark lines.
    """

    opacity: Field
    density: Field
    hidden: Field
    airways: Field


def draw_lesion(
    body: Body,
    class_name: str,
    *,
    patient_generator: np.random.Generator,
    image_generator: np.random.Generator,
    contrast: float,
) -> Lesion:
    """Draw what the illness of a class adds to a healthy lung.

    Args:
        body: The body.
        class_name: "normal", "pneumonia" or "covid-19".
        patient_generator: Which lobes are ill: the same in every image of the patient.
        image_generator: Shape and size: different in every image.
        contrast: As `PhantomSettings.lesion_contrast`.
    """
    if class_name == "pneumonia":
        return _draw_consolidation(body, patient_generator, image_generator, contrast)
    if class_name == "covid-19":
        return _draw_ground_glass(body, patient_generator, image_generator, contrast)
    nothing = np.zeros_like(body.lung)
    return Lesion(nothing, nothing, nothing, nothing)


def _place(body: Body, side: int, height: float, depth: float) -> tuple[float, float]:
    """Find a point in a lung: height 0 (tip) to 1 (floor), depth 0 (inner) to 1 (outer)."""
    anatomy = body.anatomy
    floor = anatomy.dome_down[0 if side < 0 else 1] + body.position.breath
    down = anatomy.apex_down + height * (floor - anatomy.apex_down)
    above = max(1 - (down - anatomy.apex_down) / (0.62 - anatomy.apex_down), 0)
    outer = anatomy.apex_across + (anatomy.chest_half_width - anatomy.apex_across) * np.sqrt(
        max(1 - above**5, 0)
    )
    inner = 0.2 if height < 0.6 else (0.2 if side < 0 else 0.34)
    return side * (inner + depth * (outer - inner)), down


def _draw_blob(body: Body, centre: tuple[float, float], radii: tuple[float, float]) -> Field:
    """Draw the signed distance from an ellipse, in radii: 1 in the middle, 0 at the border."""
    across = (body.across - centre[0]) * np.float32(1 / radii[0])
    down = (body.down - centre[1]) * np.float32(1 / radii[1])
    return np.asarray(1 - np.sqrt(across * across + down * down), dtype=np.float32)


def _draw_consolidation(
    body: Body,
    patient_generator: np.random.Generator,
    image_generator: np.random.Generator,
    contrast: float,
) -> Lesion:
    side, low, high = _LOBES[patient_generator.integers(len(_LOBES))]
    centre = _place(
        body, side, patient_generator.uniform(low, high), patient_generator.uniform(0.3, 0.7)
    )
    size = image_generator.uniform(0.16, 0.26)
    blob = _draw_blob(body, centre, (size, size * image_generator.uniform(0.75, 1.2)))
    ragged = 0.30 * draw_smooth_noise(image_generator, body.side_px, knots=10)
    ragged += 0.16 * draw_smooth_noise(image_generator, body.side_px, knots=26)
    opacity = soft_step(blob + ragged, 0.30) * body.lung * (body.across * side > 0)
    patchy = 1 + 0.35 * draw_smooth_noise(image_generator, body.side_px, knots=34)
    strength = contrast * image_generator.uniform(0.27, 0.42)
    return Lesion(opacity, strength * opacity * patchy, opacity, opacity)


def _draw_ground_glass(
    body: Body,
    patient_generator: np.random.Generator,
    image_generator: np.random.Generator,
    contrast: float,
) -> Lesion:
    patches = np.full_like(body.lung, -1)
    for side in (-1, 1):
        for _ in range(int(patient_generator.integers(2, 5))):
            centre = _place(
                body,
                side,
                patient_generator.uniform(0.5, 0.95),
                patient_generator.uniform(0.72, 1.0),
            )
            size = image_generator.uniform(0.11, 0.205)
            radii = (size, size * image_generator.uniform(0.9, 1.5))
            np.maximum(patches, _draw_blob(body, centre, radii), out=patches)
    ragged = 0.25 * draw_smooth_noise(image_generator, body.side_px, knots=12)
    opacity = soft_step(patches + ragged, 0.40) * body.lung
    net = np.abs(draw_smooth_noise(image_generator, body.side_px, knots=36))
    grain = draw_smooth_noise(image_generator, body.side_px, knots=56)
    texture = np.maximum(1.9 - 1.2 * net + 0.4 * grain, 0.1)  # bright meshes around dim cells
    strength = contrast * image_generator.uniform(0.125, 0.20)
    nothing = np.zeros_like(opacity)
    return Lesion(opacity, strength * opacity * texture, 0.35 * opacity, nothing)


# Faults planted on purpose: near-duplicates, unreadable files; shortcuts are in `shortcuts.py`.


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode grey levels as PNG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def make_near_duplicate(
    pixels: NDArray[np.uint8], kind: NearDuplicateKind
) -> bytes | NDArray[np.uint8]:
    """Make a near duplicate: the same image, saved again, smaller, or brighter."""
    if kind == "re-encoded":
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=60)
        return stream.getvalue()
    if kind == "resized":
        side_px = round(pixels.shape[0] * 0.8)
        return np.asarray(Image.fromarray(pixels).resize((side_px, side_px)))
    if kind == "brightened":
        return np.asarray(np.clip(pixels * 1.08, 0, 255), dtype=np.uint8)
    return pixels


def corrupt_file(pixels: NDArray[np.uint8], kind: CorruptKind) -> bytes:
    """Make a file that cannot be read: cut off half way, empty, or not an image at all."""
    if kind == "truncated":
        content = encode_png(pixels)
        return content[: len(content) // 2]
    return b"" if kind == "empty" else b"This is a text, not an image.\n"
