"""The network that comes with the package, so that `cxresnet predict` works after the install.

`reference/` is a run folder with what is needed to answer and no more: the network, how its answers
were calibrated, and its model card. `scripts/ship-reference` makes it.
"""

from __future__ import annotations

from pathlib import Path

from cxresnet.core.run_folder import RunFolder

__all__ = ["REFERENCE_RUN", "read_reference_headline"]

REFERENCE_RUN = RunFolder(Path(__file__).parent / "reference")
"""The shipped run."""

_CARD = "MODEL_CARD.md"


def read_reference_headline() -> str:
    """Read what stands first on the model card: the verdict on the network, one paragraph."""
    text = (REFERENCE_RUN.path / _CARD).read_text(encoding="utf-8")
    first = next(part for part in text.split("\n\n") if not part.startswith("#"))
    return " ".join(first.replace("**", "").split())
