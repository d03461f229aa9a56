"""A failed card is marked on the maps; a card that is not made again is taken away."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cxresnet.explain.record import Attributions
from cxresnet.explain.trust.markdown import MARKDOWN_NAME
from cxresnet.explain.trust.record import CARD_NAME, TrustCard

__all__ = ["mark_distrusted", "remove_card"]


def mark_distrusted(attributions: Attributions, card: TrustCard | None) -> Attributions:
    """Mark the methods that failed, so that it is drawn across their maps.

    Args:
        attributions: Stay as they are.
        card: None where nobody asked: then nothing is marked.
    """
    methods = tuple(
        method.model_copy(
            update={"distrusted": card is not None and card.is_distrusted(method.name)}
        )
        for method in attributions.index.methods
    )
    index = attributions.index.model_copy(update={"methods": methods})
    return dataclasses.replace(attributions, index=index)


def remove_card(folder: Path) -> None:
    """Take an old card away: maps that are made without one may be of another network."""
    for name in (CARD_NAME, MARKDOWN_NAME):
        (folder / name).unlink(missing_ok=True)
