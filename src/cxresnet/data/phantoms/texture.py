"""Smooth random fields, drawn on a few knots and brought to full size by cubic B-splines."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=64)
def _build_spline_matrix(side_px: int, knots: int) -> NDArray[np.float32]:
    """Build the weights of uniform cubic B-splines: (side_px, knots + 3), rows add up to 1."""
    position = (np.arange(side_px) + 0.5) / side_px * knots
    cell = np.minimum(position.astype(int), knots - 1)
    t = position - cell
    weights = (
        np.stack(
            [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1
        )
        / 6
    )
    matrix = np.zeros((side_px, knots + 3), dtype=np.float32)
    np.put_along_axis(matrix, cell[:, None] + np.arange(4), weights.astype(np.float32), axis=1)
    return matrix


def enlarge(coefficients: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    """Enlarge a square grid of spline coefficients to (side_px, side_px), smoothly.

    Args:
        coefficients: (knots + 3, knots + 3).
        side_px: Side of the result.
    """
    matrix = _build_spline_matrix(side_px, coefficients.shape[0] - 3)
    return np.asarray(matrix @ coefficients @ matrix.T, dtype=np.float32)


def draw_smooth_noise(
    generator: np.random.Generator, side_px: int, *, knots: int
) -> NDArray[np.float32]:
    """Draw a smooth random field with mean about 0 and standard deviation about 1.

    Args:
        generator: Where the numbers come from.
        side_px: Side of the field.
        knots: Grid cells across the field; a structure is about side_px / knots pixels wide.

    Returns:
        (side_px, side_px).
    """
    coefficients = generator.standard_normal((knots + 3, knots + 3), dtype=np.float32)
    # A B-spline's weights have a mean square of 0.479 an axis: 151 / 315.
    field = enlarge(coefficients, side_px)
    field *= np.float32(315 / 151)
    return field


@lru_cache(maxsize=8)
def _build_linear_matrix(side_px: int, coarse_px: int) -> NDArray[np.float32]:
    position = np.clip((np.arange(side_px) + 0.5) * coarse_px / side_px - 0.5, 0, coarse_px - 1)
    distance = np.abs(position[:, None] - np.arange(coarse_px))
    return np.asarray(np.maximum(1 - distance, 0), dtype=np.float32)


def stretch(field: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    """Stretch a square field to (side_px, side_px), linearly between its pixels' centres."""
    matrix = _build_linear_matrix(side_px, field.shape[0])
    return np.asarray(matrix @ field.astype(np.float32) @ matrix.T, dtype=np.float32)
