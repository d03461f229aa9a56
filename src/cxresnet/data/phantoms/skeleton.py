"""Bones as X-ray density: ribs, clavicles, spine, shoulder blades."""

from __future__ import annotations

import numpy as np

from cxresnet.data.phantoms.anatomy import Body, Field, soft_step

__all__ = ["draw_ribs_and_clavicles", "draw_spine_and_shoulders"]


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
