"""`cxresnet lungs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxresnet.cli.predict import list_files
from cxresnet.cli.terminal import say, say_wrote
from cxresnet.core.progress import track

__all__ = ["lungs"]


def lungs(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Films, or folders of films.")
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for masks and contours.")],
) -> None:
    """Find the lungs on films: a mask and a contour each, or why they were refused."""
    from cxresnet.predict.lung_files import find_lungs_in_files, write_lung_pictures

    files = list(list_files(paths))
    answers = list(track(find_lungs_in_files(files), "Finding lungs", total=len(files)))
    table = write_lung_pictures(out, answers)
    refused = [answer for answer in answers if answer.reason]
    say(f"Lungs found on {len(answers) - len(refused)} of {len(answers)} films")
    for answer in refused:
        say(f"{answer.path}: {answer.reason}")
    say_wrote(table)
