"""A failed card is marked on the maps; a card that is not made again is taken away."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from cxresnet.core.errors import RunFolderError
from cxresnet.explain.record import Attributions
from cxresnet.explain.trust.markdown import MARKDOWN_NAME
from cxresnet.explain.trust.record import CARD_NAME, TrustCard, read_trust_card
from cxresnet.predict import Predictor

__all__ = ["find_card", "hash_network", "mark_distrusted", "remove_card"]


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


def hash_network(predictor: Predictor) -> str:
    """Compute the SHA-256 over the weights of a network."""
    digest = hashlib.sha256()
    for name, tensor in sorted(predictor.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
    return digest.hexdigest()


def find_card(folder: Path, predictor: Predictor) -> TrustCard | None:
    """Find the card in a folder if it is one of this very network."""
    try:
        card = read_trust_card(folder)
    except RunFolderError:
        return None
    return card if card.network == hash_network(predictor) else None


def remove_card(folder: Path) -> None:
    """Take an old card away: maps that are made without one may be of another network."""
    for name in (CARD_NAME, MARKDOWN_NAME):
        (folder / name).unlink(missing_ok=True)
