"""`cxresnet compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.options import ConfigOption, SetOption, read_settings
from cxresnet.cli.terminal import console, say, say_unfolded, warn
from cxresnet.core.run_folder import open_run_folder

if TYPE_CHECKING:
    from rich.table import Table

    from cxresnet.evaluate.comparison import AurocTest, Comparison
    from cxresnet.metrics.estimate import Estimate


@command(
    order=55, examples=("compare runs/first runs/second", "compare runs/first runs/second --json")
)
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="An evaluated run.")],
    second: Annotated[
        Path, typer.Argument(metavar="B", help="Another run, evaluated on the same images.")
    ],
    *,
    json_: Annotated[bool, typer.Option("--json", help="Print the whole result as JSON.")] = False,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Compare two runs on the same images (paired bootstrap over patients)."""
    settings = read_settings(config, set_)
    runs = (open_run_folder(first), open_run_folder(second))
    from cxresnet.evaluate.comparison import compare_runs

    found = compare_runs(*runs, config=settings.evaluate)
    if json_:
        say_unfolded(json.dumps(found.model_dump(mode="json"), indent=2))
        return
    console.print(_build_table(found))
    say(
        f"Images that only {found.first} classifies correctly: {found.only_first_correct}; only "
        f"{found.second}: {found.only_second_correct} (exact McNemar test, which treats images as "
        f"independent: p = {found.mcnemar_p_value:.3g})."
    )
    for test in found.auroc_tests:
        say(describe_auroc_test(test))
    say(found.verdict)
    for warning in found.warnings:
        warn(warning)


def describe_auroc_test(test: AurocTest) -> str:
    """Describe the test of one class in a line, or why it gives no p-value."""
    ending = f". {test.reason}" if test.p_value is None else f", p = {test.p_value:.3g}."
    return (
        f"AUROC of {test.class_name} (DeLong test, patients as clusters): difference "
        f"{test.difference:+.3f}{ending}"
    )


def _build_table(found: Comparison) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    title = Text(f"{found.images} images of {found.patients} patients, evaluated by both")
    table = Table(title=title, box=SIMPLE, title_justify="left", title_style="bold")
    table.add_column("")
    for name in (found.first, found.second, "difference"):
        table.add_column(Text(name), justify="right")
    for score in found.scores:
        cells = [_format(one) for one in (score.first, score.second)]
        table.add_row(Text(score.title), *cells, _format(score.difference, signed=True))
    return table


def _format(estimate: Estimate, *, signed: bool = False) -> str:
    """Format a score with its interval below it: side by side they do not fit 80 columns."""
    from cxresnet.metrics.estimate import format_estimate

    if estimate.value is not None and estimate.low is None:
        return f"{format_estimate(estimate, signed=signed)}\nno interval"
    return format_estimate(estimate, signed=signed).replace(" (", "\n(", 1)
