"""From an explanation to the answer that the page draws, and the image that it shows behind it."""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxresnet.api.classifier import Model
from cxresnet.api.explanation import Explanation
from cxresnet.api.image_cards import build_image_card, find_neighbours
from cxresnet.core.config import ExplainConfig
from cxresnet.core.errors import ImageError
from cxresnet.data.decode.decoder import decode_image
from cxresnet.data.prepare.preprocessing import Preprocessing, prepare_image
from cxresnet.explain.neighbours import Gallery
from cxresnet.explain.record import MethodRecord
from cxresnet.predict.image_gate import admit
from cxresnet.report.image_card import render_image_card
from cxresnet.serve.answers import ExplainAnswer, MapAnswer, describe_prediction

VIEW_SIDE_PX = 640
"""Side of the view: two steps of a phone's or a desktop's zoom."""

_SHOWN_DIGITS = 12


@dataclass(frozen=True, eq=False)
class Explainer:
    """Describes explanations.

    Attributes:
        model: The network.
        gallery: Its training images; None where they are not there.
    """

    model: Model
    gallery: Gallery | None

    def describe(
        self,
        explanation: Explanation,
        content: bytes,
        *,
        config: ExplainConfig,
        with_cards: bool,
        request_id: str,
    ) -> ExplainAnswer:
        """Describe an explanation, with everything that the page shows.

        The image is called by its bytes, never by a file name, which may name a person.
        """
        found = find_neighbours(self.model, explanation, self.gallery, count=config.neighbours)
        image_sha256 = hashlib.sha256(content).hexdigest()
        card = build_image_card(
            self.model,
            explanation,
            content=image_sha256,
            file=f"Image {image_sha256[:_SHOWN_DIGITS]}",
            neighbours=None if found is None else found[0],
        )
        attributions, methods = explanation.attributions, explanation.attributions.index.methods
        view, aspect = self._draw_view(explanation, content)
        return ExplainAnswer(
            request_id=request_id,
            image=describe_prediction(explanation.prediction, image_sha256=image_sha256),
            card=card,
            side_px=explanation.image.shape[-1],
            image_png=encode_png(explanation.image),
            view_png=encode_png(view),
            view_aspect=aspect,
            lung_mask_png=encode_png(attributions.lung_masks[0]),
            lung_area_share=explanation.lung_area_share,
            maps=tuple(_describe_map(explanation, method) for method in methods),
            neighbour_pngs=() if found is None else tuple(map(encode_png, found[1])),
            card_html=render_image_card(card, attributions) if with_cards else None,
            card_png=_draw_card(explanation) if with_cards else None,
        )

    def _draw_view(
        self, explanation: Explanation, content: bytes
    ) -> tuple[NDArray[np.uint8], float]:
        try:
            return draw_view(self.model, content)
        except ImageError:  # as where only a few pixels are not of one grey
            return explanation.image, 1.0


def _describe_map(explanation: Explanation, method: MethodRecord) -> MapAnswer:
    attributions, explained = explanation.attributions, explanation.attributions.index.images[0]
    ranges = attributions.baseline_ranges.get(method.name)
    drawn = attributions.compute_drawn(method, 0)
    return MapAnswer(
        method=method.name,
        title=method.title,
        values=encode_floats(attributions.maps[method.name][0]),
        drawn=None if method.drawn_patch_px is None else encode_floats(drawn),
        baseline_range=None if ranges is None else encode_floats(ranges[0]),
        caption=method.describe_value(explained.explained_class),
        interpretation=method.interpretation,
        unit=method.unit,
        drawn_unit=method.drawn_unit,
        scale_limit=attributions.get_scale_limit(method),
        weakness=attributions.describe_weakness(method, 0),
        stretched_limit=attributions.compute_stretched_limit(method, 0),
        failed_sanity=method.failed_sanity,
        lung_share=explained.lung_shares.get(method.name),
    )


def _draw_card(explanation: Explanation) -> str:
    stream = io.BytesIO()
    explanation.draw_figure().save(stream, "PNG")
    return encode_bytes(stream.getvalue())


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
