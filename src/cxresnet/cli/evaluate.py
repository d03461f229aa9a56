"""`cxresnet evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from cxresnet.cli.leave_one_source_out import leave_sources_out
from cxresnet.cli.options import ConfigOption, ResumeOption, RunArgument, SetOption
from cxresnet.cli.prevalence import PrevalenceOption, add_prevalences, describe_prevalences
from cxresnet.cli.terminal import console, say, say_wrote, sound_alarm, warn
from cxresnet.core.config import EvaluateConfig, read_config
from cxresnet.core.errors import ConfigError
from cxresnet.core.run_folder import RunFolder, open_run_folder

if TYPE_CHECKING:
    from cxresnet.evaluate.record import Evaluation
    from cxresnet.metrics.bootstrap import Estimate

__all__ = ["describe_headline", "evaluate", "evaluate_network"]


def evaluate(
    run: RunArgument,
    *,
    data: Annotated[
        Path | None,
        typer.Option("--data", "--dataset", help="Another prepared dataset: films from elsewhere."),
    ] = None,
    leave_one_source_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-source-out",
            help="Train once more for each source, without it, and judge it by that network.",
        ),
    ] = False,
    resume: ResumeOption = False,
    prevalence: PrevalenceOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Test the network on the sealed films; every number with its n and interval."""
    settings = add_prevalences(read_config(config, settings=set_ or ()).evaluate, prevalence)
    if not leave_one_source_out:
        evaluate_network(open_run_folder(run), config=settings, data=data)
        return
    if data is not None:
        raise ConfigError(
            "--leave-one-source-out is about the run's own films. "
            "Leave out --data, or call evaluate twice."
        )
    leave_sources_out(open_run_folder(run), config=settings, resume=resume)


def evaluate_network(
    run: RunFolder, *, config: EvaluateConfig, data: Path | None = None
) -> Evaluation:
    """Evaluate, and show the headline numbers."""
    from cxresnet.evaluate.evaluation import run_evaluate

    evaluation = run_evaluate(run, config=config, dataset=data)
    show_headline(evaluation)
    folder = run.evaluate if data is None else run.path / f"evaluate-{evaluation.name}"
    show_honesty(folder)
    say_wrote(folder / run.metrics.name)
    say_wrote(folder / run.predictions.name)
    return evaluation


def describe_headline(evaluation: Evaluation) -> str:
    """Describe the headline in one line, each number with its interval."""
    headline = evaluation.headline
    named = (
        ("balanced accuracy", headline.balanced_accuracy),
        ("accuracy", headline.accuracy),
        ("macro AUROC", headline.macro_auroc),
    )
    shown = []
    for name, estimate in named:
        value, low, high, _ = _format(estimate)
        shown.append(f"{name} {value} ({low} to {high})")
    line = (
        f"{evaluation.name}: {', '.join(shown)}; "
        f"n = {evaluation.films} films of {evaluation.patients} patients."
    )
    return f"{line} {describe_best_baseline(evaluation)}".rstrip()


def describe_best_baseline(evaluation: Evaluation) -> str:
    """Say how far the network is above the best rule without lungs; "" where none was tried."""
    best = next((one for one in evaluation.baselines if one.name == evaluation.best_baseline), None)
    if best is None or best.lift is None or best.lift.value is None:
        return ""
    value, low, high, _ = _format(best.lift)
    return (
        f"Balanced accuracy less that of the best rule without lungs ({best.title}): {value} "
        f"({low} to {high})."
    )


def show_headline(evaluation: Evaluation) -> None:
    """Print the headline numbers with their intervals."""
    for alarm in evaluation.alarms:
        sound_alarm(alarm.title, alarm.sentence)
    console.print(_build_table(evaluation))
    if above := describe_best_baseline(evaluation):
        say(above)
    for line in describe_prevalences(evaluation):
        say(line)
    if evaluation.data_verdict:
        warn(evaluation.data_verdict)
    for warning in evaluation.warnings:
        warn(warning)
    if evaluation.worst_slice is not None:
        say(evaluation.worst_slice.sentence)


def show_honesty(folder: Path) -> None:
    """Say when the network may answer, and how much worse it is on films from elsewhere."""
    from cxresnet.evaluate.external import EXTERNAL_NAME, read_external
    from cxresnet.evaluate.selective import SELECTIVE_NAME, read_selective

    selective = read_selective(folder / SELECTIVE_NAME)
    answered, _, _, films = _format(selective.answered)
    right, low, high, _ = _format(selective.accuracy_answered)
    say(
        f"Allowed to say 'cannot tell' (sets that hold the true class of {selective.coverage:.0%} "
        f"of each class's films), it names a class for {answered} of {films} films and is right "
        f"for {right} ({low} to {high}) of these."
    )
    for note in selective.doubts:
        warn(note)
    if (folder / EXTERNAL_NAME).is_file():
        say(read_external(folder / EXTERNAL_NAME).sentence)


def _build_table(evaluation: Evaluation) -> Table:
    percent = round(evaluation.provenance.confidence * 100)
    title = (
        f"{evaluation.name}: {evaluation.films} films of {evaluation.patients} patients "
        f"[{percent} % intervals over patients]"
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
    """List what the table shows: blocks with their heading, or none, and numbers by name."""
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
    return [("", headline), *classes, ("Balanced accuracy of rules without lungs", baselines)]


def _format(estimate: Estimate) -> tuple[str, str, str, str]:
    numbers = (estimate.value, estimate.low, estimate.high)
    shown = ["–" if number is None else f"{number:.3f}" for number in numbers]
    return (shown[0], shown[1], shown[2], str(estimate.n))
