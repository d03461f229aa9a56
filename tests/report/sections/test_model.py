"""The network is drawn and summed up."""

from __future__ import annotations

import base64

import pandas as pd
import pytest

from cxresnet.core.config import ModelConfig
from cxresnet.metrics.agreement import Spread
from cxresnet.model.checkpoint import CheckpointRecord
from cxresnet.model.presets import build_model
from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.registry import build_section
from cxresnet.report.sections.model import (
    TrainingView,
    build_architecture_view,
    build_training_view,
)


def test_the_picture_is_an_svg_apart_and_the_sums_are_those_of_the_network(
    checkpoint_record: CheckpointRecord,
) -> None:
    model = build_model(ModelConfig(preset="nano"), class_count=2)
    record = checkpoint_record.model_copy(update={"class_names": ("<b>one</b>", "two")})
    view = build_architecture_view(model, record)
    kind, _, content = view.uri.partition(",")
    assert kind == "data:image/svg+xml;base64"
    picture = base64.b64decode(content).decode()
    assert picture.startswith("<svg")
    assert "<b>one" not in picture
    learnt = sum(parameter.numel() for parameter in model.parameters())
    assert view.totals.parameters == learnt


def test_before_training_the_section_says_how_to_get_a_network() -> None:
    section = build_section("architecture", RunArtifacts(name="new"))
    assert "cxresnet train" in section.missing


# The training section draws what the history holds.


def _view(history: pd.DataFrame, record: CheckpointRecord | None = None) -> TrainingView:
    return build_training_view(
        history,
        record,
        config={"train": {"learning_rate": 0.1, "schedule": ["not", "shown"]}},
        environment={"torch": "2.13"},
    )


@pytest.mark.slow
def test_only_columns_that_are_there_are_drawn(history: pd.DataFrame) -> None:
    view = _view(history)
    assert [curve.lines for curve in view.curves] == [
        ("training", "validation"),
        ("balanced accuracy",),
    ]


@pytest.mark.slow
def test_time_settings_and_machine_are_listed(history: pd.DataFrame) -> None:
    facts = {fact.name: fact.value for fact in _view(history).facts}
    assert facts == {"time": "1 min 15 s", "learning rate": "0.1", "torch": "2.13"}


@pytest.mark.slow
def test_the_chosen_epoch_is_marked(
    history: pd.DataFrame, checkpoint_record: CheckpointRecord
) -> None:
    marked, unmarked = (
        _view(history, record).curves[0].drawing.svg for record in (checkpoint_record, None)
    )
    assert len(marked) > len(unmarked)


@pytest.mark.slow
def test_a_history_of_one_epoch_can_be_drawn(
    history: pd.DataFrame, checkpoint_record: CheckpointRecord
) -> None:
    first = checkpoint_record.model_copy(update={"notes": {"epoch": 0}})
    assert len(_view(history.head(1), first).curves) == 2


def test_before_training_the_section_says_how_to_train() -> None:
    for history in (None, pd.DataFrame()):
        section = build_section("training", RunArtifacts(name="new", history=history))
        assert "cxresnet train" in section.missing


@pytest.mark.slow
def test_a_sweep_for_the_learning_rate_is_drawn_where_there_was_one(history: pd.DataFrame) -> None:
    rates = pd.DataFrame(
        {"learning_rate": [1e-3, 1e-2, 1e-1], "train_loss": [1.0, 0.5, 2.0], "chosen": [0, 1, 0]}
    )
    curve = build_training_view(history, learning_rates=rates).curves[-1]
    assert curve.title == "Learning-rate sweep"
    assert "from 0.001 to 0.1" in curve.drawing.alt_text


@pytest.mark.slow
def test_what_each_of_several_networks_reaches_is_said(history: pd.DataFrame) -> None:
    members = {"accuracy": Spread(mean=0.8, sd=0.012, n=5), "macro_auroc": Spread(0.9, 0.004, 5)}
    view = build_training_view(history, members=members)
    assert view.members_summary == "accuracy 0.800 ± 0.012, macro auroc 0.900 ± 0.004"
