"""`cxresnet evaluate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.options import (
    ConfigOption,
    ResumeOption,
    RunArgument,
    SetOption,
    parse_seeds,
    read_settings,
)
from cxresnet.cli.terminal import console, print_red_flag, say, say_wrote, warn
from cxresnet.core.errors import ConfigError
from cxresnet.core.run_folder import RunFolder, holding_run_folder, open_run_folder

if TYPE_CHECKING:
    from rich.table import Table

    from cxresnet.core.config import EvaluateConfig
    from cxresnet.data.dataset.dataset import PreparedDataset
    from cxresnet.evaluate.leave_sources_out import LeaveSourcesOut
    from cxresnet.evaluate.merge_advice import MergeComparison
    from cxresnet.evaluate.record import Evaluation
    from cxresnet.metrics.estimate import Estimate


# `cxresnet evaluate RUN --leave-sources-out`: train and evaluate networks without some sources.


LeaveSourcesOutOption = Annotated[
    bool,
    typer.Option(
        "--leave-sources-out",
        help="Train without sources, singly and in sets of two, and evaluate these networks on "
        "them.",
    ),
]
SetsOption = Annotated[
    str,
    typer.Option(
        "--sets",
        metavar="A+B,C+D,…",
        help="With --leave-sources-out: the sets of sources to leave out, as in "
        "hannover+openist,radiopaedia. Default: chosen automatically.",
    ),
]
SeedsOption = Annotated[
    str,
    typer.Option(
        "--seeds",
        metavar="N,N,…",
        help="With --leave-sources-out: train once per seed, as in 0,1,2, and average.",
    ),
]
AdviseMergeOption = Annotated[
    bool,
    typer.Option(
        "--advise-merge",
        help="With --leave-sources-out: does training on each source help on the others? "
        "Trains many more networks.",
    ),
]


@dataclass(frozen=True)
class LeaveOutOptions:
    """What the command line says about leaving sources out.

    Attributes:
        sets: Sets of sources, as "hannover+openist,radiopaedia"; "" for the automatic plan.
        seeds: Of the trainings; empty for that of the run.
        advise_merge: Also train without each source, to see whether it helps.
        resume: Go on where an earlier call stopped.
    """

    sets: str
    seeds: tuple[int, ...]
    advise_merge: bool
    resume: bool


@holding_run_folder
def evaluate_left_out(run: RunFolder, *, config: EvaluateConfig, options: LeaveOutOptions) -> None:
    """Train networks without sets of sources, and evaluate them on these.

    Neither package imports the other: `train` writes a checkpoint for each set and seed, and
    `evaluate` reads them.
    """
    from cxresnet.core.config import read_written_config
    from cxresnet.data.dataset.dataset import open_dataset
    from cxresnet.data.split.source_folds import parse_source_sets, plan_source_folds
    from cxresnet.evaluate.leave_sources_out import (
        LEAVE_SOURCES_OUT_NAME,
        evaluate_left_out_sources,
    )
    from cxresnet.evaluate.merge_advice import plan_merge_comparisons
    from cxresnet.train.leave_sources_out import list_distinct_sets, train_without_sources

    trained_with = read_written_config(run.train / "config.json")
    dataset = open_dataset(run.read_dataset_path())
    folds = plan_source_folds(
        dataset.manifest,
        class_names=dataset.class_names,
        sets=parse_source_sets(options.sets, dataset.manifest) if options.sets else (),
        min_images=config.min_left_out_images,
    )
    comparisons = plan_merge_comparisons(dataset.manifest, folds) if options.advise_merge else ()
    seeds = options.seeds or (trained_with.train.seed,)
    sets = [one.sources for one in folds if not one.reason]
    further = [one.without for one in comparisons]
    announce_trainings(len(sets), len(list_distinct_sets([*sets, *further])), seeds=len(seeds))

    def train(chosen: Sequence[tuple[str, ...]], *, resume: bool) -> None:
        train_without_sources(
            dataset, chosen, config=trained_with, run=run, seeds=seeds, resume=resume
        )

    train(sets, resume=options.resume)
    _show_left_out(evaluate_left_out_sources(run, dataset, folds, seeds=seeds, config=config))
    say_wrote(run.evaluate / LEAVE_SOURCES_OUT_NAME)
    if options.advise_merge:
        done = set(list_distinct_sets(sets))
        train(
            [one for one in list_distinct_sets(further) if one not in done], resume=options.resume
        )
        _advise_merge(run, dataset, comparisons, seeds=seeds, config=config)


def announce_trainings(sets: int, trainings: int, *, seeds: int) -> None:
    """Announce the cost before it is paid."""
    times = f" with {seeds} seeds each" if seeds > 1 else ""
    extra = trainings - sets
    also = f", and {extra} more for the merge advice" if extra else ""
    say(
        f"Trains without {sets} {'set' if sets == 1 else 'sets'} of sources{also}{times}: "
        f"{trainings * seeds} {'training' if trainings * seeds == 1 else 'trainings'}, each as "
        "long as that of the run. Ctrl-C stops; --resume goes on."
    )


def _show_left_out(found: LeaveSourcesOut) -> None:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    from cxresnet.metrics.estimate import format_estimate

    table = Table(
        title="Sources left out, evaluated with networks that were trained without them",
        box=SIMPLE,
        title_justify="left",
        title_style="bold",
    )
    table.add_column("left out")
    table.add_column("classes")
    # The numbers are whole in 80 columns; the names give way.
    table.add_column("AUROC", no_wrap=True)
    table.add_column("minus best baseline", no_wrap=True)
    rows = [(one.name, task) for one in found.tested for task in one.tasks]
    for name, task in [*rows, *(("mean", task) for task in found.mean_tasks)]:
        difference = format_estimate(task.difference, signed=True) if task.difference else "–"
        table.add_row(Text(name), Text(task.title), format_estimate(task.auroc), difference)
    if rows:
        console.print(table)
    for one in found.sets:
        if one.reason:
            say(f"{one.name}: {one.reason}")
    say(found.sentence)
    if found.mean_decisions:
        say(
            "Wrong definite answers on images of sources left out: "
            f"{format_estimate(found.mean_decisions.wrong)}; abstained: "
            f"{format_estimate(found.mean_decisions.abstained)}."
        )


def _advise_merge(
    run: RunFolder,
    dataset: PreparedDataset,
    comparisons: Sequence[MergeComparison],
    *,
    seeds: Sequence[int],
    config: EvaluateConfig,
) -> None:
    from cxresnet.evaluate.merge_advice import MERGE_ADVICE_NAME, advise_merge
    from cxresnet.metrics.estimate import format_estimate

    found = advise_merge(run, dataset, comparisons, seeds=seeds, config=config)
    for one in found.sources:
        shown = f" {format_estimate(one.difference, signed=True)}" if one.difference else ""
        say(f"Training on {one.source}: {one.verdict}{shown}")
    say(found.note)
    say_wrote(run.evaluate / MERGE_ADVICE_NAME)


# `--prevalence covid=0.02`: predictive values at the prevalence of the place of use.


PrevalenceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--prevalence",
        metavar="CLASS=SHARE",
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

    >>> from cxresnet.core.config import EvaluateConfig
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


@command(order=50, examples=("evaluate runs/mine", "evaluate runs/mine --data data/other"))
def evaluate(  # noqa: PLR0913  each is a flag of the command
    run: RunArgument,
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            "--dataset",
            metavar="DATASET",
            help="Another prepared dataset, as an external test.",
        ),
    ] = None,
    leave_sources_out: LeaveSourcesOutOption = False,
    sets: SetsOption = "",
    seeds: SeedsOption = "",
    advise_merge: AdviseMergeOption = False,
    resume: ResumeOption = False,
    prevalence: PrevalenceOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Evaluate the network on the held-out test set, every score with its n and interval."""
    settings = add_prevalences(read_settings(config, set_).evaluate, prevalence)
    if not leave_sources_out:
        if sets or seeds or advise_merge:
            raise ConfigError(
                "--sets, --seeds and --advise-merge belong to --leave-sources-out. Add it, or "
                "leave them out."
            )
        folder = open_run_folder(run)
        if data is not None:
            from cxresnet.data.dataset.dataset_record import read_dataset_record

            read_dataset_record(data)  # a wrong path is told before torch is imported
        evaluate_network(folder, config=settings, data=data)
        return
    if data is not None:
        raise ConfigError(
            "--leave-sources-out uses the run's own images. "
            "Leave out --data, or run evaluate twice."
        )
    options = LeaveOutOptions(sets, tuple(dict.fromkeys(parse_seeds(seeds))), advise_merge, resume)
    evaluate_left_out(open_run_folder(run), config=settings, options=options)


def evaluate_network(
    run: RunFolder, *, config: EvaluateConfig, data: Path | None = None
) -> Evaluation:
    """Evaluate, and show the headline numbers."""
    from cxresnet.api import stages
    from cxresnet.core.config import Config

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
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

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
