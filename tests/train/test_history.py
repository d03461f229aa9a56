"""Which epoch is kept, and when a training ends, from scores made up epoch by epoch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cxresnet.core.config import TrainConfig
from cxresnet.train.history import Selection

NAN = float("nan")


def _select(
    rows: list[tuple[float, float]],
    *,
    monitor: str = "val_macro_auroc",
    patience: int = 0,
    is_first_process: bool = True,
) -> tuple[Selection, list[int], list[int]]:
    """Run epochs with these scores and losses; returns the kept epochs and the stopped ones."""
    kept: list[int] = []
    stopped: list[int] = []
    config = TrainConfig.model_validate({"monitor": monitor, "patience_epochs": patience})
    selection = Selection(config, keep=lambda _, epoch, metrics: kept.append(epoch))
    for epoch, (score, loss) in enumerate(rows):
        trainer: Any = SimpleNamespace(
            current_epoch=epoch, should_stop=False, is_global_zero=is_first_process
        )
        metrics = {"val_macro_auroc": score, "val_balanced_accuracy": -score, "val_loss": loss}
        module: Any = SimpleNamespace(epoch_metrics=metrics)
        selection.on_train_epoch_end(trainer, module)
        if trainer.should_stop:
            stopped.append(epoch + 1)
    return selection, kept, stopped


def test_a_higher_score_is_better_and_an_equal_one_needs_a_lower_loss() -> None:
    rows = [(0.8, 0.5), (0.9, 0.6), (0.9, 0.7), (0.9, 0.4), (0.9, 0.4), (0.7, 0.1)]

    selection, kept, _ = _select(rows)

    assert kept == [1, 2, 4]
    assert selection.best_epoch == 4
    assert selection.best_metrics["val_loss"] == 0.4


def test_the_score_that_the_config_names_is_compared() -> None:
    rows = [(0.5, 0.5), (0.9, 0.6), (0.4, 0.7)]

    assert _select(rows, monitor="val_macro_auroc")[1] == [1, 2]
    assert _select(rows, monitor="val_balanced_accuracy")[1] == [1, 3]
    assert _select(rows, monitor="val_loss")[1] == [1]
    assert _select(rows, monitor="last")[1] == [1, 2, 3]


def test_a_lower_loss_is_better() -> None:
    assert _select([(0.9, 0.5), (0.1, 0.4), (0.9, 0.45)], monitor="val_loss")[1] == [1, 2]


def test_where_the_score_is_never_defined_the_loss_decides() -> None:
    assert _select([(NAN, 0.5), (NAN, 0.4), (NAN, 0.6)])[1] == [1, 2]


def test_the_first_epoch_is_kept_whatever_its_score() -> None:
    assert _select([(0.0, 1e9)])[1] == [1]


@pytest.mark.parametrize(("patience", "stopped"), [(0, []), (1, [3, 4, 5]), (2, [4, 5]), (9, [])])
def test_a_training_ends_after_so_many_epochs_without_a_better_one(
    patience: int, stopped: list[int]
) -> None:
    rows = [(0.5, 1.0), (0.9, 1.0), (0.8, 1.0), (0.7, 1.0), (0.6, 1.0)]
    assert _select(rows, patience=patience)[2] == stopped


def test_a_better_epoch_begins_patience_anew() -> None:
    rows = [(0.5, 1.0), (0.4, 1.0), (0.6, 1.0), (0.5, 1.0), (0.5, 1.0)]
    assert _select(rows, patience=2)[2] == [5]


def test_only_the_first_process_writes_but_all_know_the_best_epoch() -> None:
    selection, kept, _ = _select([(0.5, 1.0), (0.9, 1.0)], is_first_process=False)
    assert kept == []
    assert selection.best_epoch == 2


def test_what_was_chosen_comes_back_with_its_patience() -> None:
    selection, _, _ = _select([(0.9, 1.0), (0.8, 1.0), (0.7, 1.0)])
    config = TrainConfig.model_validate({"monitor": "val_macro_auroc", "patience_epochs": 2})
    restored = Selection(config, keep=lambda *_: None)

    restored.load_state_dict(selection.state_dict())

    assert (restored.best_epoch, restored.best_metrics) == (1, selection.best_metrics)
    trainer: Any = SimpleNamespace(should_stop=False)
    module: Any = SimpleNamespace()
    restored.on_train_start(trainer, module)
    assert trainer.should_stop
