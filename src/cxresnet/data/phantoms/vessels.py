"""Branching lines: the vessels of the lungs, and the airways seen in consolidated lung."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cxresnet.data.phantoms.anatomy import Body, Field, Position

__all__ = ["Branches", "draw_branches", "grow_branches"]


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
    """Draw branches into the pixels of a film; 0 to 1, (side_px, side_px)."""
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
