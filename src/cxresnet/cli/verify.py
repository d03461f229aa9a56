"""`cxresnet verify`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.terminal import say
from cxresnet.core.errors import DatasetError
from cxresnet.core.run_folder import RunFolder

if TYPE_CHECKING:
    from cxresnet.data.dataset.verify import Verification


@command(order=30, examples=("verify data/mine", "verify runs/mine --recheck-duplicates"))
def verify(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET|RUN",
            help="A prepared dataset; or a run, which is verified with its dataset.",
            show_default=False,
        ),
    ],
    *,
    recheck_duplicates: Annotated[
        bool,
        typer.Option(
            "--recheck-duplicates", help="Also search for near-duplicates again (takes longer)."
        ),
    ] = False,
    record_checksums: Annotated[
        bool,
        typer.Option(
            "--record-checksums",
            help="Record the missing checksums of files that an earlier version wrote, if nothing "
            "else is wrong.",
        ),
    ] = False,
) -> None:
    """Check that no patient or near-duplicate is in two splits and no file was altered."""
    from cxresnet.data.dataset.verify import verify_dataset

    is_run = RunFolder(folder).mark.is_file()
    if is_run:
        from cxresnet.evaluate.checks import verify_run

        check: Callable[..., Verification] = partial(verify_run, RunFolder(folder))
    else:
        check = partial(verify_dataset, folder)
    verification = check(
        recheck_near_duplicates=recheck_duplicates, record_missing=record_checksums
    )
    _show(verification, folder, is_run=is_run)


def _show(verification: Verification, folder: Path, *, is_run: bool) -> None:
    for proof in verification.proofs:
        say(f"verified: {proof}")
    for problem in verification.problems:
        say(f"PROBLEM: {problem}")
    if verification.problems:
        way_out = (
            "Each problem names the command to run again."
            if is_run
            else "Prepare it again with 'cxresnet prepare SOURCE --out DATASET --force'."
        )
        raise DatasetError(
            f"'{folder}' failed verification: {len(verification.problems)} problems, see above. "
            f"{way_out}"
        )
