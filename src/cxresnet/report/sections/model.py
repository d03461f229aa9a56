"""The model: a picture of it, what each part costs, and how it was trained."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cxresnet.evaluate.members import describe_spread
from cxresnet.metrics.agreement import Spread
from cxresnet.model.checkpoint import CheckpointRecord
from cxresnet.model.diagram import draw_architecture
from cxresnet.model.ensemble import CXResNetEnsemble, Network
from cxresnet.model.summary import LayerRow, Totals, compute_totals, summarise_model
from cxresnet.report.figures import FAINT, SERIES, Drawing, draw_svg
from cxresnet.report.formatting import format_duration
from cxresnet.report.registry import register_section


@dataclass(frozen=True)
class ArchitectureView:
    """What the template shows.

    Attributes:
        preset: Name of the network.
        side_px: Side of the image that the picture was drawn for.
        uri: The picture, as a `data:` address: apart from the page, so that neither its style
            nor a class's name can reach out of it.
        rows: Its parts in order.
        totals: Sums of the rows.
        members: Networks of this kind whose logits are averaged; 1 is a single network.
    """

    preset: str
    side_px: int
    uri: str
    rows: tuple[LayerRow, ...]
    totals: Totals
    members: int = 1


@register_section(
    "architecture",
    title="The model",
    short_title="Model",
    order=20,
    needs=("model",),
    uses=("record",),
    missing="Not trained yet. 'cxresnet train DATASET --out RUN' builds and trains a model.",
)
def build_architecture_view(model: Network, record: CheckpointRecord | None) -> ArchitectureView:
    """Draw the model, and sum up its parts.

    Args:
        model: The network that was trained.
        record: What came with its weights.
    """
    networks = model.networks if isinstance(model, CXResNetEnsemble) else (model,)
    side = record.preprocessing.get("side_px", 0) if record else 0
    side_px = int(side) if isinstance(side, int | float) else 0
    picture = draw_architecture(
        networks[0], side_px=side_px, class_names=record.class_names if record else ()
    )
    rows = tuple(summarise_model(networks[0], side_px=side_px))
    return ArchitectureView(
        preset=record.model.preset if record else "",
        side_px=side_px,
        uri="data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode("ascii"),
        rows=rows,
        totals=compute_totals(rows),
        members=len(networks),
    )


# Training: the learning curves, and which epoch validation chose.


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
        epochs: Passes over the training images that were made.
        chosen_epoch: The one whose weights are tested; None where it is not recorded.
        curves: Loss, and scores on validation.
        facts: Settings and machine.
        members_summary: Test scores of the members of an ensemble, mean and standard deviation; ""
            for a single network.
        validation_chose: Whether validation images chose the epoch.
    """

    epochs: int
    chosen_epoch: int | None
    curves: tuple[Curve, ...]
    facts: tuple[Fact, ...]
    members_summary: str = ""
    validation_chose: bool = True


@register_section(
    "training",
    title="Training",
    short_title="Training",
    order=30,
    needs=("history",),
    uses=("record", "config", "environment", "learning_rates", "members"),
    missing="Not trained yet. 'cxresnet train DATASET --out RUN' trains a model.",
)
def build_training_view(
    history: pd.DataFrame,
    record: CheckpointRecord | None = None,
    config: Mapping[str, Mapping[str, object]] = MappingProxyType({}),
    environment: Mapping[str, object] = MappingProxyType({}),
    learning_rates: pd.DataFrame | None = None,
    members: Mapping[str, Spread] | None = None,
) -> TrainingView:
    """Draw the history of the training.

    Args:
        history: `history.csv`: one row an epoch.
        record: What came with the weights; it names the epoch that validation chose.
        config: By section and key.
        environment: Of the training, by name.
        learning_rates: `learning_rates.csv`, where the learning rate was swept.
        members: Test scores of the members of an ensemble.
    """
    chosen_epoch = find_chosen_epoch(record)
    settings = config.get("train", {})
    curves = (
        _draw_curve(history, "Loss", _LOSSES, chosen_epoch=chosen_epoch),
        _draw_curve(history, "Scores on validation images", _SCORES, chosen_epoch=chosen_epoch),
        _draw_sweep(learning_rates),
    )
    return TrainingView(
        epochs=len(history),
        chosen_epoch=chosen_epoch,
        curves=tuple(curve for curve in curves if curve is not None),
        facts=_list_facts(history, settings=settings, environment=environment),
        validation_chose=settings.get("monitor") != "last",
        members_summary=describe_spread(members) if members else "",
    )


def find_chosen_epoch(record: CheckpointRecord | None) -> int | None:
    """Find the epoch that the checkpoint was taken after."""
    if record is None:
        return None
    epoch = (record.notes | record.metrics).get("epoch")
    return int(epoch) if isinstance(epoch, int | float) else None


def _list_facts(
    history: pd.DataFrame, *, settings: Mapping[str, object], environment: Mapping[str, object]
) -> tuple[Fact, ...]:
    facts = []
    if "seconds" in history:
        facts.append(Fact("time", format_duration(float(history["seconds"].sum()))))
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
    alt_text = f"{title} over {len(epochs)} epochs: {', '.join(names)}."
    return Curve(title, draw_svg(f"history-{present[0]}", draw, alt_text=alt_text), names)


def _draw_sweep(learning_rates: pd.DataFrame | None) -> Curve | None:
    """Draw the loss over the learning rate; None where there was no sweep."""
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

    alt_text = f"Training loss while the learning rate rose from {rates[0]:.2g} to {rates[-1]:.2g}."
    title = "Learning-rate sweep"
    return Curve(title, draw_svg("learning-rates", draw, alt_text=alt_text), ("training",))


def _mark(
    axes: Axes, epochs: NDArray[np.int64], values: NDArray[np.float64], *, at: int, number: int
) -> None:
    chosen = epochs == at
    axes.plot(epochs[chosen], values[chosen], "o", color=SERIES[number], markersize=5)
