"""External images beside the held-out test, with the gap and its interval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cxresnet.core.checksums import record_checksums
from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import read_json, write_json
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import PreparedDataset
from cxresnet.data.dataset.dataset_record import ACCESS_LOG_NAME
from cxresnet.data.dataset.held_out import read_access_log
from cxresnet.evaluate.evaluation import run_evaluate
from cxresnet.evaluate.external import compare_patients, list_external_folders, read_external
from cxresnet.evaluate.scores import PatientResult
from cxresnet.evaluate.selective import read_selective
from cxresnet.metrics.estimate import Estimate

Write = Callable[..., PreparedDataset]


def _count_openings(run: RunFolder) -> int:
    return len(read_access_log(run.read_dataset_path() / ACCESS_LOG_NAME))


@pytest.mark.slow
def test_internal_external_and_gap_are_written_without_opening_the_test_again(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    inside = run_evaluate(run, config=config)
    other = write_dataset(tmp_path / "clinic", seed=1)
    external_test = run_evaluate(run, config=config, dataset=other.path)
    found = read_external(run.path / "evaluate-clinic" / "external.json")
    scores = {score.name: score for score in found.scores}
    balanced = scores["balanced_accuracy"]
    assert balanced.internal.value == inside.headline.balanced_accuracy.value
    assert balanced.external.value == external_test.headline.balanced_accuracy.value
    assert balanced.generalisation_gap.value == pytest.approx(
        balanced.internal.value - balanced.external.value
    )
    assert balanced.generalisation_gap.low < balanced.generalisation_gap.high
    assert [score.name for score in found.by_patient] == [
        "patient_sensitivity/normal",
        "patient_sensitivity/pneumonia",
        "patient_sensitivity/covid-19",
    ]
    for score, own, others in zip(
        found.by_patient, inside.by_patient, external_test.by_patient, strict=True
    ):
        assert (score.internal, score.external) == (own.recall, others.recall)
    assert (found.internal_images, found.external_images, found.external_patients) == (24, 78, 39)
    assert found.missing_classes == ()
    assert "macro AUROC" in found.sentence
    assert _count_openings(run) == 1
    assert list_external_folders(run) == [run.path / "evaluate-clinic"]
    assert read_selective(run.path / "evaluate-clinic" / "selective.json").name == "clinic"


@pytest.mark.slow
def test_equal_names_here_and_elsewhere_are_not_the_same_images_or_patients(
    evaluated: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    names = [f"image-0-{number}" for number in range(78)]
    other = write_dataset(tmp_path / "clinic", seed=1, image_id=names)
    run_evaluate(evaluated, config=config, dataset=other.path)
    found = read_external(evaluated.path / "evaluate-clinic" / "external.json")
    generalisation_gap = next(
        score.generalisation_gap for score in found.scores if score.name == "balanced_accuracy"
    )
    # The sealed test has 24 images of 12 patients, the clinic 78 of 39.
    assert (generalisation_gap.n, generalisation_gap.groups) == (102, 51)


@pytest.mark.slow
def test_a_set_of_one_class_is_compared_by_its_sensitivity_alone(
    evaluated: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    names = ("covid-19", "tuberculosis")
    other = write_dataset(tmp_path / "clinic", class_names=names, seed=1)
    run_evaluate(evaluated, config=config, dataset=other.path)
    found = read_external(evaluated.path / "evaluate-clinic" / "external.json")
    assert [score.name for score in found.scores] == ["sensitivity/covid-19"]
    assert [score.name for score in found.by_patient] == ["patient_sensitivity/covid-19"]
    assert found.classes == ("covid-19",)
    assert found.missing_classes == ("normal", "pneumonia")
    assert found.external_images == (other.manifest["class_name"] == "covid-19").sum()
    assert "sensitivity of covid-19" in found.sentence


@pytest.mark.slow
def test_without_an_evaluated_test_there_is_no_gap_and_it_says_how_to_get_one(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    other = write_dataset(tmp_path / "clinic", seed=1)
    run_evaluate(run, config=config, dataset=other.path)
    found = read_external(run.path / "evaluate-clinic" / "external.json")
    assert found.scores == ()
    assert "not evaluated yet. Run 'cxresnet evaluate RUN' first" in found.reason
    assert found.sentence == found.reason


@pytest.mark.slow
def test_the_test_of_another_network_is_not_taken_for_this_ones(
    evaluated: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    content = read_json(evaluated.metrics)
    content["provenance"]["checkpoint"] = "0" * 64
    write_json(evaluated.metrics, content)
    record_checksums(evaluated.metrics)
    other = write_dataset(tmp_path / "clinic", seed=1)
    run_evaluate(evaluated, config=config, dataset=other.path)
    found = read_external(evaluated.path / "evaluate-clinic" / "external.json")
    assert found.scores == ()
    assert "evaluated with another network" in found.reason


def test_a_damaged_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "external.json"
    path.write_text("{}")
    with pytest.raises(RunFolderError, match="cxresnet evaluate RUN --data OTHER"):
        read_external(path)


def _number(value: float, reach: float) -> Estimate:
    return Estimate(value=value, low=value - reach, high=value + reach, n=200, groups=150)


def test_patients_are_compared_by_class_where_both_sides_have_some() -> None:
    def result(class_name: str, value: float, reach: float, patients: int = 200) -> PatientResult:
        number = _number(value, reach)
        return PatientResult(class_name=class_name, patients=patients, recall=number)

    inside = [result("normal", 0.9, 0.01), result("pneumonia", 0.8, 0.03), result("flu", 0, 0, 0)]
    there = [result("flu", 0.5, 0.1), result("pneumonia", 0.6, 0.04), result("normal", 0, 0, 0)]
    (score,) = compare_patients(inside, there)
    assert score.name == "patient_sensitivity/pneumonia"
    assert (score.internal, score.external) == (inside[1].recall, there[1].recall)
    assert (score.generalisation_gap.low, score.generalisation_gap.high) == pytest.approx(
        (0.15, 0.25)
    )
