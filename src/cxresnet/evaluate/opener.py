"""Who opens the sealed test: a run, known by its weights, under a config."""

from __future__ import annotations

from cxresnet.core.config.section import Section
from cxresnet.core.files import compute_sha256
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.sealed_test import Opener
from cxresnet.model.checkpoint import find_valid_checkpoint

__all__ = ["compute_network_hash", "describe_opener"]


def describe_opener(run: RunFolder, *, reason: str, config: Section) -> Opener:
    """Say for the ledger which run opens the test, and under which config.

    Args:
        run: Trained.
        reason: Begins with "evaluate" where numbers are made of the films.
        config: The section that is in force.

    Raises:
        CheckpointError: The network is missing or damaged.
    """
    return Opener(
        reason=reason,
        run=run.path.resolve().name,
        network=compute_network_hash(run),
        config=config.compute_hash(),
    )


def compute_network_hash(run: RunFolder) -> str:
    """Compute the SHA-256 of the weights that validation chose.

    Raises:
        CheckpointError: The network is missing or damaged.
    """
    return compute_sha256(find_valid_checkpoint(run.checkpoint) / "weights.safetensors")
