"""Training: how the network learned, and which epoch validation chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cxresnet.evaluate.members import describe_spread
from cxresnet.metrics.spread import Spread
from cxresnet.report.figures import FAINT, SERIES, Drawing, draw_svg
from cxresnet.report.section import Section
from cxresnet.report.words import show_duration

__all__ = ["Curve", "Fact", "TrainingView", "build_training_section"]

_LOSSES = {"train_loss": "training", "val_loss": "validation"}
_SCORES = {
    "val_balanced_accuracy": "balanced accuracy",
    "val_macro_auroc": "macro AUROC",
    "val_accuracy": "accuracy",
}


@dataclass(frozen=True)
class Fact:
    """One thing known about the training."""

    name: str
    value: str


@dataclass(frozen=True)
class Curve:
    """Some columns of the history, drawn over the epochs.

    Attributes:
        title: What is drawn.
        drawing: The figure.
        lines: Names of the lines, in the order of their colours.
    """

    title: str
    drawing: Drawing
    lines: tuple[str, ...]


@dataclass(frozen=True)
class TrainingView:
    """What the template shows.

    Attributes:
        epochs: Passes over the training films that were made.
        chosen_epoch: The one whose weights are tested; None where nobody wrote it down.
        curves: Loss, and scores on validation.
        facts: Settings and machine.
        alone: What each of several networks reaches by itself on the test, mean and spread; "" for
            a single one.
        validation_chose: Whether validation films chose the epoch.
    """

    epochs: int
    chosen_epoch: int | None
    curves: tuple[Curve, ...]
    facts: tuple[Fact, ...]
    alone: str = ""
    validation_chose: bool = True


def build_training_section(
    history: pd.DataFrame | None,
    *,
    chosen_epoch: int | None,
    settings: Mapping[str, object],
    environment: Mapping[str, object],
    learning_rates: pd.DataFrame | None = None,
    members: Mapping[str, Spread] | None = None,
) -> Section:
    """Build the section; without a history it says how to get one.

    Args:
        history: `history.csv`: one row an epoch.
        chosen_epoch: The epoch that validation chose.
        settings: Of the training, by name.
        environment: Of the training, by name.
        learning_rates: `learning_rates.csv`, where the rate was swept for.
        members: Test scores of several networks, each by itself.
    """
    anchor, title, short = "training", "How it was trained", "Training"
    if history is None or history.empty:
        missing = "Not trained yet. 'cxresnet train DATASET --out RUN' trains."
        return Section(anchor, title, short, view=None, missing=missing)
    curves = (
        _draw_curve(history, "Loss", _LOSSES, chosen_epoch=chosen_epoch),
        _draw_curve(history, "Scores on validation films", _SCORES, chosen_epoch=chosen_epoch),
        _draw_sweep(learning_rates),
    )
    view = TrainingView(
        epochs=len(history),
        chosen_epoch=chosen_epoch,
        curves=tuple(curve for curve in curves if curve is not None),
        facts=_list_facts(history, settings=settings, environment=environment),
        validation_chose=settings.get("monitor") != "last",
        alone=describe_spread(members) if members else "",
    )
    return Section(anchor, title, short, view=view)


def _list_facts(
    history: pd.DataFrame, *, settings: Mapping[str, object], environment: Mapping[str, object]
) -> tuple[Fact, ...]:
    facts = []
    if "seconds" in history:
        facts.append(Fact("time", show_duration(float(history["seconds"].sum()))))
    for values in (settings, environment):
        facts += [
            Fact(name.replace("_", " "), str(value))
            for name, value in values.items()
            if isinstance(value, str | int | float)
        ]
    return tuple(facts)


def _draw_curve(
    history: pd.DataFrame, title: str, columns: Mapping[str, str], *, chosen_epoch: int | None
) -> Curve | None:
    """Draw those of the columns that are there; None where none is."""
    present = [name for name in columns if name in history and history[name].notna().any()]
    if not present:
        return None
    epochs = history["epoch"].to_numpy()

    def draw(axes: Axes) -> None:
        if chosen_epoch is not None:
            axes.axvline(chosen_epoch, color=FAINT, linewidth=1, linestyle=(0, (2, 3)))
        for number, name in enumerate(present):
            marker = "o" if len(epochs) == 1 else ""
            axes.plot(epochs, history[name].to_numpy(), color=SERIES[number], marker=marker)
            if chosen_epoch is not None:
                _mark(axes, epochs, history[name].to_numpy(), at=chosen_epoch, number=number)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")

    names = tuple(columns[name] for name in present)
    words = f"{title} over {len(epochs)} epochs: {', '.join(names)}."
    return Curve(title, draw_svg(f"history-{present[0]}", draw, words=words), names)


def _draw_sweep(learning_rates: pd.DataFrame | None) -> Curve | None:
    """Draw how the loss ran while the learning rate rose; None where nobody swept."""
    if learning_rates is None or learning_rates.empty:
        return None
    rates = learning_rates["learning_rate"].to_numpy()
    losses = learning_rates["train_loss"].to_numpy()
    chosen = learning_rates["chosen"].to_numpy() == 1

    def draw(axes: Axes) -> None:
        axes.set_xscale("log")
        axes.plot(rates, losses, color=SERIES[0])
        axes.plot(rates[chosen], losses[chosen], "o", color=SERIES[0], markersize=5)
        axes.set_xlabel("learning rate")

    words = f"Training loss while the learning rate rose from {rates[0]:.2g} to {rates[-1]:.2g}."
    title = "Loss while the learning rate rose"
    return Curve(title, draw_svg("learning-rates", draw, words=words), ("training",))


def _mark(
    axes: Axes, epochs: NDArray[np.int64], values: NDArray[np.float64], *, at: int, number: int
) -> None:
    chosen = epochs == at
    axes.plot(epochs[chosen], values[chosen], "o", color=SERIES[number], markersize=5)
