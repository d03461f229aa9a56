"""`cxresnet lint`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.options import ColumnsOption, LabelSeparatorOption, OneHotOption
from cxresnet.cli.terminal import console, say, say_unfolded, warn
from cxresnet.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from cxresnet.audit.claims.tables import ClaimTables
    from cxresnet.core.finding import Finding, Verdict
    from cxresnet.data.sources.table import TableOptions

_COLOURS: dict[Verdict, str] = {
    "red": "bold red",
    "amber": "yellow",
    "cannot be tested": "dim",
    "green": "green",
}
_EXIT_RED = 1


class LintFormat(StrEnum):
    """How findings are shown."""

    TABLE = "table"
    JSON = "json"


@command(
    order=58,
    examples=("lint train.csv val.csv test.csv", "lint labels.csv --columns split=Dataset"),
)
def lint(
    tables: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="TABLE...",
            help="Split lists or label tables: CSV, TSV, Parquet, xlsx, the text lists of COVIDx, "
            "JSON. The split is a column, or the file name says it.",
            show_default=False,
        ),
    ] = None,
    *,
    split: Annotated[
        list[str] | None,
        typer.Option(
            "--split",
            metavar="NAME=FILE",
            help="A list whose rows are all of one split, as test=holdout.csv. May be repeated.",
        ),
    ] = None,
    columns: ColumnsOption = None,
    one_hot: OneHotOption = None,
    label_separator: LabelSeparatorOption = None,
    format_: Annotated[
        LintFormat, typer.Option("--format", help="Output format.")
    ] = LintFormat.TABLE,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with exit code 1 if a finding is red.")
    ] = False,
) -> None:
    """Check lists of images for leaks between splits and other faults; no image is needed."""
    from cxresnet.audit.claims.tables import read_claims

    options = _read_options(columns, one_hot, label_separator)
    claims = read_claims(
        tables or [], splits=[_parse_split(pair) for pair in split or ()], options=options
    )
    from cxresnet.audit.claims.check import check_rows

    findings = check_rows(claims)
    if format_ is LintFormat.JSON:
        say_unfolded(json.dumps(_describe(claims, findings), indent=2))
    else:
        _show(claims, findings)
    if strict and any(finding.verdict == "red" for finding in findings):
        raise typer.Exit(_EXIT_RED)


def _read_options(
    columns: str | None, one_hot: str | None, label_separator: str | None
) -> TableOptions:
    from cxresnet.data.sources.table import TableOptions
    from cxresnet.data.sources.table_file import parse_columns

    headings = tuple(name.strip() for name in (one_hot or "").split(",") if name.strip())
    return TableOptions(
        columns=parse_columns(columns or ""), separator=label_separator or "|", one_hot=headings
    )


def _parse_split(pair: str) -> tuple[str, Path]:
    """Read NAME=FILE; the file name may hold further equals signs."""
    name, _, file = pair.partition("=")
    if not (name.strip() and file):
        raise ConfigError(
            f"--split: '{pair}' is not of the form NAME=FILE; write for example --split "
            "test=holdout.csv."
        )
    return name.strip(), Path(file)


def _show(claims: ClaimTables, findings: Sequence[Finding]) -> None:
    console.print(_build_table(findings))
    counts = Counter(finding.verdict for finding in findings)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _COLOURS if counts[verdict])
    say(f"{len(claims.rows):,} rows of {', '.join(claims.tables)}: {told}.")
    say("Only the lists were read. Whether the images are what the lists say is not tested.")
    for note in claims.notes:
        warn(note)


def _build_table(findings: Sequence[Finding]) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE, padding=(0, 1, 1, 0))
    table.add_column("verdict", max_width=9)
    table.add_column("question and answer")
    for finding in findings:
        answer = Text(finding.title, style="bold")
        answer.append(f"\n{finding.sentence}", style="not bold")
        table.add_row(Text(finding.verdict, style=_COLOURS[finding.verdict]), answer)
    return table


def _describe(claims: ClaimTables, findings: Sequence[Finding]) -> dict[str, object]:
    return {
        "tables": list(claims.tables),
        "rows": len(claims.rows),
        "splits": dict(Counter(row.split for row in claims.rows)),
        "notes": list(claims.notes),
        "findings": [finding.model_dump(mode="json") for finding in findings],
    }
