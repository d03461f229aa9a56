"""Soft organs as X-ray density: chest wall, heart, great vessels, diaphragm, haze."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cxresnet.data.phantoms.anatomy import Body, Field, Position, soft_step
from cxresnet.data.phantoms.texture import draw_smooth_noise


def draw_chest_wall(body: Body) -> Field:
    """Draw skin, muscle and the air in the lungs; air around the body is 0."""
    shoulder = np.clip((body.down + 1.02) * np.float32(1 / 0.34), 0, 1)
    neck_to_arm = 0.26 + 0.9 * shoulder * np.sqrt(shoulder)
    flank = body.anatomy.chest_half_width + 0.17 * body.anatomy.soft_tissue
    below_arms = soft_step(body.down + 0.25, 0.35)
    half_width = neck_to_arm + below_arms * (np.minimum(neck_to_arm, flank) - neck_to_arm)
    skin = soft_step(half_width - body.lateral, 0.03)
    bulge = body.lateral / (half_width + 0.25)
    rounding = np.sqrt(np.clip(1.02 - bulge * bulge, 0, 1))
    thickness = skin * rounding * np.float32(body.anatomy.soft_tissue)
    return np.asarray(thickness * (1 - _draw_air(body)), dtype=np.float32)


def _draw_air(body: Body) -> Field:
    """Draw how much of the thickness is air: most in the middle of each lung, none outside."""
    width = np.maximum(body.outer - body.inner, 0.05)
    off_middle = (body.lateral - 0.55 * body.outer - 0.45 * body.inner) / width
    air = body.lung * (0.80 - 0.34 * off_middle * off_middle)
    trachea = soft_step(0.05 - np.abs(body.across + 0.01), 0.02)
    trachea *= soft_step(-0.30 - body.down, 0.06)
    return np.asarray(np.maximum(air, 0.34 * trachea), dtype=np.float32)


def draw_mediastinum(body: Body) -> Field:
    """Draw heart, aorta, and what lies before the spine."""
    anatomy, scale = body.anatomy, body.position.heart_scale
    floor = min(anatomy.dome_down) + body.position.breath
    radius = anatomy.heart_radius * scale
    left = _draw_ellipsoid(
        body,
        centre=(anatomy.heart_across * scale, floor - 0.20),
        radii=(radius, 0.72 * radius),
        turn=0.65,
    )
    right = _draw_ellipsoid(
        body, centre=(-0.06, floor - 0.20), radii=(0.25 * scale, 0.17 * scale), turn=1.5
    )
    knob = _draw_ellipsoid(body, centre=(0.10, -0.38), radii=(0.13, 0.10), turn=0.9)
    trunk = _draw_ellipsoid(body, centre=(0.10, -0.17), radii=(0.16, 0.10), turn=1.2)
    half_width = anatomy.mediastinum + 0.05 * np.clip(body.down + 0.5, -0.4, 0.6)
    column = soft_step(half_width - body.lateral, 0.05)
    vessels = np.maximum(0.42 * knob, 0.34 * trunk)
    heart = np.maximum(left, 0.85 * right)
    return np.asarray(np.maximum(0.82 * heart, vessels) + 0.28 * column, dtype=np.float32)


def _draw_ellipsoid(
    body: Body, *, centre: tuple[float, float], radii: tuple[float, float], turn: float
) -> Field:
    """Draw the thickness of an ellipsoid: 1 in the middle, 0 at the border."""
    across, down = body.across - centre[0], body.down - centre[1]
    cosine, sine = math.cos(turn), math.sin(turn)
    long = (cosine / radii[0]) * across + (sine / radii[0]) * down
    short = (cosine / radii[1]) * down - (sine / radii[1]) * across
    return np.asarray(np.sqrt(np.clip(1 - long * long - short * short, 0, 1)), dtype=np.float32)


def draw_belly(body: Body) -> Field:
    """Draw what lies below the diaphragm: dense, but for the gas in the stomach."""
    deep = np.clip(body.down - body.floor, 0, 0.5)
    belly = soft_step(body.down - body.floor, 0.02) * (0.5 + 0.7 * deep)
    if body.anatomy.gas < 0.05:
        return np.asarray(belly, dtype=np.float32)
    gas = _draw_ellipsoid(
        body,
        centre=(0.36, body.anatomy.dome_down[1] + body.position.breath + 0.14),
        radii=(body.anatomy.gas * 1.3, body.anatomy.gas * 0.75),
        turn=0.2,
    )
    return np.asarray(belly * (1 - 0.6 * np.minimum(gas * 1.6, 1)), dtype=np.float32)


def draw_hila(body: Body) -> Field:
    """Draw the roots of the lungs, where the great vessels enter."""
    across = (body.lateral - 0.2) * np.float32(1 / 0.12)
    down = (body.down + 0.09) * np.float32(1 / 0.2)
    return np.asarray(
        body.lung * (0.13 * np.exp(-(across * across + down * down))), dtype=np.float32
    )


def draw_haze(body: Body, generator: np.random.Generator, *, amount: float) -> Field:
    """Draw what makes healthy lungs differ: folds, breasts, muscle; smooth, without texture.

    Args:
        body: The body.
        generator: Of the image.
        amount: As `PhantomSettings.distraction`.
    """
    fold = draw_smooth_noise(generator, body.side_px, knots=4)
    np.maximum(fold - 0.2, 0, out=fold)
    cloud = draw_smooth_noise(generator, body.side_px, knots=8)
    haze = generator.uniform(0.04, 0.16) * fold + 0.035 * cloud
    if body.anatomy.breast:
        height = (body.down - 0.22) * np.float32(1 / 0.42)
        width = (body.lateral - 0.46) * np.float32(1 / 0.36)
        rest = np.clip(1 - height * height - width * width, 0, 1)
        haze += body.anatomy.breast * np.sqrt(rest) * (1 - 0.35 * rest)
    return np.asarray(amount * haze, dtype=np.float32)


# Bones as X-ray density: ribs, clavicles, spine, shoulder blades.


def _build_rib_profile() -> Field:
    """Build the density across one rib and the gap below it: bright cortex, paler marrow."""
    phase = np.linspace(0, 1, 256, endpoint=False)
    rise = 1 / (1 + np.exp(-(phase - 0.08) / 0.018))
    fall = 1 / (1 + np.exp((phase - 0.46) / 0.018))
    upper = np.exp(-(((phase - 0.10) / 0.035) ** 2))
    lower = np.exp(-(((phase - 0.44) / 0.04) ** 2))
    return np.asarray(0.7 * rise * fall + 0.45 * upper + 0.55 * lower, dtype=np.float32)


_RIB_PROFILE = _build_rib_profile()


def draw_ribs_and_clavicles(body: Body) -> Field:
    """Draw the fine bones, which want every pixel."""
    return _draw_ribs(body) + _draw_clavicles(body)


def draw_spine_and_shoulders(body: Body) -> Field:
    """Draw the coarse bones."""
    return _draw_spine(body) + _draw_blades(body)


def _draw_ribs(body: Body) -> Field:
    """Draw the ribs' rear halves, falling sideways, and fainter their front halves."""
    anatomy = body.anatomy
    reach = body.lateral * np.float32(1 / anatomy.chest_half_width)
    squared = reach * reach
    cage = soft_step(body.outer + 0.035 - body.lateral, 0.02)
    cage *= soft_step(0.80 - body.down, 0.1)
    rear_line = body.down - anatomy.rib_slope * (2.2 * squared - 0.5) * reach
    rear = _draw_rib_set(rear_line - anatomy.apex_down, anatomy.rib_spacing)
    front_line = body.down + anatomy.rib_slope * (1.5 - 0.5 * reach) * reach
    front = _draw_rib_set(front_line - anatomy.apex_down + 0.3, anatomy.rib_spacing * 1.12)
    front *= soft_step(body.lateral - 0.42, 0.12)  # nearer the middle they are cartilage
    rear *= 1 + 0.9 * soft_step(reach - 0.9, 0.12)  # seen edge on, ribs are denser
    rear += 0.55 * front
    rear *= anatomy.rib_contrast
    return rear * cage


def _draw_rib_set(height: Field, spacing: float) -> Field:
    phase = height * np.float32(256 / spacing)
    return np.asarray(_RIB_PROFILE[phase.astype(np.int32) & 255], dtype=np.float32)


def _draw_clavicles(body: Body) -> Field:
    anatomy = body.anatomy
    reach = np.clip((body.lateral - 0.09) * np.float32(1 / 0.8), 0, 1)
    wave = 0.2 * reach * (1 - reach) * (1 - 2 * reach)
    middle = anatomy.clavicle_down - anatomy.clavicle_rise * reach + wave
    thickness = 0.034 + 0.016 * np.abs(2 * reach - 1)
    depth = thickness - np.abs(body.down - middle)
    bone = soft_step(depth, 0.012)
    cortex = soft_step(0.014 - np.abs(depth - 0.012), 0.012)
    ends = soft_step(body.lateral - 0.085, 0.02) * soft_step(0.93 - body.lateral, 0.03)
    return np.asarray((0.18 * bone + 0.10 * cortex) * ends, dtype=np.float32)


def _draw_spine(body: Body) -> Field:
    """Draw vertebrae: dense, waisted, with paler discs between and a spinous process each."""
    phase = np.abs(np.mod(body.down * np.float32(1 / 0.125), 1) - np.float32(0.5))
    column = soft_step(0.078 + 0.07 * phase * phase - np.abs(body.across), 0.02)
    disc = soft_step(phase - 0.40, 0.06)
    process = soft_step(0.016 - np.abs(body.across), 0.012) * soft_step(0.25 - phase, 0.1)
    return np.asarray(column * (0.20 - 0.09 * disc) + 0.08 * process, dtype=np.float32)


def _draw_blades(body: Body) -> Field:
    """Draw the shoulder blades' inner rims and the heads of the upper arms."""
    height = body.down + 0.45
    rim = 0.685 + (0.22 * height - 0.10) * height
    inside = soft_step(body.lateral - rim, 0.025)
    edge = soft_step(0.02 - np.abs(body.lateral - rim - 0.012), 0.02)
    tall = soft_step(body.down + 0.80, 0.06) * soft_step(-0.12 - body.down, 0.12)
    across, down = body.lateral - 0.99, body.down + 0.72
    head = np.sqrt(np.clip(1 - (across * across + down * down) * np.float32(1 / 0.026), 0, 1))
    return np.asarray(tall * (0.07 * inside + 0.05 * edge) + 0.22 * head, dtype=np.float32)


# Branching lines: the vessels of the lungs, and the airways seen in consolidated lung.


@dataclass(frozen=True)
class Branches:
    """Bent lines in body coordinates, thickest first.

    Attributes:
        points: (n, 3, 2): across and down of the start, the bend and the end.
        widths: (n,) in body units.
        densities: (n,) from 0 to 1.
    """

    points: NDArray[np.float64]
    widths: NDArray[np.float64]
    densities: NDArray[np.float64]


def grow_branches(
    generator: np.random.Generator, *, per_hilum: int = 9, levels: int = 4
) -> Branches:
    """Grow the vessels of both lungs out of their hila, thinner and paler at every fork."""
    hila = np.array([[-0.19, -0.08], [0.19, -0.12]])
    starts = np.repeat(hila, per_hilum, axis=0) + generator.normal(0, 0.04, (2 * per_hilum, 2))
    fan = np.linspace(-1.4, 1.5, per_hilum)
    angles = np.concatenate([np.pi - fan, fan]) + generator.normal(0, 0.14, 2 * per_hilum)
    points, widths, densities = [], [], []
    width, length = 0.026, 0.20
    for level in range(levels):
        count = len(starts)
        step = length * generator.uniform(0.6, 1.35, count)[:, None]
        bends = starts + 0.5 * step * _unit(angles)
        angles = angles + generator.normal(0, 0.30, count)
        stops = bends + 0.5 * step * _unit(angles)
        points.append(np.stack([starts, bends, stops], axis=1))
        widths.append(np.full(count, width))
        densities.append(0.82**level * generator.uniform(0.6, 1, count))
        fork = generator.uniform(0.15, 0.55, (2, count))
        starts = np.repeat(stops, 2, axis=0)
        angles = np.stack([angles + fork[0], angles - fork[1]], axis=1).ravel()
        width, length = width * 0.68, length * 0.88
    return Branches(np.vstack(points), np.concatenate(widths), np.concatenate(densities))


def _unit(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def draw_branches(branches: Branches, body: Body, *, oversampling: int = 2) -> Field:
    """Draw branches into the pixels of an image; 0 to 1, (side_px, side_px)."""
    side_px = body.side_px * oversampling
    lines = _to_pixels(branches.points.reshape(-1, 2), body.position, side_px).reshape(-1, 6)
    widths = branches.widths * body.position.scale * side_px / 2
    # A line thinner than a pixel is drawn one pixel wide, but paler.
    greys = np.minimum(widths, 1) * branches.densities * 255
    image = Image.new("L", (side_px, side_px))
    draw = ImageDraw.Draw(image)
    order = np.argsort(greys, kind="stable")  # the palest first, so that the great ones stand out
    for line, width, grey in zip(
        lines[order].tolist(),
        np.maximum(np.rint(widths[order]), 1).astype(int).tolist(),
        greys[order].astype(int).tolist(),
        strict=True,
    ):
        draw.line(line, fill=grey, width=width)
    return np.asarray(image.reduce(oversampling), dtype=np.float32) * np.float32(1 / 255)


def _to_pixels(
    points: NDArray[np.float64], position: Position, side_px: int
) -> NDArray[np.float64]:
    """Bring body coordinates to pixels: the way back of `place_body`."""
    moved = points + np.array([position.shift_across, position.shift_down])
    cosine, sine = math.cos(position.angle), math.sin(position.angle)
    column = cosine * moved[:, 0] - sine * moved[:, 1]
    row = sine * moved[:, 0] + cosine * moved[:, 1]
    return (np.stack([column, row], axis=1) * position.scale + 1) * (side_px / 2)
