"""`cxresnet train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxresnet.cli.options import (
    ConfigOption,
    DatasetArgument,
    ForceOption,
    ResumeOption,
    SetOption,
)
from cxresnet.cli.terminal import say, say_wrote
from cxresnet.core.config import Config, read_config
from cxresnet.core.run_folder import RunFolder, claim_run_folder

__all__ = ["train", "train_network"]


def train(
    dataset: DatasetArgument,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the run.")],
    config: ConfigOption = None,
    set_: SetOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
) -> None:
    """Train the network from scratch; validation chooses the epoch."""
    settings = read_config(config, settings=set_ or ())
    run = claim_run_folder(out, dataset=dataset, force=force or resume)
    train_network(dataset, config=settings, run=run, resume=resume)


def train_network(dataset: Path, *, config: Config, run: RunFolder, resume: bool) -> None:
    """Train, and say how it went."""
    from cxresnet.data.dataset import open_dataset
    from cxresnet.train.fit import run_train

    result = run_train(open_dataset(dataset), config=config, run=run, resume=resume)
    say(result.describe())
    say_wrote(run.train)
