"""One image from its plan: density of the body, exposure, scatter, noise, and its ground truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.seeding import build_generator
from cxresnet.data.phantoms.anatomy import Anatomy, Body, Field, Position, draw_anatomy, place_body
from cxresnet.data.phantoms.lesions import Lesion, draw_lesion
from cxresnet.data.phantoms.organs import (
    Branches,
    draw_belly,
    draw_branches,
    draw_chest_wall,
    draw_haze,
    draw_hila,
    draw_mediastinum,
    draw_ribs_and_clavicles,
    draw_spine_and_shoulders,
    grow_branches,
)
from cxresnet.data.phantoms.plan import PhantomPlan, PhantomSettings
from cxresnet.data.phantoms.shortcuts import draw_shortcut
from cxresnet.data.phantoms.texture import draw_smooth_noise, enlarge, stretch


@dataclass(frozen=True)
class PhantomImage:
    """A drawn image and the truth about it; every array is (side_px, side_px), uint8.

    Attributes:
        pixels: Grey levels, 0 to 255.
        lung_mask: 255 in the lungs, 0 outside.
        lesion_mask: 255 where the image was made ill, 0 elsewhere; always inside the lungs.
    """

    pixels: NDArray[np.uint8]
    lung_mask: NDArray[np.uint8]
    lesion_mask: NDArray[np.uint8]


def draw_phantom(plan: PhantomPlan, settings: PhantomSettings) -> PhantomImage:
    """Draw one image. The same plan and settings give the same image, byte by byte."""
    image_generator = build_generator(settings.seed, "phantom", "film", plan.image_number)
    patient_generator = build_generator(settings.seed, "phantom", "lesion", plan.patient_number)
    anatomy, branches = _draw_patient(settings.seed, plan.patient_number, plan.sex)
    position = _draw_position(image_generator, plan.view, settings.distraction)
    body = place_body(anatomy, position, settings.side_px)
    lesion = draw_lesion(
        body,
        plan.class_name,
        patient_generator=patient_generator,
        image_generator=image_generator,
        contrast=settings.lesion_contrast,
    )
    density = _draw_density(body, branches, lesion, image_generator, settings.distraction)
    grey = _expose(density, image_generator, settings, plan.source_number)
    if plan.has_shortcut:
        grey = draw_shortcut(grey, settings.shortcut, letters=plan.letters)
    lung_mask = body.lung > 0.5
    lesion_mask = lung_mask & (lesion.opacity > 0.4)
    return PhantomImage(
        pixels=np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8),
        lung_mask=lung_mask.astype(np.uint8) * 255,
        lesion_mask=lesion_mask.astype(np.uint8) * 255,
    )


@lru_cache(maxsize=64)
def _draw_patient(seed: int, patient_number: int, sex: str) -> tuple[Anatomy, Branches]:
    generator = build_generator(seed, "phantom", "anatomy", patient_number)
    return draw_anatomy(generator, sex=sex), grow_branches(generator)


def _draw_position(image_generator: np.random.Generator, view: str, distraction: float) -> Position:
    return Position(
        angle=distraction * image_generator.normal(0, 0.03),
        scale=image_generator.uniform(0.92, 1.08),
        shift_across=distraction * image_generator.normal(0, 0.025),
        shift_down=0.06 + distraction * image_generator.normal(0, 0.03),
        breath=image_generator.uniform(-0.05, 0.05),
        heart_scale=image_generator.uniform(0.96, 1.04) * (1.14 if view == "AP" else 1.0),
    )


def _draw_density(
    body: Body,
    branches: Branches,
    lesion: Lesion,
    image_generator: np.random.Generator,
    distraction: float,
) -> Field:
    """Add up what lies in the way of the rays; the smooth parts at half the resolution."""
    coarse = place_body(body.anatomy, body.position, (body.side_px + 1) // 2)
    wall = draw_chest_wall(coarse)
    inside = np.minimum(wall * 4, 1)  # nothing is drawn on the air around the body
    soft = draw_mediastinum(coarse) + draw_belly(coarse) + draw_spine_and_shoulders(coarse)
    soft += draw_haze(coarse, image_generator, amount=distraction) + draw_hila(coarse)
    density = stretch(wall + inside * soft, body.side_px)
    vessels = draw_branches(branches, body)
    density += draw_ribs_and_clavicles(body) * np.minimum(density * 4, 1)
    density += 0.24 * body.lung * vessels * (1 - lesion.hidden)
    density += lesion.density - 0.26 * lesion.airways * _draw_airways(vessels)
    density += 0.015 * body.lung * draw_smooth_noise(image_generator, body.side_px, knots=48)
    return density


def _draw_airways(vessels: Field) -> Field:
    """Airways run beside the vessels: the same tree, moved a little."""
    shift = max(vessels.shape[0] // 60, 1)
    return np.roll(vessels, (shift, shift), axis=(0, 1))


def _expose(
    density: Field,
    image_generator: np.random.Generator,
    settings: PhantomSettings,
    source_number: int,
) -> Field:
    """Turn density into grey as an image does: dense is bright; add scatter, blur and noise."""
    tone = build_generator(settings.seed, "phantom", "source", source_number)
    gamma, black, white = tone.uniform(0.8, 1.25), tone.uniform(0, 0.06), tone.uniform(0.86, 1)
    blur_px = tone.uniform(0.3, 0.9) * settings.side_px / 224
    noise = tone.uniform(0.008, 0.02)
    spread = settings.distraction
    exposure = 1.05 * math.exp(spread * image_generator.normal(0, 0.12))
    grey = 1 - np.exp(-exposure * np.maximum(density, 0))
    grey = 0.88 * grey + 0.12 * _scatter(grey)
    if blur_px > 0.35:
        from scipy import ndimage  # noqa: PLC0415  slow to import, and not needed to say what is wrong

        grey = ndimage.gaussian_filter(grey, blur_px, mode="nearest", truncate=2.5)
    grey += np.float32(noise) * image_generator.standard_normal(grey.shape, dtype=np.float32)
    grey = np.clip(grey, 0, 1) ** np.float32(
        gamma * math.exp(spread * image_generator.normal(0, 0.08))
    )
    return np.asarray(black + (white - black) * grey, dtype=np.float32)


def _scatter(grey: Field) -> Field:
    """Blur widely: mean over an 11 x 11 grid, smoothly enlarged."""
    side_px, knots = grey.shape[0], 8
    edges = np.linspace(0, side_px, knots + 4).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(grey, edges, axis=0), edges, axis=1)
    sizes = np.diff(np.append(edges, side_px))
    return enlarge((sums / np.outer(sizes, sizes)).astype(np.float32), side_px)
