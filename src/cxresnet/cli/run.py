"""`cxresnet run`: all rooms in a row."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxresnet.cli.evaluate import describe_headline, evaluate_network
from cxresnet.cli.explain import explain_network
from cxresnet.cli.options import (
    ClassesOption,
    ColumnsOption,
    ConfigOption,
    ForceOption,
    LabelPatternOption,
    LabelsOption,
    ManifestOption,
    RecipeOption,
    ResumeOption,
    SetOption,
    SourceArgument,
)
from cxresnet.cli.prepare import prepare_films
from cxresnet.cli.report import write_report
from cxresnet.cli.source import SourceFlags, open_films
from cxresnet.cli.terminal import say
from cxresnet.cli.train import train_network
from cxresnet.core.config import read_config
from cxresnet.core.run_folder import claim_run_folder

__all__ = ["run"]


def run(  # noqa: PLR0913  each is a flag of the command
    source: SourceArgument,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for everything.")],
    config: ConfigOption = None,
    set_: SetOption = None,
    classes: ClassesOption = None,
    columns: ColumnsOption = None,
    label_pattern: LabelPatternOption = None,
    labels: LabelsOption = None,
    manifest: ManifestOption = None,
    recipe: RecipeOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
) -> None:
    """Do it all: prepare, train, evaluate, explain, report."""
    from cxresnet.data.dataset import open_dataset

    settings = read_config(config, settings=set_ or ())
    dataset = out / "dataset"
    flags = SourceFlags(
        classes=classes,
        columns=columns,
        patterns=label_pattern,
        labels=labels,
        manifest=manifest,
        recipe=recipe,
    )
    films = open_films(source, settings.source, flags)
    folder = claim_run_folder(out, dataset=dataset, force=force or resume)
    say(f"Run {out}: prepare, train, evaluate, explain, report")
    if not (resume and (dataset / "dataset.json").is_file()):
        prepare_films(films, config=settings.data, out=dataset, force=force)
    train_network(open_dataset(dataset), config=settings, run=folder, resume=resume)
    evaluation = evaluate_network(folder, config=settings.evaluate)
    explain_network(folder, config=settings.explain)
    say(describe_headline(evaluation))
    write_report(folder)
