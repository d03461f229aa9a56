"""From an explanation to the answer that the page draws."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

from cxresnet.api.classifier import Model
from cxresnet.api.explanation import Explanation
from cxresnet.api.image_cards import build_image_card, find_neighbours
from cxresnet.core.config import ExplainConfig
from cxresnet.explain.neighbours import Gallery
from cxresnet.explain.record import MethodRecord
from cxresnet.report.image_card import render_image_card
from cxresnet.serve.answers import ExplainAnswer, MapAnswer, describe_prediction
from cxresnet.serve.viewing import draw_view, encode_bytes, encode_floats, encode_png

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
        view, aspect = draw_view(self.model, content)
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
