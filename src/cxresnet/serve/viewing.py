"""The image for the screen: more pixels than the network gets, cut and turned in the same way."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxresnet.api.classifier import Model
from cxresnet.data.decode.decoder import decode_image
from cxresnet.data.prepare.preprocessing import Preprocessing, prepare_image
from cxresnet.predict.image_gate import admit

VIEW_SIDE_PX = 640
"""Side of the view: two steps of a phone's or a desktop's zoom."""


def draw_view(model: Model, content: bytes) -> tuple[NDArray[np.uint8], float]:
    """Draw the view of an image, which lies exactly behind its maps.

    Cropped, or squashed, and turned back as for the network; without its other steps, which
    even out contrast.

    Returns:
        (side, side), 0 to 255; and width over height at which it has its true proportions.

    Raises:
        ImageError: The image cannot be used.
    """
    preprocessing = _choose_preprocessing(model.predictor.preprocessing)
    decoded = decode_image(
        content,
        limits=model.predictor.limits,
        min_side_px=preprocessing.min_side_px,
        any_body_part=model.predictor.any_body_part,
    )
    pixels = decoded.pixels
    if model.gate and model.fix:
        pixels = admit(pixels, colour=decoded.colour, fix=True).pixels
    height, width = pixels.shape
    aspect = width / height if preprocessing.resize_mode == "squash" else 1.0
    return prepare_image(pixels, preprocessing), aspect


def _choose_preprocessing(network: Preprocessing) -> Preprocessing:
    return network.model_copy(
        update={
            "side_px": max(VIEW_SIDE_PX, network.side_px),
            "common_side_px": max(VIEW_SIDE_PX, network.side_px),
            "equalisation_clip_limit": 1.0,
            "spectrum_strength": 0.0,
        }
    )


def encode_png(pixels: NDArray[np.uint8]) -> str:
    """Encode a picture as PNG, in base64."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return encode_bytes(stream.getvalue())


def encode_floats(values: NDArray[np.float32]) -> str:
    """Encode numbers, row by row, as float32 in little-endian order, in base64."""
    return encode_bytes(np.ascontiguousarray(values, dtype="<f4").tobytes())


def encode_bytes(content: bytes) -> str:
    """Encode bytes in base64."""
    return base64.b64encode(content).decode("ascii")
