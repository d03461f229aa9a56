"""From logits to a decision, and from a calibrated network to calibrated logits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from cxresnet.core.checksums import record_checksums
from cxresnet.core.config import ModelConfig
from cxresnet.core.errors import ModelModeError, RunFolderError
from cxresnet.core.files import read_json, write_json
from cxresnet.core.run_folder import RunFolder
from cxresnet.model.checkpoint import CheckpointRecord, write_checkpoint
from cxresnet.model.presets import build_model
from cxresnet.predict.decision import (
    DECISION_NAME,
    CalibratedNetwork,
    Decision,
    ImageDecision,
    OperatingPoint,
    build_plain_decision,
    compute_network_hash,
    read_decision,
    write_decision,
)

CLASS_NAMES = ("normal", "pneumonia", "covid-19")


@pytest.fixture
def decision() -> Decision:
    plain = build_plain_decision(CLASS_NAMES, network="a" * 64)
    return plain.model_copy(update={"set_thresholds": (0.3, 0.3, 0.3), "nominal_coverage": 0.9})


def _log(*probabilities: float) -> list[float]:
    return np.log(probabilities).tolist()


def _decide(decision: Decision, logits: Sequence[float]) -> ImageDecision:
    (found,) = decision.decide_images(np.array([logits]))
    return found


def _change(decision: Decision, **changes: object) -> Decision:
    point = decision.operating_point.model_copy(update=changes)
    return decision.model_copy(update={"operating_point": point})


def test_a_confident_image_gets_its_class_and_a_doubtful_one_is_abstained_from(
    decision: Decision,
) -> None:
    confident = _decide(decision, _log(0.01, 0.01, 0.98))
    assert (confident.decision, confident.class_name, confident.prediction_set) == (
        "covid-19",
        "covid-19",
        ("covid-19",),
    )
    assert not confident.abstains
    doubtful = _decide(decision, _log(0.45, 0.45, 0.10))
    assert doubtful.decision == "abstain"
    assert doubtful.abstains
    assert doubtful.class_name == "normal"
    assert set(doubtful.prediction_set) == {"normal", "pneumonia"}
    assert sum(doubtful.probabilities) == pytest.approx(1)


def test_an_empty_set_is_abstained_from(decision: Decision) -> None:
    strict = decision.model_copy(update={"set_thresholds": (0.9, 0.9, 0.9)})
    found = _decide(strict, _log(0.5, 0.3, 0.2))
    assert (found.decision, found.prediction_set, found.class_name) == ("abstain", (), "normal")


def test_an_abstention_says_what_remains_possible_and_why(decision: Decision) -> None:
    sets = decision.model_copy(update={"set_thresholds": (0.95, 0.04, 0.04)})
    assert _decide(sets, _log(0.96, 0.02, 0.02)).abstention_reason == ""
    found = _decide(sets, _log(0.90, 0.05, 0.05))
    assert (found.decision, found.class_name) == ("abstain", "normal")
    assert found.abstention_reason == (
        "possible: pneumonia or covid-19 (probability against the threshold of the class: "
        "pneumonia 0.050 ≥ 0.040, covid-19 0.050 ≥ 0.040)"
    )
    empty = decision.model_copy(update={"set_thresholds": (0.95, 0.1, 0.1)})
    assert _decide(empty, _log(0.90, 0.05, 0.05)).abstention_reason == (
        "no class fits (probability against the threshold of the class: normal 0.900 < 0.950, "
        "pneumonia 0.050 < 0.100, covid-19 0.050 < 0.100)"
    )


def test_the_thresholds_are_told_by_class_and_nothing_where_there_are_none(
    decision: Decision,
) -> None:
    sets = decision.model_copy(update={"set_thresholds": (0.95, 0.04, 0.1)})
    told = sets.describe_thresholds()
    assert "from its threshold on (normal 0.950, pneumonia 0.040, covid-19 0.100)" in told
    assert "in 90% of the images of each class" in told
    assert build_plain_decision(CLASS_NAMES).describe_thresholds() == ""


def test_the_set_is_made_of_calibrated_probabilities(decision: Decision) -> None:
    # At temperature 4 the weights are .9^¼ = .974 and twice .05^¼ = .473: .507, .246 and .246.
    sets = decision.model_copy(update={"set_thresholds": (0.2, 0.2, 0.2)})
    logits = _log(0.9, 0.05, 0.05)
    assert _decide(sets, logits).decision == "normal"
    doubtful = _decide(_change(sets, temperature=4.0), logits)
    assert doubtful.probabilities == pytest.approx((0.507, 0.246, 0.246), abs=1e-3)
    assert doubtful.prediction_set == ("normal", "pneumonia", "covid-19")
    assert (doubtful.class_name, doubtful.decision) == ("normal", "abstain")


def test_shifts_are_added_to_the_scaled_logits(decision: Decision) -> None:
    # (2, 0, 0) / 2 + (0, 0, 1) = (1, 0, 1): e, 1 and e of 2e + 1.
    shifted = _change(decision, temperature=2.0, shifts=(0.0, 0.0, 1.0))
    found = _decide(shifted, [2.0, 0.0, 0.0]).probabilities
    assert found == pytest.approx(np.array([np.e, 1, np.e]) / (2 * np.e + 1))


def test_the_weights_of_the_operating_point_decide_the_class(decision: Decision) -> None:
    # .7 · 1 against .1 · 9 = .9.
    weighted = _change(decision, weights=(1.0, 1.0, 9.0))
    assert _decide(weighted, _log(0.7, 0.2, 0.1)).class_name == "covid-19"


def test_a_probability_of_exactly_zero_is_no_error(decision: Decision) -> None:
    assert _decide(decision, (800.0, 0.0, 0.0)).decision == "normal"


def test_images_are_decided_on_together_as_alone(decision: Decision) -> None:
    logits = np.random.default_rng(0).normal(size=(20, 3)) * 3
    together = decision.decide_images(logits)
    assert together == tuple(_decide(decision, row.tolist()) for row in logits)
    assert {one.decision for one in together} > {"abstain"}


def test_a_network_that_was_not_evaluated_never_abstains() -> None:
    plain = build_plain_decision(CLASS_NAMES)
    found = _decide(plain, _log(0.34, 0.33, 0.33))
    assert (found.decision, found.prediction_set) == ("normal", ("normal",))
    assert found.probabilities == pytest.approx((0.34, 0.33, 0.33))


def _write_run(path: Path) -> RunFolder:
    run = RunFolder(path)
    config = ModelConfig(preset="nano", stem_width=4, widths=(4, 8), depths=(1, 1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_model(config, class_count=3)
    record = CheckpointRecord(
        model=config, class_names=CLASS_NAMES, preprocessing={}, dataset_hash="b" * 64
    )
    write_checkpoint(run.checkpoint, tensors=network.state_dict(), record=record)
    return run


def test_a_decision_is_read_as_it_was_written(decision: Decision, tmp_path: Path) -> None:
    run = _write_run(tmp_path)
    assert read_decision(run) is None
    own = _change(
        decision.model_copy(update={"network": compute_network_hash(run)}),
        rule="youden",
        temperature=0.1 + 0.2,
        shifts=(0.1, 0.2, -0.3),
        scores={"argmax": 0.5, "a rule of a later version": 0.6},
    )
    write_decision(run.evaluate / DECISION_NAME, own)
    assert read_decision(run) == own


def test_an_earlier_decision_is_of_the_image_alone(decision: Decision, tmp_path: Path) -> None:
    run = _write_run(tmp_path)
    own = decision.model_copy(update={"network": compute_network_hash(run)})
    path = write_decision(run.evaluate / DECISION_NAME, own)
    written = read_json(path)
    assert written.pop("test_time_augmentation") is False
    write_json(path, written)
    record_checksums(path)
    assert read_decision(run) == own


def test_the_decision_of_another_network_is_not_used(decision: Decision, tmp_path: Path) -> None:
    run = _write_run(tmp_path)
    write_decision(run.evaluate / DECISION_NAME, decision)
    assert read_decision(run) is None


def test_the_scores_of_an_evaluation_are_not_needed_to_decide(
    decision: Decision, tmp_path: Path
) -> None:
    """A later version may add a metric; the shipped network must stay readable."""
    run = _write_run(tmp_path)
    own = decision.model_copy(update={"network": compute_network_hash(run)})
    write_decision(run.evaluate / DECISION_NAME, own)
    write_json(run.metrics, {"format": 99, "a metric of a later version": 0.5})
    write_json(run.evaluate / "selective.json", {"format": 99})
    assert read_decision(run) == own


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, r"written by another version \(format 2; this one reads 1\)"),
        ({"threshold": 0.5}, "cannot be read by this version"),
    ],
)
def test_a_decision_of_another_version_is_refused(
    decision: Decision, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    run = _write_run(tmp_path)
    path = write_decision(run.evaluate / DECISION_NAME, decision)
    write_json(path, read_json(path) | changes)
    record_checksums(path)
    with pytest.raises(RunFolderError, match=message):
        read_decision(run)


def test_an_operating_point_calibrates_and_decides_as_the_decision(decision: Decision) -> None:
    point: OperatingPoint = decision.operating_point
    logits = np.random.default_rng(1).normal(size=(9, 3))
    probabilities = decision.calibrate(logits)
    np.testing.assert_array_equal(probabilities, point.calibrate(logits))
    np.testing.assert_array_equal(decision.decide(probabilities), logits.argmax(axis=1))


def test_calibrated_logits_are_those_of_the_network_over_the_temperature() -> None:
    network = build_model(ModelConfig(), class_count=3).eval()
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        found = CalibratedNetwork(network, temperature=2.5)(images)
        torch.testing.assert_close(found, network(images) / 2.5)


def test_shifts_are_added_after_the_temperature() -> None:
    network = build_model(ModelConfig(), class_count=3).eval()
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        found = CalibratedNetwork(network, temperature=2.0, shifts=(1.0, 0.0, -1.0))(images)
        torch.testing.assert_close(found, network(images) / 2 + torch.tensor([1.0, 0.0, -1.0]))


def test_a_network_that_is_training_is_refused_and_stays_so() -> None:
    network = build_model(ModelConfig(), class_count=3)
    with pytest.raises(ModelModeError, match="is training"):
        CalibratedNetwork(network, temperature=1.0)
    assert network.training
