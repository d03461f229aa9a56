"""`cxresnet verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from cxresnet.cli.options import DatasetArgument
from cxresnet.cli.terminal import say
from cxresnet.core.errors import DatasetError

__all__ = ["verify"]


def verify(
    dataset: DatasetArgument,
    *,
    copies: Annotated[
        bool, typer.Option("--copies", help="Also look for copies anew, trusting no cluster.")
    ] = False,
) -> None:
    """Prove from disk that nothing leaks and nothing was altered."""
    from cxresnet.data.verify import verify_dataset

    verification = verify_dataset(dataset, find_copies_again=copies)
    for proof in verification.proofs:
        say(f"proved: {proof}")
    for problem in verification.problems:
        say(f"BROKEN: {problem}")
    if verification.problems:
        raise DatasetError(
            f"'{dataset}' does not hold: {len(verification.problems)} problems, named above. "
            "Prepare it again with 'cxresnet prepare SOURCE --out DATASET --force'."
        )
