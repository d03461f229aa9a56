"""`cxresnet evaluate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from cxresnet.api import stages
from cxresnet.cli.commands import command
from cxresnet.cli.options import ConfigOption, ResumeOption, RunArgument, SetOption
from cxresnet.cli.terminal import console, print_red_flag, say, say_wrote, warn
from cxresnet.core.config import Config, EvaluateConfig, read_config, read_written_config
from cxresnet.core.errors import ConfigError
from cxresnet.core.run_folder import RunFolder, open_run_folder

if TYPE_CHECKING:
    from cxresnet.evaluate.leave_sources_out import LeaveOneSourceOut
    from cxresnet.evaluate.record import Evaluation
    from cxresnet.metrics.estimate import Estimate


# `cxresnet evaluate RUN --leave-one-source-out`: train and evaluate a network for each source.


def leave_sources_out(run: RunFolder, *, config: EvaluateConfig, resume: bool) -> None:
    """Train one network for each source that can be tested, and evaluate it on that source.

    Neither package imports the other: `train` writes a checkpoint for each source, and `evaluate`
    reads them.
    """
    from cxresnet.data.dataset.dataset import open_dataset
    from cxresnet.evaluate.leave_sources_out import (
        LEAVE_ONE_SOURCE_OUT_NAME,
        evaluate_left_out_sources,
    )
    from cxresnet.train.leave_sources_out import train_source_folds

    trained_with = read_written_config(run.train / "config.json")
    dataset = open_dataset(run.read_dataset_path())
    source_folds = train_source_folds(dataset, config=trained_with, run=run, resume=resume)
    found = evaluate_left_out_sources(run, dataset, source_folds, config=config)
    if any(one.scores for one in found.sources):
        console.print(_build_sources_table(found))
    for one in found.sources:
        if one.reason:
            say(f"{one.source}: {one.reason}")
    say(found.sentence)
    say_wrote(run.evaluate / LEAVE_ONE_SOURCE_OUT_NAME)


def _build_sources_table(found: LeaveOneSourceOut) -> Table:
    from cxresnet.metrics.estimate import format_estimate

    table = Table(
        title="Each source, evaluated with a network that was trained without it",
        box=SIMPLE,
        title_justify="left",
        title_style="bold",
    )
    for column in ("source left out", "images", "", "internal", "external", "generalisation gap"):
        table.add_column(column, justify="left" if column in {"", "source left out"} else "right")
    rows = [(one.source, str(one.external_images), one.scores) for one in found.sources]
    for name, images, scores in [*rows, ("mean", "", found.mean)]:
        for score in scores:
            if not score.is_of_one_class:
                cells = [
                    format_estimate(score.internal),
                    format_estimate(score.external),
                    format_estimate(score.generalisation_gap, signed=True),
                ]
                table.add_row(Text(name), images, score.title, *cells)
    return table


# `--prevalence covid=0.02`: predictive values at the prevalence of the place of use.


PrevalenceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--prevalence",
        help="Prevalence of a class where the network would be used, for PPV and NPV there: "
        "covid=0.02 or covid=2%. May be repeated.",
    ),
]


def add_prevalences(config: EvaluateConfig, given: Sequence[str] | None) -> EvaluateConfig:
    """Add the prevalences of the command line to a config.

    Args:
        config: Its own prevalences stay, unless the command line names the same class.
        given: Pairs "class=share"; several may stand in one text, with commas between.

    Raises:
        ConfigError: A text is not such a pair, or its share is not between 0 and 1.

    >>> add_prevalences(EvaluateConfig(), ["covid=2%,pneumonia=0.1"]).prevalence
    {'covid': 0.02, 'pneumonia': 0.1}
    """
    pairs = [pair.strip() for text in given or () for pair in text.split(",") if pair.strip()]
    shares = dict(_parse(pair) for pair in pairs)
    return config.model_copy(update={"prevalence": {**config.prevalence, **shares}})


def _parse(pair: str) -> tuple[str, float]:
    name, equals, text = pair.partition("=")
    number = text.strip()
    try:
        share = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not name.strip() or not equals or not 0 < share < 1:
        raise ConfigError(
            f"--prevalence '{pair}' is not of the form class=share with a share above 0 and below "
            "1. Write for example --prevalence covid=0.02."
        )
    return name.strip(), share


def describe_prevalences(evaluation: Evaluation) -> Iterator[str]:
    """Describe the predictive values at each prevalence that was given, one line each."""
    for values in evaluation.at_prevalence:
        yield (
            f"At a prevalence of {values.prevalence:.2%} of {values.class_name}: "
            f"PPV {_format_or_reason(values.ppv)}, NPV {_format_or_reason(values.npv)}."
        )


def _format_or_reason(estimate: Estimate) -> str:
    from cxresnet.metrics.estimate import format_estimate

    if estimate.value is None:
        return f"unknown ({estimate.reason.rstrip('.').lower()})"
    return format_estimate(estimate)


@command(order=50)
def evaluate(
    run: RunArgument,
    *,
    data: Annotated[
        Path | None,
        typer.Option("--data", "--dataset", help="Another prepared dataset, as an external test."),
    ] = None,
    leave_one_source_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-source-out",
            help="For each source, train without it, and evaluate that network on it.",
        ),
    ] = False,
    resume: ResumeOption = False,
    prevalence: PrevalenceOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Evaluate the network on the held-out test set, every score with its n and interval."""
    settings = add_prevalences(read_config(config, settings=set_ or ()).evaluate, prevalence)
    if not leave_one_source_out:
        evaluate_network(open_run_folder(run), config=settings, data=data)
        return
    if data is not None:
        raise ConfigError(
            "--leave-one-source-out uses the run's own images. "
            "Leave out --data, or run evaluate twice."
        )
    leave_sources_out(open_run_folder(run), config=settings, resume=resume)


def evaluate_network(
    run: RunFolder, *, config: EvaluateConfig, data: Path | None = None
) -> Evaluation:
    """Evaluate, and show the headline numbers."""
    evaluation = stages.evaluate(run.path, data=data, config=Config(evaluate=config))
    show_headline(evaluation)
    folder = run.evaluate if data is None else run.path / f"evaluate-{evaluation.name}"
    show_reliability(folder)
    say_wrote(folder / run.metrics.name)
    say_wrote(folder / run.predictions.name)
    return evaluation


def describe_headline(evaluation: Evaluation) -> str:
    """Describe the headline in one line, each score with its interval."""
    from cxresnet.metrics.estimate import format_estimate

    headline = evaluation.headline
    named = (
        ("balanced accuracy", headline.balanced_accuracy),
        ("accuracy", headline.accuracy),
        ("macro AUROC", headline.macro_auroc),
    )
    shown = ", ".join(f"{name} {format_estimate(one)}" for name, one in named)
    line = (
        f"{evaluation.name}: {shown}; "
        f"n = {evaluation.images} images of {evaluation.patients} patients."
    )
    return f"{line} {describe_best_baseline(evaluation)}".rstrip()


def describe_best_baseline(evaluation: Evaluation) -> str:
    """Describe the difference from the best shortcut baseline; "" where none was tried."""
    from cxresnet.metrics.estimate import format_estimate

    best = evaluation.find_best_baseline()
    difference = best.balanced_accuracy_difference if best else None
    if best is None or difference is None or difference.value is None:
        return ""
    return (
        f"Balanced accuracy minus that of the best shortcut baseline ({best.title}): "
        f"{format_estimate(difference, signed=True)}."
    )


def show_headline(evaluation: Evaluation) -> None:
    """Print the headline scores with their intervals."""
    for red_flag in evaluation.red_flags:
        print_red_flag(red_flag.title, red_flag.sentence)
    console.print(_build_table(evaluation))
    if difference := describe_best_baseline(evaluation):
        say(difference)
    for line in describe_prevalences(evaluation):
        say(line)
    if evaluation.data_verdict:
        warn(evaluation.data_verdict)
    for warning in evaluation.warnings:
        warn(warning)
    if evaluation.worst_slice is not None:
        say(evaluation.worst_slice.sentence)


def show_reliability(folder: Path) -> None:
    """Show accuracy with abstention, and the generalisation gap to external images."""
    from cxresnet.evaluate.external import EXTERNAL_NAME, read_external
    from cxresnet.evaluate.selective import SELECTIVE_NAME, read_selective

    selective = read_selective(folder / SELECTIVE_NAME)
    say(selective.describe())
    for note in selective.caveats:
        warn(note)
    if (folder / EXTERNAL_NAME).is_file():
        say(read_external(folder / EXTERNAL_NAME).sentence)


def _build_table(evaluation: Evaluation) -> Table:
    percent = round(evaluation.provenance.confidence * 100)
    title = (
        f"{evaluation.name}: {evaluation.images} images of {evaluation.patients} patients "
        f"[{percent} % intervals, bootstrap over patients]"
    )
    table = Table(title=title, box=SIMPLE, title_justify="left", title_style="bold")
    for column in ("", "value", "low", "high", "n"):
        table.add_column(column, justify="left" if not column else "right")
    for heading, rows in _list_blocks(evaluation):
        defined = {name: one for name, one in rows.items() if one.value is not None}
        if heading and defined:
            table.add_row(heading)
        for name, estimate in defined.items():
            table.add_row(Text(f"  {name}" if heading else name), *_format(estimate))
        table.add_section()
    return table


def _list_blocks(evaluation: Evaluation) -> list[tuple[str, dict[str, Estimate]]]:
    """List the blocks of the table, each with a heading or none, and scores by name."""
    ours = evaluation.headline
    headline = {
        "Accuracy": ours.accuracy,
        "Balanced accuracy": ours.balanced_accuracy,
        "Macro F1": ours.macro_f1,
        "Macro AUROC": ours.macro_auroc,
    }
    classes = [
        (
            "",
            {
                f"{result.class_name}: sensitivity": result.sensitivity,
                f"{result.class_name}: specificity": result.specificity,
                f"{result.class_name}: AUROC": result.auroc,
            },
        )
        for result in evaluation.classes
    ]
    baselines = {
        baseline.title: baseline.headline.balanced_accuracy
        for baseline in evaluation.baselines
        if baseline.headline is not None
    }
    return [("", headline), *classes, ("Balanced accuracy of shortcut baselines", baselines)]


def _format(estimate: Estimate) -> tuple[str, str, str, str]:
    numbers = (estimate.value, estimate.low, estimate.high)
    shown = ["–" if number is None else f"{number:.3f}" for number in numbers]
    return (shown[0], shown[1], shown[2], str(estimate.n))
