"""`cxresnet verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.options import DatasetArgument
from cxresnet.cli.terminal import say
from cxresnet.core.errors import DatasetError


@command(order=30)
def verify(
    dataset: DatasetArgument,
    *,
    recheck_duplicates: Annotated[
        bool,
        typer.Option(
            "--recheck-duplicates", help="Also search for near-duplicates again (takes longer)."
        ),
    ] = False,
) -> None:
    """Check that no patient or near-duplicate is in two splits and no file was altered."""
    from cxresnet.data.dataset.verify import verify_dataset

    verification = verify_dataset(dataset, recheck_near_duplicates=recheck_duplicates)
    for proof in verification.proofs:
        say(f"verified: {proof}")
    for problem in verification.problems:
        say(f"PROBLEM: {problem}")
    if verification.problems:
        raise DatasetError(
            f"'{dataset}' failed verification: {len(verification.problems)} problems, see above. "
            "Prepare it again with 'cxresnet prepare SOURCE --out DATASET --force'."
        )
