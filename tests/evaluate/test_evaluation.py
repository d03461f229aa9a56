from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cxresnet.core.checksums import record_checksums
from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import ClassMapError, DatasetError, StorageError
from cxresnet.core.files import read_json, write_json
from cxresnet.core.finding import Finding
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import ImageSet, PreparedDataset, open_dataset
from cxresnet.data.dataset.dataset_record import ACCESS_LOG_NAME
from cxresnet.data.dataset.held_out import read_access_log
from cxresnet.evaluate import evaluation as evaluation_module
from cxresnet.evaluate.evaluation import run_evaluate
from cxresnet.evaluate.leave_sources_out import LEAVE_SOURCES_OUT_NAME
from cxresnet.evaluate.record import Evaluation, read_evaluation
from cxresnet.evaluate.results import GeneralisationGap
from cxresnet.evaluate.selective import read_selective
from cxresnet.evaluate.topic import Background
from cxresnet.predict import load_predictor, read_predictions
from cxresnet.predict.decision import (
    DECISION_NAME,
    OperatingPoint,
    apply_operating_point,
    read_decision,
)

Write = Callable[..., PreparedDataset]


def _read_openings(run: RunFolder) -> list[str]:
    access_log = read_access_log(run.read_dataset_path() / ACCESS_LOG_NAME)
    return [access.reason for access in access_log]


@pytest.mark.slow
def test_the_sealed_test_is_judged_and_written(
    run: RunFolder, config_with_baselines: EvaluateConfig
) -> None:
    found = run_evaluate(run, config=config_with_baselines)
    assert read_evaluation(run.metrics) == found
    assert (found.name, found.images, found.patients) == ("test", 24, 12)
    assert [baseline.name for baseline in found.baselines] == [
        "majority",
        "source",
        "record",
        "file",
        "border",
        "thumbnail",
    ]
    assert {item.factor for item in found.slices} == {"source", "view", "age"}
    assert found.provenance.accesses == 1
    (access,) = read_access_log(run.read_dataset_path() / ACCESS_LOG_NAME)
    assert (access.run, access.network) == ("run", found.provenance.checkpoint)
    assert access.config == config_with_baselines.compute_hash()
    assert found.provenance.trained_on == found.provenance.dataset_hash
    assert len(found.provenance.checkpoint) == 64
    names = {path.name for path in run.evaluate.iterdir()}
    assert names == {
        "predictions.csv", "predictions.about.txt", "predictions_val.csv",
        "predictions_val.about.txt", "metrics.json", "selective.json", "decision.json",
        "training_images",
        "checksums.json",
    }  # fmt: skip


@pytest.mark.slow
def test_the_tables_are_those_of_the_network(evaluated: RunFolder) -> None:
    dataset = open_dataset(evaluated.read_dataset_path())
    predictor = load_predictor(evaluated.checkpoint)
    validation = read_predictions(evaluated.evaluate / "predictions_val.csv")
    images = dataset.select("val")
    assert validation.image_ids == tuple(images.manifest["image_id"])
    np.testing.assert_allclose(
        validation.logits, predictor.predict_images(images.images), atol=1e-5
    )
    test = read_predictions(evaluated.predictions)
    assert set(test.image_ids).isdisjoint(validation.image_ids)
    expected = dataset.manifest[dataset.manifest["split"] == "test"]
    assert test.image_ids == tuple(expected["image_id"])


def test_the_operating_point_is_chosen_before_the_seal_is_broken(
    run: RunFolder, config: EvaluateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(evaluation_module, "choose_on_validation", fail)
    with pytest.raises(RuntimeError):
        run_evaluate(run, config=config)
    assert _read_openings(run) == []


@pytest.mark.slow
def test_test_images_do_not_move_the_operating_point(
    tmp_path: Path, run: RunFolder, config: EvaluateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run_evaluate(run, config=config).operating_point
    seen = []
    choose_on_validation = evaluation_module.choose_on_validation
    monkeypatch.setattr(
        evaluation_module,
        "choose_on_validation",
        lambda images, **rest: (
            seen.append(images.image_ids),
            choose_on_validation(images, **rest),
        )[1],
    )
    assert run_evaluate(run, config=config).operating_point == before
    manifest = open_dataset(run.read_dataset_path()).manifest
    assert set(seen[0]) == set(manifest[manifest["split"] == "val"]["image_id"])


@pytest.mark.slow
def test_a_second_opening_is_counted_and_said(evaluated: RunFolder, config: EvaluateConfig) -> None:
    again = run_evaluate(evaluated, config=config)
    assert again.provenance.accesses == 2
    assert any("opened 2 times" in text for text in again.warnings)
    assert _read_openings(evaluated) == ["evaluate", "evaluate"]


@pytest.mark.slow
def test_evaluating_twice_gives_the_same_numbers(
    run: RunFolder, config_with_baselines: EvaluateConfig
) -> None:
    once, again = (
        run_evaluate(run, config=config_with_baselines),
        run_evaluate(run, config=config_with_baselines),
    )
    assert once.classes == again.classes
    assert once.baselines == again.baselines


def test_the_table_has_the_probabilities_that_the_report_shows(evaluated: RunFolder) -> None:
    point = read_evaluation(evaluated.metrics).operating_point
    for path in (evaluated.predictions, evaluated.evaluate / "predictions_val.csv"):
        shown = pd.read_csv(path).filter(like="calibrated_").to_numpy()
        np.testing.assert_allclose(shown, point.calibrate(read_predictions(path).logits), atol=1e-6)


@pytest.mark.slow
def test_openings_cut_off_at_the_end_of_the_ledger_are_missed(
    evaluated: RunFolder, config: EvaluateConfig
) -> None:
    access_log = evaluated.read_dataset_path() / ACCESS_LOG_NAME
    first, whole = access_log.read_text().splitlines()[:1], access_log.read_text()
    access_log.write_text("\n".join(first) + "\n")

    with pytest.raises(DatasetError, match=r"access 1 of .* is not in it"):
        run_evaluate(evaluated, config=config)

    access_log.write_text(whole)
    assert run_evaluate(evaluated, config=config).provenance.accesses == 2


@pytest.mark.slow
@pytest.mark.parametrize(("kept", "believed"), [("", True), ("0" * 64, False)])
def test_a_run_remembers_the_hash_of_each_opening_where_it_was_kept(
    evaluated: RunFolder, config: EvaluateConfig, kept: str, believed: bool
) -> None:
    (row,) = read_evaluation(evaluated.metrics).provenance.access_log
    (access,) = read_access_log(evaluated.read_dataset_path() / ACCESS_LOG_NAME)
    assert row.row_hash == access.row_hash
    content = read_json(evaluated.metrics)
    content["provenance"]["access_log"][0]["row_hash"] = kept
    write_json(evaluated.metrics, content)
    record_checksums(evaluated.metrics)
    if believed:
        assert run_evaluate(evaluated, config=config).provenance.accesses == 2
        return
    with pytest.raises(DatasetError, match=r"access 1 of .* is not in it"):
        run_evaluate(evaluated, config=config)


def test_sets_are_fitted_on_validation_images_and_count_patients(evaluated: RunFolder) -> None:
    found = read_selective(evaluated.evaluate / "selective.json")
    # Validation has 18 images and the test 24, two a patient, three classes.
    assert {(one.calibration_images, one.calibration_patients) for one in found.classes} == {(6, 3)}
    assert (found.decided.n, found.decided.groups) == (24, 12)
    assert {(one.empirical_coverage.n, one.empirical_coverage.groups) for one in found.classes} == {
        (8, 4)
    }


@pytest.mark.slow
def test_a_run_decides_on_an_image_as_its_evaluation_did(
    run: RunFolder, config: EvaluateConfig
) -> None:
    assert read_decision(run) is None
    evaluation = run_evaluate(run, config=config)
    decision = read_decision(run)
    assert decision is not None
    assert decision.operating_point == evaluation.operating_point
    selective = read_selective(run.evaluate / "selective.json")
    assert decision.set_thresholds == tuple(one.threshold for one in selective.classes)
    assert decision.nominal_coverage == selective.coverage == config.coverage
    table = read_predictions(run.predictions)
    evaluated = apply_operating_point(table, evaluation.operating_point)
    decided = decision.decide_images(table.logits)
    for row, one in enumerate(decided):
        assert one.class_name == table.class_names[evaluated.predicted[row]]
        np.testing.assert_allclose(one.probabilities, evaluated.probabilities[row], atol=1e-9)
    share = np.mean([not one.abstains for one in decided])
    assert selective.decided.value == pytest.approx(share)


def test_the_decision_of_another_network_is_not_used(evaluated: RunFolder) -> None:
    path = evaluated.evaluate / DECISION_NAME
    write_json(path, read_json(path) | {"network": "0" * 64})
    record_checksums(path)
    assert read_decision(evaluated) is None


class _EnoughError(Exception):
    """Raised where nothing more needs to run."""


def test_all_that_was_settled_and_found_before_is_handed_on(
    evaluated: RunFolder, config_with_baselines: EvaluateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: dict[str, Any] = {}
    choose_on_validation = evaluation_module.choose_on_validation

    def keep(name: str, value: Any) -> Any:
        handed[name] = value
        return value

    def stop(
        *_: object, background: Background, operating_point: OperatingPoint, **__: Any
    ) -> None:
        handed.update(background=background, point=operating_point)
        raise _EnoughError

    def ask(training: ImageSet, judged: Any, **options: Any) -> tuple[()]:
        handed.update(training=training, asked=judged, seed=options["seed"])
        return ()

    monkeypatch.setattr(
        evaluation_module,
        "choose_on_validation",
        lambda *images, **rest: keep("settled", choose_on_validation(*images, **rest)),
    )
    finding = Finding(
        question="source_confounding", title="?", verdict="amber", sentence="It knows."
    )
    monkeypatch.setattr(evaluation_module, "read_findings", lambda _: (finding,))
    monkeypatch.setattr(evaluation_module, "_read_source_generalisation_gap", lambda *_: "the gap")
    monkeypatch.setattr(evaluation_module, "predict_baselines", ask)
    monkeypatch.setattr(evaluation_module, "evaluate_predictions", stop)
    with pytest.raises(_EnoughError):
        run_evaluate(evaluated, config=config_with_baselines.model_copy(update={"seed": 7}))
    background, settled = handed["background"], handed["settled"]
    assert handed["point"] == settled.point
    assert background.thresholds == settled.thresholds != ()
    assert background.validation == settled.headline
    assert background.findings == (finding,)
    assert background.source_generalisation_gap == "the gap"
    assert background.accesses == len(background.access_log) == 2
    home = open_dataset(evaluated.read_dataset_path())
    assert background.data_verdict == home.verdict
    for name, images in (("train", handed["training"]), ("test", handed["asked"][0])):
        chosen = home.manifest[home.manifest["split"] == name]
        assert images.manifest["image_id"].tolist() == chosen["image_id"].tolist()
    assert handed["seed"] == 7


@pytest.mark.slow
def test_openings_are_remembered_of_this_dataset_alone(
    evaluated: RunFolder, config: EvaluateConfig
) -> None:
    """A record of another dataset's ledger must not be missed in this one's."""
    content = read_json(evaluated.metrics)
    content["provenance"]["dataset_hash"] = "0" * 64
    content["provenance"]["access_log"][0]["row_hash"] = "0" * 64
    write_json(evaluated.metrics, content)
    assert run_evaluate(evaluated, config=config).provenance.accesses == 2


@pytest.mark.slow
def test_what_is_known_of_sources_left_out_belongs_to_its_dataset(
    evaluated: RunFolder, config: EvaluateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = read_evaluation(evaluated.metrics).headline.accuracy
    gap = GeneralisationGap(
        name="accuracy", internal=number, external=number, generalisation_gap=number
    )
    (evaluated.evaluate / LEAVE_SOURCES_OUT_NAME).write_text("{}")
    home = open_dataset(evaluated.read_dataset_path())
    seen = []
    find = evaluation_module.evaluate_predictions

    def record(*table: Any, background: Background, **rest: Any) -> Evaluation:
        seen.append(background.source_generalisation_gap)
        return find(*table, background=background, **rest)

    monkeypatch.setattr(evaluation_module, "evaluate_predictions", record)
    for dataset_hash in (home.dataset_hash, "0" * 64):
        told = SimpleNamespace(headline=gap, dataset_hash=dataset_hash)
        monkeypatch.setattr(evaluation_module, "read_leave_sources_out", lambda _, told=told: told)
        run_evaluate(evaluated, config=config)
    assert seen == [gap, None]


@pytest.mark.slow
def test_validation_images_are_seen_in_as_many_views_as_the_test(
    run: RunFolder, config: EvaluateConfig
) -> None:
    tables = []
    for test_time_augmentation in (False, True):
        run_evaluate(
            run, config=config.model_copy(update={"test_time_augmentation": test_time_augmentation})
        )
        tables.append(read_predictions(run.evaluate / "predictions_val.csv").logits)
        decision = read_decision(run)
        assert decision is not None
        assert decision.test_time_augmentation == test_time_augmentation
    assert np.abs(tables[0] - tables[1]).max() > 1e-4


@pytest.mark.slow
def test_views_are_averaged_if_asked(evaluated: RunFolder, config: EvaluateConfig) -> None:
    plain = read_evaluation(evaluated.metrics)
    assert plain.provenance.test_time_augmentation == 1
    averaged = run_evaluate(
        evaluated, config=config.model_copy(update={"test_time_augmentation": True})
    )
    assert averaged.provenance.test_time_augmentation == 5
    assert averaged.calibration.brier != plain.calibration.brier


def test_baselines_can_be_left_out(evaluated: RunFolder) -> None:
    found = read_evaluation(evaluated.metrics)
    assert found.baselines == ()
    assert found.best_baseline is None


def test_a_dataset_prepared_again_is_refused(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    old = run.read_dataset_path()
    old.rename(tmp_path / "old")
    write_dataset(old, seed=5)
    with pytest.raises(DatasetError, match="has changed since the network"):
        run_evaluate(run, config=config)


@pytest.mark.slow
def test_nothing_is_written_when_there_is_no_room(run: RunFolder, config: EvaluateConfig) -> None:
    run.evaluate.write_text("a file where the folder should be")
    with pytest.raises(StorageError):
        run_evaluate(run, config=config)
    assert run.evaluate.is_file()


@pytest.mark.slow
def test_all_images_of_another_dataset_are_judged(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    other = write_dataset(tmp_path / "hannover", seed=1)
    found = run_evaluate(run, config=config, dataset=other.path)
    assert (found.name, found.images) == ("hannover", 78)
    assert found.provenance.accesses is None
    assert found.provenance.dataset_hash == other.dataset_hash
    assert found.provenance.trained_on != other.dataset_hash
    assert read_evaluation(run.path / "evaluate-hannover" / "metrics.json") == found
    assert _read_openings(run) == []


@pytest.mark.slow
def test_classes_of_another_dataset_are_found_by_name(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    names = ("covid-19", "tuberculosis")
    other = write_dataset(tmp_path / "clinic", class_names=names, seed=1)
    found = run_evaluate(run, config=config, dataset=other.path)
    normal, _, covid = found.classes
    assert covid.images == found.images == (other.manifest["class_name"] == "covid-19").sum()
    assert normal.sensitivity.value is None
    assert any("show none of the network's classes" in text for text in found.warnings)


@pytest.mark.slow
def test_copies_of_training_files_are_not_judged(
    run: RunFolder, config_with_baselines: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    # Images 0 to 53 are the run's training and validation images, 54 and on its test images.
    copies = [f"content-0-{number + 50}" for number in range(10)]
    others = [f"content-1-{number}" for number in range(10, 78)]
    other = write_dataset(tmp_path / "copies", seed=1, content_sha256=[*copies, *others])
    found = run_evaluate(run, config=config_with_baselines, dataset=other.path)
    assert found.images == 74
    assert found.baselines[0].headline.accuracy.n == 74
    assert any(text.startswith("4 images are near-duplicates") for text in found.warnings)
    table = read_predictions(run.path / "evaluate-copies" / "predictions.csv")
    assert "image-1-3" not in table.image_ids
    assert "image-1-4" in table.image_ids


@pytest.mark.slow
def test_pictures_of_training_images_under_another_name_are_not_judged(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    # The same pictures as the run's (seed 0), brighter, and with other names and files.
    names = [f"other-{number}" for number in range(78)]
    other = write_dataset(tmp_path / "again", brighter_by=5, image_id=names, content_sha256=names)
    found = run_evaluate(run, config=config, dataset=other.path)
    table = read_predictions(run.path / "evaluate-again" / "predictions.csv")
    assert found.images == 24
    assert set(table.image_ids) == set(names[54:])


def test_the_networks_own_dataset_is_no_other_dataset(
    run: RunFolder, config: EvaluateConfig
) -> None:
    with pytest.raises(DatasetError, match="is the dataset that the network was trained on"):
        run_evaluate(run, config=config, dataset=run.read_dataset_path())


@pytest.mark.slow
def test_a_dataset_prepared_otherwise_is_refused(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    other = write_dataset(tmp_path / "large", side_px=40, seed=1)
    with pytest.raises(DatasetError, match="prepared with side_px = 40"):
        run_evaluate(run, config=config, dataset=other.path)


@pytest.mark.slow
def test_a_dataset_without_a_class_of_the_network_is_refused(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    other = write_dataset(tmp_path / "animals", class_names=("cat", "dog"), seed=1)
    with pytest.raises(
        ClassMapError, match="has the classes cat, dog, and the network has the classes normal"
    ):
        run_evaluate(run, config=config, dataset=other.path)
