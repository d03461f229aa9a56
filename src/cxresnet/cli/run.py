"""`cxresnet run`: every step in one command."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
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
from cxresnet.core.errors import ConfigError
from cxresnet.core.run_folder import RunFolder, claim_run_folder, hold_run_folder

if TYPE_CHECKING:
    from cxresnet.core.config import Config

_STEPS_S = {"prepare": 75, "train": 82, "evaluate": 5, "explain": 20, "report": 17}
"""Seconds of the steps in a run with `--config demo` on two idle cores, without the sanity
checks. Only their proportion is used, for the time left."""

_SANITY_CHECKS_S = 2.8
"""An image, in the same run."""

_QUICK = {"sanity_check_images": 12, "zone_mean_images": 4}
"""The largest values of the section `explain` with `--quick`; a config with less keeps its own."""

_logger = logging.getLogger(__name__)


@command(
    order=10,
    outlives_output=True,
    examples=(
        "run phantoms --out runs/first --config demo",
        "run chest_xray --out runs/mine --classes covid=Covid-19",
    ),
)
@take_source_flags
def run(  # noqa: PLR0913  each is a flag of the command
    source: SourceArgument,
    *,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="DIR", help="Folder for the dataset, the network and the report."
        ),
    ],
    config: ConfigOption = None,
    set_: SetOption = None,
    source_flags: SourceFlags,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Test the attribution maps on at most 12 images (usually 36), and average them "
            "per lung zone over at most 4 a class (usually 12); the report says so.",
        ),
    ] = False,
    resume: ResumeOption = False,
    force: ForceOption = False,
) -> None:
    """Run everything: prepare, train, evaluate, explain and report."""
    from cxresnet.core.config import change_config
    from cxresnet.core.config.train import is_training_helper

    settings = change_config(
        read_settings(config, [*(_list_quick_settings(config) if quick else ()), *(set_ or ())]),
        source_flags.list_data_values(),
    )
    _check_training(settings)
    is_helper = is_training_helper(settings.train)
    dataset = out / "dataset"
    opened = open_source_from_flags(source, settings, source_flags)
    with hold_run_folder(out):
        folder = claim_run_folder(out, dataset=dataset, force=force or resume or is_helper)
        steps = _Steps(sanity_check_images=settings.explain.sanity_check_images)
        if not ((resume or is_helper) and (dataset / "dataset.json").is_file()):
            steps.begin("prepare")
            prepare_dataset(opened, config=settings.data, out=dataset, force=force)
        _run_stages(folder, dataset, config=settings, resume=resume, steps=steps)


def _check_training(config: Config) -> None:
    """Refuse, before images are prepared, what the training would refuse after it.

    Raises:
        ConfigError: Several machines are to train, or the logger cannot be used.
        MissingExtraError: The package of the logger is not installed.
    """
    from cxresnet.core.config.train import require_logger

    require_logger(config.train)
    if config.train.num_nodes > 1:
        raise ConfigError(
            "'cxresnet run' works on one machine. Prepare the dataset there with 'cxresnet "
            "prepare', then start 'cxresnet train' on every machine."
        )


def _list_quick_settings(config: Path | None) -> Iterator[str]:
    """List what `--quick` lowers, as `--set` takes it."""
    configured = read_settings(config, ()).explain.model_dump()
    for name, most in _QUICK.items():
        yield f"explain.{name}={min(configured[name], most)}"


def _run_stages(
    run: RunFolder, dataset: Path, *, config: Config, resume: bool, steps: _Steps
) -> None:
    from cxresnet.data.dataset.dataset import open_dataset

    steps.begin("train")
    train_network(open_dataset(dataset), config=config, run=run, resume=resume)
    steps.begin("evaluate")
    evaluation = evaluate_network(run, config=config.evaluate)
    steps.begin("explain")
    explain_network(run, config=config.explain)
    say(describe_headline(evaluation))
    steps.begin("report")
    write_report(run)


class _Steps:
    """Says which step of the run begins, and about how long the rest takes."""

    def __init__(self, *, sanity_check_images: int) -> None:
        extra = _SANITY_CHECKS_S * sanity_check_images
        self._usual_s = {**_STEPS_S, "explain": _STEPS_S["explain"] + extra}
        self._started = time.monotonic()
        self._done: list[str] = []
        self._current = ""

    def begin(self, name: str) -> None:
        """Say that a step begins; steps that are left out do not count as done."""
        if self._current:
            self._done.append(self._current)
        self._current = name
        names = list(self._usual_s)
        number = names.index(name)
        seconds = time.monotonic() - self._started
        done_s = sum(self._usual_s[one] for one in self._done)
        rest_s = sum(self._usual_s[one] for one in names[number:])
        left = describe_time_left(rest_s * seconds / done_s) if done_s else ""
        _logger.info("Step %s of %s: %s%s", number + 1, len(names), name, left)


def describe_time_left(seconds: float) -> str:
    """Describe an estimate of the time left, for the end of a line.

    >>> describe_time_left(250)
    ', about 4 minutes left'
    """
    minutes = round(seconds / 60)
    if minutes < 1:
        return ", less than a minute left"
    return f", about {minutes} {'minute' if minutes == 1 else 'minutes'} left"
