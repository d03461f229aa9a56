"""`cxresnet report`."""

from __future__ import annotations

from cxresnet.cli.commands import command
from cxresnet.cli.options import RunArgument
from cxresnet.cli.terminal import say_wrote
from cxresnet.core.run_folder import RunFolder, open_run_folder


@command(order=70, examples=("report runs/mine", "-v report runs/mine"))
def report(run: RunArgument) -> None:
    """Write the report of a run: one self-contained HTML page."""
    write_report(open_run_folder(run))


def write_report(run: RunFolder) -> None:
    """Write the page, and say where."""
    from cxresnet.report.report import run_report

    say_wrote(run_report(run))
