"""`cxresnet evaluate RUN --leave-one-source-out`: trains, then judges, one network a source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from cxresnet.cli.terminal import console, say, say_wrote
from cxresnet.core.config import EvaluateConfig, read_written_config
from cxresnet.core.run_folder import RunFolder

if TYPE_CHECKING:
    from cxresnet.evaluate.left_out_sources import LeaveOneSourceOut
    from cxresnet.metrics.estimate import Estimate

__all__ = ["leave_sources_out"]


def leave_sources_out(run: RunFolder, *, config: EvaluateConfig, resume: bool) -> None:
    """Train one network for each source that can be tested, and judge the source with it.

    The two rooms do not know each other: `train` leaves a checkpoint a source, `evaluate` reads
    them.
    """
    from cxresnet.data.dataset import open_dataset
    from cxresnet.evaluate.leave_one_source_out import judge_left_out_sources
    from cxresnet.evaluate.left_out_sources import LEAVE_ONE_SOURCE_OUT_NAME
    from cxresnet.train.leave_one_source_out import train_source_rounds

    trained_with = read_written_config(run.train / "config.json")
    dataset = open_dataset(run.read_dataset_path())
    rounds = train_source_rounds(dataset, config=trained_with, run=run, resume=resume)
    found = judge_left_out_sources(run, dataset, rounds, config=config)
    if any(one.scores for one in found.sources):
        console.print(_build_table(found))
    for one in found.sources:
        if one.reason:
            say(f"{one.source}: {one.reason}")
    say(found.sentence)
    say_wrote(run.evaluate / LEAVE_ONE_SOURCE_OUT_NAME)


def _build_table(found: LeaveOneSourceOut) -> Table:
    table = Table(
        title="Each source judged by a network that never saw it",
        box=SIMPLE,
        title_justify="left",
        title_style="bold",
    )
    for column in ("source left out", "films", "", "internal", "external", "gap"):
        table.add_column(column, justify="left" if column in {"", "source left out"} else "right")
    rows = [(one.source, str(one.external_films), one.scores) for one in found.sources]
    for name, films, scores in [*rows, ("mean", "", found.mean)]:
        for score in scores:
            if "/" not in score.name:
                cells = [_format(part) for part in (score.internal, score.external, score.gap)]
                table.add_row(Text(name), films, score.name.replace("_", " "), *cells)
    return table


def _format(estimate: Estimate) -> str:
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
