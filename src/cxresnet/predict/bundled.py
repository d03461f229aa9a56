"""The network that comes with the package, so that `cxresnet predict` works after installation.

`bundled_network/` is a run folder with what is needed to predict and explain, and no more: the
weights, the decision that belongs to them (`evaluate/decision.json`), fingerprints and statistics
of the training images (`evaluate/training_images/`), the sanity card of their maps
(`explain/sanity_card.json`) and the model card. `scripts/ship-network` makes it.
"""

from __future__ import annotations

from pathlib import Path

from cxresnet.core.run_folder import RunFolder

BUNDLED_RUN = RunFolder(Path(__file__).parent / "bundled_network")
"""The run folder of the bundled network."""

_CARD = "MODEL_CARD.md"


def read_bundled_headline() -> str:
    """Read the first paragraph of the model card: the verdict on the training data."""
    text = (BUNDLED_RUN.path / _CARD).read_text(encoding="utf-8")
    first = next(part for part in text.split("\n\n") if not part.startswith("#"))
    return " ".join(first.replace("**", "").split())
