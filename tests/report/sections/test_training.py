"""The training section draws what the history holds."""

from __future__ import annotations

import pandas as pd

from cxresnet.metrics.spread import Spread
from cxresnet.report.sections.training import TrainingView, build_training_section


def _view(history: pd.DataFrame, chosen_epoch: int | None = 1) -> TrainingView:
    section = build_training_section(
        history,
        chosen_epoch=chosen_epoch,
        settings={"learning_rate": 0.1, "schedule": ["not", "shown"]},
        environment={"torch": "2.13"},
    )
    assert isinstance(section.view, TrainingView)
    return section.view


def test_only_columns_that_are_there_are_drawn(history: pd.DataFrame) -> None:
    view = _view(history)
    assert [curve.lines for curve in view.curves] == [
        ("training", "validation"),
        ("balanced accuracy",),
    ]


def test_time_settings_and_machine_are_listed(history: pd.DataFrame) -> None:
    facts = {fact.name: fact.value for fact in _view(history).facts}
    assert facts == {"time": "1 min 15 s", "learning rate": "0.1", "torch": "2.13"}


def test_the_chosen_epoch_is_marked(history: pd.DataFrame) -> None:
    marked, unmarked = (_view(history, chosen).curves[0].drawing.svg for chosen in (1, None))
    assert len(marked) > len(unmarked)


def test_a_history_of_one_epoch_can_be_drawn(history: pd.DataFrame) -> None:
    assert len(_view(history.head(1), 0).curves) == 2


def test_before_training_the_section_says_how_to_train() -> None:
    for history in (None, pd.DataFrame()):
        section = build_training_section(history, chosen_epoch=None, settings={}, environment={})
        assert "cxresnet train" in section.missing


def test_a_sweep_for_the_learning_rate_is_drawn_where_there_was_one(history: pd.DataFrame) -> None:
    rates = pd.DataFrame(
        {"learning_rate": [1e-3, 1e-2, 1e-1], "train_loss": [1.0, 0.5, 2.0], "chosen": [0, 1, 0]}
    )
    section = build_training_section(
        history, chosen_epoch=1, settings={}, environment={}, learning_rates=rates
    )
    assert isinstance(section.view, TrainingView)
    curve = section.view.curves[-1]
    assert curve.title == "Loss while the learning rate rose"
    assert "from 0.001 to 0.1" in curve.drawing.words


def test_what_each_of_several_networks_reaches_is_said(history: pd.DataFrame) -> None:
    members = {"accuracy": Spread(mean=0.8, sd=0.012, n=5), "macro_auroc": Spread(0.9, 0.004, 5)}
    section = build_training_section(
        history, chosen_epoch=None, settings={}, environment={}, members=members
    )
    assert isinstance(section.view, TrainingView)
    assert section.view.alone == "accuracy 0.800 ± 0.012, macro auroc 0.900 ± 0.004"
