"""The body that is drawn: what differs between patients, and where everything is.

Body coordinates: `across` runs from -1 (image left, the patient's right) to 1, `down` from -1
(neck) to 1 (belly). Every length is in these units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """What differs between patients, in body coordinates.

    Attributes:
        chest_half_width: From the spine to the inner chest wall.
        apex_down: Height of the lungs' tips.
        apex_across: Distance of the tips from the spine.
        dome_down: Height of the top of the left and the right dome of the diaphragm, image left
            first (the patient's right dome stands higher).
        dome_rise: Height of a dome over its lateral angle.
        mediastinum: Half width of the mediastinum.
        heart_across: Where the middle of the heart lies, towards image right.
        heart_radius: Half of the heart's longer axis.
        rib_spacing: From one rib to the next.
        rib_slope: How steeply ribs fall off sideways.
        rib_contrast: How dense ribs are, about 0.1.
        clavicle_down: Height of the clavicles' inner ends.
        clavicle_rise: How far their outer ends lie above.
        soft_tissue: Thickness of the chest wall, about 1.
        breast: Density of breast shadows, 0 for none.
        gas: Size of the stomach's gas bubble.
    """

    chest_half_width: float
    apex_down: float
    apex_across: float
    dome_down: tuple[float, float]
    dome_rise: float
    mediastinum: float
    heart_across: float
    heart_radius: float
    rib_spacing: float
    rib_slope: float
    rib_contrast: float
    clavicle_down: float
    clavicle_rise: float
    soft_tissue: float
    breast: float
    gas: float


def draw_anatomy(generator: np.random.Generator, *, sex: str) -> Anatomy:
    """Draw the anatomy of one patient."""
    uniform = generator.uniform
    dome = uniform(0.40, 0.54)
    return Anatomy(
        chest_half_width=uniform(0.70, 0.82),
        apex_down=uniform(-0.86, -0.76),
        apex_across=uniform(0.25, 0.32),
        dome_down=(dome - uniform(0.01, 0.07), dome),
        dome_rise=uniform(0.16, 0.26),
        mediastinum=uniform(0.10, 0.15),
        heart_across=uniform(0.09, 0.16),
        heart_radius=uniform(0.33, 0.44),
        rib_spacing=uniform(0.165, 0.20),
        rib_slope=uniform(0.16, 0.30),
        rib_contrast=uniform(0.08, 0.15),
        clavicle_down=uniform(-0.72, -0.62),
        clavicle_rise=uniform(0.04, 0.16),
        soft_tissue=uniform(0.85, 1.2),
        breast=uniform(0.05, 0.22) if sex == "F" else 0.0,
        gas=uniform(0.0, 0.16),
    )


@dataclass(frozen=True)
class Position:
    """How the patient stands before the image.

    Attributes:
        angle: Rotation in radians; positive turns the body clockwise.
        scale: 1 fills the image.
        shift_across: Of the body, in body units.
        shift_down: The same, downwards.
        breath: How much deeper than usual the patient breathed in, in body units.
        heart_scale: Enlargement of the heart; above 1 in AP views.
    """

    angle: float
    scale: float
    shift_across: float
    shift_down: float
    breath: float
    heart_scale: float


@dataclass(frozen=True, kw_only=True)
class Body:
    """Where every pixel lies in one body; every field is (side_px, side_px).

    Attributes:
        anatomy: Of the patient.
        position: Of the patient before the image.
        across: Body coordinate of each pixel; negative at image left.
        down: The other one.
        lateral: Distance from the spine, the absolute value of `across`.
        outer: Distance of the lung's lateral border from the spine, at each pixel's height.
        inner: Distance of its inner border from the spine.
        floor: Height of the diaphragm, at each pixel's distance from the spine.
        lung: 1 in the lungs, 0 outside, with a soft border.
    """

    anatomy: Anatomy
    position: Position
    across: Field
    down: Field
    lateral: Field
    outer: Field
    inner: Field
    floor: Field
    lung: Field

    @property
    def side_px(self) -> int:
        """Side of the image in pixels."""
        return len(self.across)


def soft_step(distance: NDArray[np.floating[Any]], softness: float) -> Field:
    """Step from 0 (distance below -softness) to 1 (above softness), smooth and without exp."""
    share = np.asarray(distance * np.float32(0.5 / softness), dtype=np.float32)
    share += np.float32(0.5)
    np.clip(share, 0, 1, out=share)
    step: Field = 3 - 2 * share
    step *= share
    step *= share
    return step


def place_body(anatomy: Anatomy, position: Position, side_px: int) -> Body:
    """Compute where every pixel of an image lies in the body."""
    axis = ((np.arange(side_px, dtype=np.float32) + 0.5) / side_px * 2 - 1) / position.scale
    cosine, sine = math.cos(position.angle), math.sin(position.angle)
    row, column = axis[:, None], axis[None, :]
    across = (cosine * column + sine * row - position.shift_across).astype(np.float32)
    down = (cosine * row - sine * column - position.shift_down).astype(np.float32)
    lateral = np.abs(across)
    floor = _compute_floor(anatomy, position, across, lateral)
    outer, inner = _compute_borders(anatomy, down)
    inside = np.minimum(np.minimum(outer - lateral, lateral - inner), floor - down)
    return Body(
        anatomy=anatomy,
        position=position,
        across=across,
        down=down,
        lateral=lateral,
        outer=outer,
        inner=inner,
        floor=floor,
        lung=soft_step(inside, 0.022),
    )


def _compute_floor(anatomy: Anatomy, position: Position, across: Field, lateral: Field) -> Field:
    top_left, top_right = (height + position.breath for height in anatomy.dome_down)
    middle = 0.45 * anatomy.chest_half_width
    bend = (lateral - middle) / (anatomy.chest_half_width - middle)
    top = np.where(across < 0, np.float32(top_left), np.float32(top_right))
    falling = np.where(bend > 0, bend * bend, 0.35 * bend * bend)
    return np.asarray(top + anatomy.dome_rise * falling, dtype=np.float32)


def _compute_borders(anatomy: Anatomy, down: Field) -> tuple[Field, Field]:
    """Compute the lateral and the inner border of the lungs at each height."""
    height = np.clip((down - anatomy.apex_down) / (0.62 - anatomy.apex_down), 0, 1.15)
    above = np.maximum(1 - height, 0)
    square = above * above
    rounding = np.sqrt(np.maximum(1 - square * square * above, 0))  # 0 at the tip, then soon 1
    outer = anatomy.apex_across + (anatomy.chest_half_width - anatomy.apex_across) * rounding
    near_tip = np.clip(1 - height * 7, 0, 1)
    opening = np.sqrt(np.maximum(1 - near_tip * near_tip, 0))
    inner = anatomy.apex_across - (anatomy.apex_across - anatomy.mediastinum) * opening
    outside_tip = down < anatomy.apex_down
    return np.where(outside_tip, np.float32(0), outer), inner
