"""Films from elsewhere beside the sealed test, with the gap and its interval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import read_json, write_json
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset import PreparedDataset
from cxresnet.data.sealed_test import read_ledger
from cxresnet.evaluate.evaluation import run_evaluate
from cxresnet.evaluate.external import list_external_folders, read_external
from cxresnet.evaluate.selective import read_selective

Write = Callable[..., PreparedDataset]


def _count_openings(run: RunFolder) -> int:
    return len(read_ledger(run.read_dataset_path() / "test_openings.csv"))


def test_internal_external_and_gap_are_written_without_opening_the_test_again(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    inside = run_evaluate(run, config=config)
    other = write_dataset(tmp_path / "clinic", seed=1)
    outside = run_evaluate(run, config=config, dataset=other.path)
    found = read_external(run.path / "evaluate-clinic" / "external.json")
    scores = {score.name: score for score in found.scores}
    balanced = scores["balanced_accuracy"]
    assert balanced.internal.value == inside.headline.balanced_accuracy.value
    assert balanced.external.value == outside.headline.balanced_accuracy.value
    assert balanced.gap.value == pytest.approx(balanced.internal.value - balanced.external.value)
    assert balanced.gap.low < balanced.gap.high
    assert [score.name for score in found.by_patient] == [
        "patients_found/normal", "patients_found/pneumonia", "patients_found/covid-19",
    ]  # fmt: skip
    for score, own, others in zip(
        found.by_patient, inside.by_patient, outside.by_patient, strict=True
    ):
        assert (score.internal, score.external) == (own.recall, others.recall)
    assert (found.internal_films, found.external_films, found.external_patients) == (24, 78, 39)
    assert found.missing_classes == ()
    assert "macro AUROC" in found.sentence
    assert _count_openings(run) == 1
    assert list_external_folders(run) == [run.path / "evaluate-clinic"]
    assert read_selective(run.path / "evaluate-clinic" / "selective.json").name == "clinic"


def test_equal_names_here_and_elsewhere_are_not_the_same_images_or_patients(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    config = config.model_copy(update={"baselines": False})
    run_evaluate(run, config=config)
    names = [f"film-0-{number}" for number in range(78)]
    other = write_dataset(tmp_path / "clinic", seed=1, image_id=names)
    run_evaluate(run, config=config, dataset=other.path)
    found = read_external(run.path / "evaluate-clinic" / "external.json")
    gap = next(score.gap for score in found.scores if score.name == "balanced_accuracy")
    # The sealed test has 24 images of 12 patients, the clinic 78 of 39.
    assert (gap.n, gap.groups) == (102, 51)


def test_a_set_of_one_class_is_compared_by_its_sensitivity_alone(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    run_evaluate(run, config=config)
    names = ("covid-19", "tuberculosis")
    other = write_dataset(tmp_path / "clinic", class_names=names, seed=1)
    run_evaluate(run, config=config, dataset=other.path)
    found = read_external(run.path / "evaluate-clinic" / "external.json")
    assert [score.name for score in found.scores] == ["sensitivity/covid-19"]
    assert [score.name for score in found.by_patient] == ["patients_found/covid-19"]
    assert found.classes == ("covid-19",)
    assert found.missing_classes == ("normal", "pneumonia")
    assert found.external_films == (other.manifest["class_name"] == "covid-19").sum()
    assert "sensitivity of covid-19" in found.sentence


def test_without_an_evaluated_test_there_is_no_gap_and_it_says_how_to_get_one(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    other = write_dataset(tmp_path / "clinic", seed=1)
    run_evaluate(run, config=config, dataset=other.path)
    found = read_external(run.path / "evaluate-clinic" / "external.json")
    assert found.scores == ()
    assert "not evaluated yet. Run 'cxresnet evaluate RUN' first" in found.reason
    assert found.sentence == found.reason


def test_the_test_of_another_network_is_not_taken_for_this_ones(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    run_evaluate(run, config=config)
    content = read_json(run.metrics)
    content["provenance"]["checkpoint"] = "0" * 64
    write_json(run.metrics, content)
    other = write_dataset(tmp_path / "clinic", seed=1)
    run_evaluate(run, config=config, dataset=other.path)
    found = read_external(run.path / "evaluate-clinic" / "external.json")
    assert found.scores == ()
    assert "evaluated with another network" in found.reason


def test_a_damaged_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "external.json"
    path.write_text("{}")
    with pytest.raises(RunFolderError, match="cxresnet evaluate RUN --data OTHER"):
        read_external(path)
