"""Drawn chest X-rays (phantoms) to try the page with: they show no person."""

from __future__ import annotations

import functools

from cxresnet.data.phantoms.draw import draw_phantom
from cxresnet.data.phantoms.lesions import encode_png
from cxresnet.data.phantoms.plan import PhantomPlan, PhantomSettings, plan_phantoms

_SETTINGS = PhantomSettings(images_per_class=1, side_px=512, seed=7)


def list_examples() -> tuple[str, ...]:
    """List the names of the examples, those of the classes that they were drawn for."""
    return tuple(sorted(_plan()))


@functools.cache
def draw_example(name: str) -> bytes:
    """Draw an example as PNG, once; `name` is one of `list_examples`."""
    return encode_png(draw_phantom(_plan()[name], _SETTINGS).pixels)


@functools.cache
def _plan() -> dict[str, PhantomPlan]:
    return {plan.class_name: plan for plan in plan_phantoms(_SETTINGS)}
