"""`cxresnet show`."""

from __future__ import annotations

from cxresnet.cli.commands import command
from cxresnet.cli.options import RunArgument
from cxresnet.cli.terminal import console, say_unfolded
from cxresnet.core.run_folder import open_run_folder

_WIDTH_ELSEWHERE = 80


@command(order=75, examples=("show runs/mine", "show runs/first"))
def show(run: RunArgument) -> None:
    """Show a run in about twenty lines: what was done, what it found, and what is missing."""
    folder = open_run_folder(run)
    from cxresnet.report.artifacts import read_run_artifacts
    from cxresnet.report.overview import list_overview

    width = console.width if console.is_terminal else _WIDTH_ELSEWHERE
    for line in list_overview(read_run_artifacts(folder), width=width):
        say_unfolded(line)
