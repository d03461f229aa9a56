"""The numbers that stand for the whole."""

from __future__ import annotations

import pandas as pd

from cxresnet.core.config import ModelConfig
from cxresnet.evaluate.record import Evaluation
from cxresnet.model.checkpoint import CheckpointRecord
from cxresnet.model.presets import build_model
from cxresnet.report.material import RunMaterial
from cxresnet.report.sections.summary import build_headline_cards, describe_run, find_best_baseline


def test_every_card_has_the_number_and_the_best_rule_beside_it(evaluation: Evaluation) -> None:
    cards = build_headline_cards(evaluation)
    assert [card.title for card in cards] == [
        "Balanced accuracy",
        "Accuracy",
        "Macro AUROC",
        "Macro F1",
    ]
    assert all(card.estimate.n == 1234 for card in cards)
    assert all(card.baseline == 0.8 for card in cards)
    assert cards[0].above is not None
    assert (cards[0].above.value, cards[0].rival) == (0.1, "Source alone")
    assert cards[2].above is None


def test_without_a_best_rule_there_is_none_beside(evaluation: Evaluation) -> None:
    alone = evaluation.model_copy(update={"best_baseline": None})
    assert find_best_baseline(alone) is None
    assert all(card.baseline is None for card in build_headline_cards(alone))


def test_a_run_is_described_as_far_as_it_is_done(
    history: pd.DataFrame, checkpoint_record: CheckpointRecord
) -> None:
    assert describe_run(RunMaterial(name="new")) == ""
    model = build_model(ModelConfig(preset="nano"), class_count=2)
    material = RunMaterial(name="n", model=model, record=checkpoint_record, history=history)
    assert "trained from scratch for 3 epochs in 1 min 15 s." in describe_run(material)
