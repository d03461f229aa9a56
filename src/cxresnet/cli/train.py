"""`cxresnet train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.options import (
    ConfigOption,
    DatasetArgument,
    ForceOption,
    ResumeOption,
    SetOption,
)
from cxresnet.cli.terminal import say, say_wrote, warn
from cxresnet.core.config import Config, read_config
from cxresnet.core.errors import ConfigError
from cxresnet.core.run_folder import RunFolder, claim_run_folder

if TYPE_CHECKING:
    from cxresnet.data.dataset import PreparedDataset

__all__ = ["train", "train_network"]


def train(  # noqa: PLR0913  each is a flag of the command
    dataset: DatasetArgument,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the run.")],
    config: ConfigOption = None,
    set_: SetOption = None,
    folds: Annotated[
        int, typer.Option("--folds", help="Cross-validate over so many folds, grouped by patient.")
    ] = 0,
    seeds: Annotated[
        str,
        typer.Option(
            "--seeds",
            help="Train once for each, as 0,1,2: they answer together. With --folds: one round "
            "for each.",
        ),
    ] = "",
    sweep: Annotated[
        bool,
        typer.Option("--find-learning-rate", help="Sweep the learning rate first, and use it."),
    ] = False,
    resume: ResumeOption = False,
    force: ForceOption = False,
) -> None:
    """Train the network from scratch; validation chooses the epoch."""
    from cxresnet.data.dataset import open_dataset
    from cxresnet.train.rounds import reseed

    settings = read_config(config, settings=set_ or ())
    films = open_dataset(dataset)
    run = claim_run_folder(out, dataset=dataset, force=force or resume)
    if sweep:
        settings = _sweep(films, settings, run=run)
    elif not resume:
        run.learning_rates.unlink(missing_ok=True)
    several = _parse_seeds(seeds)
    if folds:
        _cross_validate(films, settings, run=run, folds=folds, seeds=several, resume=resume)
    elif len(several) > 1:
        _train_seeds(films, settings, run=run, seeds=several, resume=resume)
    else:
        settings = reseed(settings, several[0]) if several else settings
        train_network(films, config=settings, run=run, resume=resume)


def _cross_validate(
    films: PreparedDataset,
    config: Config,
    *,
    run: RunFolder,
    folds: int,
    seeds: tuple[int, ...],
    resume: bool,
) -> None:
    from cxresnet.train.cross_validation import run_cross_validation

    result = run_cross_validation(
        films, config=config, run=run, folds=folds, seeds=seeds, resume=resume
    )
    say(result.describe())
    say_wrote(run.train)


def _train_seeds(
    films: PreparedDataset,
    config: Config,
    *,
    run: RunFolder,
    seeds: tuple[int, ...],
    resume: bool,
) -> None:
    from cxresnet.train.seeds import run_seeds

    result = run_seeds(films, config=config, run=run, seeds=seeds, resume=resume)
    say(result.describe())
    say_wrote(run.train)


def train_network(films: PreparedDataset, *, config: Config, run: RunFolder, resume: bool) -> None:
    """Train, and say how it went."""
    from cxresnet.train.fit import run_train

    result = run_train(films, config=config, run=run, resume=resume)
    say(result.describe())
    say_wrote(run.train)


def _sweep(films: PreparedDataset, config: Config, *, run: RunFolder) -> Config:
    from cxresnet.train.learning_rate import find_learning_rate, write_learning_rates

    curve = find_learning_rate(films, config=config)
    say_wrote(write_learning_rates(run.learning_rates, curve))
    if curve.suggestion is None:
        kept = config.train.learning_rate
        warn(f"The loss hardly fell at any learning rate, so the sweep says nothing: {kept} stays.")
        return config
    say(f"Learning rate {curve.suggestion:.2g}: in the middle of the fall of the loss.")
    train = config.train.model_copy(update={"learning_rate": curve.suggestion})
    return config.model_copy(update={"train": train})


def _parse_seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ConfigError(f"--seeds '{text}' is no list of numbers, as in 0,1,2.") from error
