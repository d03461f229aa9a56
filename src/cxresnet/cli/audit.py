"""`cxresnet audit`: did the model read lungs, or the hospital?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.options import ConfigOption, SetOption, read_settings
from cxresnet.cli.terminal import console, say, say_wrote
from cxresnet.core.errors import ConfigError
from cxresnet.core.run_folder import RunFolder, hold_run_folder, open_run_folder

if TYPE_CHECKING:
    from cxresnet.audit.context import AuditContext
    from cxresnet.audit.model import AuditedModel
    from cxresnet.audit.scorecard import Scorecard
    from cxresnet.core.config import Config

_COLOURS = {"red": "bold red", "amber": "yellow", "green": "green", "cannot be tested": "dim"}


RunArgument = Annotated[
    Path | None, typer.Argument(metavar="RUN", help="An evaluated run.", show_default=False)
]
DatasetOption = Annotated[
    Path | None,
    typer.Option(
        "--dataset",
        metavar="DATASET",
        help="Another prepared dataset to audit on. Default: that of the run.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODULE:FACTORY",
        help="Instead of a run, somebody else's model: an adapter in a .py file or an installed "
        "module. Its code is run. Needs --dataset and --out.",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="DIR", help="With --model: folder for the scorecard."),
]
OnlyOption = Annotated[
    str,
    typer.Option("--only", metavar="NAME,…", help="Ask these questions alone, by name or number."),
]
SkipOption = Annotated[
    str, typer.Option("--skip", metavar="NAME,…", help="Leave these questions out.")
]


@command(
    order=57,
    examples=(
        "audit runs/mine",
        "audit --model my_model.py:Adapter --dataset data --out audits/my",
    ),
)
def audit(  # noqa: PLR0913  each is a flag of the command
    run: RunArgument = None,
    *,
    dataset: DatasetOption = None,
    model: ModelOption = None,
    out: OutOption = None,
    only: OnlyOption = "",
    skip: SkipOption = "",
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Audit a model: does it read the lungs, or the hospital? Writes a scorecard.

    Thirteen questions, each with its numbers, their intervals, pictures, and what to do next.
    Answers are kept: a second call asks only what was not answered, or has changed.
    """
    settings = read_settings(config, set_)
    folder = _choose_folder(run, dataset=dataset, model=model, out=out)
    from cxresnet.audit.run import choose_questions, run_audit

    questions = choose_questions(_split(only), _split(skip))
    adapter = _load(model, config=settings)  # before --out is made: it may be refused
    with hold_run_folder(folder):
        context = _open(folder, dataset, adapter=adapter, config=settings)
        _show(run_audit(context, questions))
    say_wrote(context.folder / "scorecard.md")


def _choose_folder(
    run: Path | None, *, dataset: Path | None, model: str | None, out: Path | None
) -> Path:
    """Choose the folder that is written into, and refuse options that do not go together."""
    if model is None:
        if run is None or out is not None:
            raise ConfigError(
                "Give the folder of a run, for example 'cxresnet audit runs/mine'; its scorecard "
                "is written into it. For another model give --model, --dataset and --out."
            )
        return open_run_folder(run).path
    if run is not None or dataset is None or out is None:
        raise ConfigError(
            "--model needs --dataset and --out, and no RUN. Write for example 'cxresnet audit "
            "--model my_model.py:Adapter --dataset data/test --out audits/mine'."
        )
    return out


def _load(model: str | None, *, config: Config) -> AuditedModel | None:
    if model is None:
        return None
    from cxresnet.audit.foreign import load_adapter

    return load_adapter(model, batch_size=config.audit.batch_size)


def _open(
    folder: Path, dataset: Path | None, *, adapter: AuditedModel | None, config: Config
) -> AuditContext:
    from cxresnet.audit.open import open_model_audit, open_run_audit

    if adapter is None or dataset is None:
        return open_run_audit(RunFolder(folder), config=config, dataset=dataset)
    return open_model_audit(adapter, dataset=dataset, out=folder, config=config)


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _show(scorecard: Scorecard) -> None:
    """Print verdict, headline and one line a question."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(f"Audit of {scorecard.model}: {scorecard.verdict}"),
        box=SIMPLE,
        title_justify="left",
        title_style="bold",
    )
    table.add_column("", justify="right")
    table.add_column("question")
    table.add_column("verdict", no_wrap=True)
    for finding in scorecard.findings:
        table.add_row(
            str(finding.number),
            Text(finding.title),
            Text(finding.verdict, style=_COLOURS[finding.verdict]),
        )
    console.print(table)
    say(f"{scorecard.headline} {scorecard.reason}")
    for finding in scorecard.findings:
        if finding.verdict in {"red", "amber"}:
            head = f"{finding.verdict.capitalize()}, question {finding.number}:"
            say(f"{head} {finding.title} {finding.sentence}")
            if finding.next_step:
                say(f"Next step: {finding.next_step}")
        elif finding.verdict == "cannot be tested":
            head = f"Question {finding.number} cannot be tested:"
            say(f"{head} {finding.title} {finding.sentence}")
