"""What must be the same to get the same numbers is listed."""

from __future__ import annotations

from cxresnet.evaluate.record import Evaluation
from cxresnet.report.sections.reproduction import list_pins


def test_versions_hashes_and_seeds_are_pinned(evaluation: Evaluation) -> None:
    view = list_pins(
        dataset_hash="abc",
        versions={"torch": "2.13.0"},
        provenance=evaluation.provenance,
        config={"data": {"seed": 3}, "train": {"seed": 4, "epochs": 2}, "evaluate": {"seed": 9}},
    )
    pins = {pin.name: pin.value for pin in view.pins}
    assert pins["torch"] == "2.13.0"
    assert pins["dataset"] == "abc"
    assert pins["weights, SHA-256"] == "c" * 64
    assert (pins["seed of data"], pins["seed of train"]) == ("3", "4")
    assert pins["seed of the intervals"] == "5"
    assert "train.epochs = 2" in view.config.splitlines()


def test_what_is_not_known_is_left_out() -> None:
    view = list_pins(dataset_hash="", versions={}, provenance=None, config={})
    assert [pin.name for pin in view.pins] == ["cxresnet, this page"]
    assert view.config == ""
