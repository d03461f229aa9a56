"""`cxresnet compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from cxresnet.cli.options import ConfigOption, SetOption
from cxresnet.cli.terminal import console, say, say_unfolded, warn
from cxresnet.core.config import read_config
from cxresnet.core.run_folder import open_run_folder

if TYPE_CHECKING:
    from cxresnet.evaluate.comparison_record import Comparison
    from cxresnet.metrics.estimate import Estimate

__all__ = ["compare"]


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run that was evaluated.")],
    second: Annotated[
        Path, typer.Argument(metavar="B", help="Another one, evaluated on the same films.")
    ],
    *,
    json_: Annotated[bool, typer.Option("--json", help="Everything, for programs.")] = False,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Compare two runs on the same films: is one better, or is it luck?"""
    from cxresnet.evaluate.comparison import compare_runs

    settings = read_config(config, settings=set_ or ())
    found = compare_runs(open_run_folder(first), open_run_folder(second), config=settings.evaluate)
    if json_:
        say_unfolded(json.dumps(found.model_dump(mode="json"), indent=2))
        return
    console.print(_build_table(found))
    say(
        f"Films that only {found.first} gets right: {found.only_first_right}; only {found.second}: "
        f"{found.only_second_right} (McNemar, exact, films as if independent: "
        f"p = {found.mcnemar_p_value:.3g})."
    )
    for test in found.auroc_tests:
        p_value = "–" if test.p_value is None else f"{test.p_value:.3g}"
        say(
            f"AUROC of {test.class_name} (DeLong, patients as clusters): difference "
            f"{test.difference:+.3f}, p = {p_value}."
        )
    say(found.verdict)
    for warning in found.warnings:
        warn(warning)


def _build_table(found: Comparison) -> Table:
    title = Text(f"{found.films} films of {found.patients} patients, judged by both")
    table = Table(title=title, box=SIMPLE, title_justify="left", title_style="bold")
    table.add_column("")
    for name in (found.first, found.second, "difference"):
        table.add_column(Text(name), justify="right")
    for score in found.scores:
        cells = [_format(one) for one in (score.first, score.second)]
        name = score.name.replace("_", " ").replace("/", " of ", 1)
        table.add_row(Text(name), *cells, _format(score.difference, sign="+"))
    return table


def _format(estimate: Estimate, *, sign: str = "") -> str:
    """Format a number with its interval below it: side by side they do not fit 80 columns."""
    if estimate.value is None:
        return "–"
    value = f"{estimate.value:{sign}.3f}"
    if estimate.low is None or estimate.high is None:
        return f"{value}\nno interval"
    return f"{value}\n{estimate.low:{sign}.3f} to {estimate.high:{sign}.3f}"
