"""`cxresnet run`: every step in one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.evaluate import describe_headline, evaluate_network
from cxresnet.cli.explain import explain_network
from cxresnet.cli.options import (
    ConfigOption,
    ForceOption,
    ResumeOption,
    SetOption,
    SourceArgument,
    read_settings,
)
from cxresnet.cli.prepare import prepare_dataset
from cxresnet.cli.report import write_report
from cxresnet.cli.source import SourceFlags, open_source_from_flags, take_source_flags
from cxresnet.cli.terminal import say
from cxresnet.cli.train import train_network
from cxresnet.core.run_folder import RunFolder, claim_run_folder, hold_run_folder

if TYPE_CHECKING:
    from cxresnet.core.config import Config


@command(order=10, outlives_output=True)
@take_source_flags
def run(
    source: SourceArgument,
    *,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for the dataset, the network and the report."),
    ],
    config: ConfigOption = None,
    set_: SetOption = None,
    source_flags: SourceFlags,
    resume: ResumeOption = False,
    force: ForceOption = False,
) -> None:
    """Run everything: prepare, train, evaluate, explain and report."""
    from cxresnet.core.config import change_config

    settings = change_config(read_settings(config, set_), source_flags.list_data_values())
    dataset = out / "dataset"
    opened = open_source_from_flags(source, settings, source_flags)
    with hold_run_folder(out):
        folder = claim_run_folder(out, dataset=dataset, force=force or resume)
        say(f"Run {out}: prepare, train, evaluate, explain, report")
        if not (resume and (dataset / "dataset.json").is_file()):
            prepare_dataset(opened, config=settings.data, out=dataset, force=force)
        _run_stages(folder, dataset, config=settings, resume=resume)


def _run_stages(run: RunFolder, dataset: Path, *, config: Config, resume: bool) -> None:
    from cxresnet.data.dataset.dataset import open_dataset

    train_network(open_dataset(dataset), config=config, run=run, resume=resume)
    evaluation = evaluate_network(run, config=config.evaluate)
    explain_network(run, config=config.explain)
    say(describe_headline(evaluation))
    write_report(run)
