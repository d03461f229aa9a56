"""`cxresnet train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.options import (
    ConfigOption,
    DatasetArgument,
    ForceOption,
    ResumeOption,
    SetOption,
    parse_seeds,
    read_settings,
)
from cxresnet.cli.terminal import say, say_wrote
from cxresnet.core.run_folder import RunFolder

if TYPE_CHECKING:
    from cxresnet.api.stages import TrainedRun
    from cxresnet.core.config import Config
    from cxresnet.data.dataset.dataset import PreparedDataset


@command(
    order=40,
    outlives_output=True,
    examples=(
        "train data/mine --out runs/mine --config small",
        "train data/mine --out runs/mine --seeds 0,1,2 --set train.epochs=30",
    ),
)
def train(  # noqa: PLR0913  each is a flag of the command
    dataset: DatasetArgument,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the run.")],
    config: ConfigOption = None,
    set_: SetOption = None,
    folds: Annotated[
        int,
        typer.Option(
            "--folds",
            metavar="N",
            help="Cross-validate over this many folds, grouped by patient; 0: do not.",
        ),
    ] = 0,
    seeds: Annotated[
        str,
        typer.Option(
            "--seeds",
            metavar="N,N,…",
            help="Train once per seed, as in 0,1,2, and use the networks as an ensemble. With "
            "--folds: repeat the cross-validation per seed.",
        ),
    ] = "",
    sweep: Annotated[
        bool,
        typer.Option("--find-learning-rate", help="Find the learning rate with a sweep first."),
    ] = False,
    resume: ResumeOption = False,
    force: ForceOption = False,
) -> None:
    """Train a network from scratch; the validation set chooses the epoch."""
    from cxresnet.api import stages

    settings = read_settings(config, set_)
    trained = stages.train(
        dataset,
        out=out,
        config=settings,
        seeds=parse_seeds(seeds),
        folds=folds,
        find_learning_rate=sweep,
        resume=resume,
        force=force,
    )
    _show(trained)


def train_network(
    prepared: PreparedDataset, *, config: Config, run: RunFolder, resume: bool
) -> None:
    """Train in a run folder that was claimed already, and say how it went."""
    from cxresnet.api import stages

    _show(stages.train(prepared, out=run.path, config=config, resume=resume, force=True))


def _show(trained: TrainedRun) -> None:
    say(trained.summary)
    say_wrote(RunFolder(trained.path).train)
