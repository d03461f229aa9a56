"""Soft organs as X-ray density: chest wall, heart, great vessels, diaphragm, haze."""

from __future__ import annotations

import math

import numpy as np

from cxresnet.data.phantoms.anatomy import Body, Field, soft_step
from cxresnet.data.phantoms.smooth_noise import draw_smooth_noise

__all__ = ["draw_belly", "draw_chest_wall", "draw_haze", "draw_hila", "draw_mediastinum"]


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
        generator: Of the film.
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
