"""Sets of sources evaluated by networks that never saw them; the trainings are only pretended."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import CheckpointError, DatasetError, RunFolderError
from cxresnet.core.run_folder import RunFolder, claim_run_folder
from cxresnet.data.dataset.dataset import ImageSet, PreparedDataset, open_dataset
from cxresnet.data.dataset.dataset_record import ACCESS_LOG_NAME
from cxresnet.data.dataset.held_out import read_access_log
from cxresnet.data.split.source_folds import SourceFold, plan_source_folds
from cxresnet.evaluate import leave_sources_out as module
from cxresnet.evaluate.evaluation import run_evaluate
from cxresnet.evaluate.leave_sources_out import (
    LeaveSourcesOut,
    evaluate_left_out_sources,
    read_leave_sources_out,
)
from cxresnet.evaluate.operating_point import choose_decision
from cxresnet.evaluate.selective import read_selective
from cxresnet.metrics.conformal import fit_set_thresholds
from cxresnet.model.checkpoint import read_model, write_checkpoint
from cxresnet.predict import read_predictions
from cxresnet.predict.decision import Decision, apply_operating_point, read_decision
from cxresnet.predict.predictions import Predictions

Write = Callable[..., PreparedDataset]


@pytest.fixture
def config() -> EvaluateConfig:
    return EvaluateConfig(bootstrap_resamples=100, shortcut_baselines=False)


def _plan(dataset: PreparedDataset) -> tuple[SourceFold, ...]:
    return plan_source_folds(dataset.manifest, class_names=dataset.class_names, min_images=5)


def _pretend_training(
    run: RunFolder, folds: tuple[SourceFold, ...], seeds: tuple[int, ...] = (0,)
) -> None:
    for fold, seed in itertools.product(folds, seeds):
        if not fold.reason:
            folder = RunFolder(run.get_source_fold(fold.sources, seed=seed))
            shutil.copytree(run.checkpoint, folder.checkpoint)


def _evaluate(
    run: RunFolder, config: EvaluateConfig, seeds: tuple[int, ...] = (0,)
) -> LeaveSourcesOut:
    dataset = open_dataset(run.read_dataset_path())
    folds = _plan(dataset)
    _pretend_training(run, folds, seeds)
    return evaluate_left_out_sources(run, dataset, folds, seeds=seeds, config=config)


@pytest.mark.slow
def test_external_is_all_of_the_source_and_internal_the_test_images_of_the_others(
    run: RunFolder, config: EvaluateConfig
) -> None:
    found = _evaluate(run, config)
    manifest = open_dataset(run.read_dataset_path()).manifest
    north, south = found.sets
    assert (north.name, south.name) == ("north", "south")
    assert north.external_images == north.images == (manifest["source"] == "north").sum()
    sealed = manifest[manifest["split"] == "test"]
    assert north.internal_images == (sealed["source"] == "south").sum()
    table = read_predictions(run.get_source_fold(["north"], seed=0) / "predictions.csv")
    assert set(table.image_ids) == set(manifest.loc[manifest["source"] == "north", "image_id"]) | (
        set(sealed.loc[sealed["source"] == "south", "image_id"])
    )
    auroc = north.scores[0]
    assert auroc.name == "macro_auroc"
    assert auroc.generalisation_gap.value == pytest.approx(
        auroc.internal.value - auroc.external.value
    )
    mean = found.mean[0]
    gaps = [one.scores[0].generalisation_gap.value for one in found.sets]
    assert mean.generalisation_gap.value == pytest.approx(np.mean(gaps))
    assert found.headline == mean
    assert "on average over 2 sets of them" in found.sentence


@pytest.mark.slow
def test_the_test_is_opened_once_and_it_is_written_down(
    run: RunFolder, config: EvaluateConfig
) -> None:
    _evaluate(run, config)
    access_log = read_access_log(run.read_dataset_path() / ACCESS_LOG_NAME)
    assert [access.reason for access in access_log] == ["evaluate: leave sources out"]


@pytest.mark.slow
def test_what_is_written_comes_back_and_damage_is_refused(
    run: RunFolder, config: EvaluateConfig
) -> None:
    found = _evaluate(run, config)
    path = run.evaluate / "leave_sources_out.json"
    assert read_leave_sources_out(path) == found
    path.write_text("{}")
    with pytest.raises(RunFolderError, match="--leave-sources-out"):
        read_leave_sources_out(path)


@pytest.mark.slow
def test_a_source_of_one_class_is_named_and_never_averaged_in(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    # As darkcovid: one class comes from a source of its own.
    numbers = np.arange(78)
    labels = (numbers // 2) % 3
    source = np.where(labels == 2, "cohen", np.where(numbers % 4 < 2, "north", "south"))
    again = _train_again(run, write_dataset, tmp_path, source=source.tolist())
    found = _evaluate(again, config)
    north, south, cohen = found.sets
    assert cohen.reason.startswith("Cannot be tested: all its images show covid-19")
    assert (cohen.scores, cohen.tasks, cohen.decisions) == ((), (), None)
    assert north.compared == south.compared == ("normal", "pneumonia")
    gaps = [one.scores[0].generalisation_gap.value for one in (north, south)]
    assert found.mean[0].generalisation_gap.value == pytest.approx(np.mean(gaps))
    assert found.sentence.endswith("Nothing can be tested on cohen.")


@pytest.mark.slow
def test_where_no_source_can_be_tested_the_seal_stays_and_it_is_said(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    again = _train_again(run, write_dataset, tmp_path, source=["only"] * 78)
    found = _evaluate(again, config)
    assert found.sentence.startswith("Nothing can be tested")
    assert found.headline is None
    assert read_access_log(again.read_dataset_path() / ACCESS_LOG_NAME) == ()


@pytest.mark.slow
def test_rounds_of_another_dataset_are_refused(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    other = write_dataset(tmp_path / "other", seed=4)
    folds = _plan(other)
    _pretend_training(run, folds)
    with pytest.raises(DatasetError, match="trained on another dataset"):
        evaluate_left_out_sources(run, other, folds, seeds=(0,), config=config)


def test_rounds_that_were_never_trained_are_refused(run: RunFolder, config: EvaluateConfig) -> None:
    dataset = open_dataset(run.read_dataset_path())
    with pytest.raises(CheckpointError):
        evaluate_left_out_sources(run, dataset, _plan(dataset), seeds=(0,), config=config)


@pytest.mark.slow
def test_two_sources_left_out_together_answer_what_neither_answers_alone(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    """Covid-19 is in c and d alone, the other classes in north and south."""
    numbers = np.arange(78)
    labels = (numbers // 2) % 3
    ill = np.where(numbers % 4 < 2, "c", "d")
    well = np.where(numbers % 4 < 2, "north", "south")
    again = _train_again(
        run, write_dataset, tmp_path, source=np.where(labels == 2, ill, well).tolist()
    )
    found = _evaluate(again, config)
    assert [one.sources for one in found.sets] == [
        ("north",), ("south",), ("c", "north"), ("d", "south"), ("c", "south"), ("d", "north"),
    ]  # fmt: skip
    pair = found.sets[2]
    covid = [task for task in pair.tasks if task.classes == ("covid-19", "normal")]
    assert [task.sources for task in covid] == [("c", "north")]
    table = read_predictions(again.get_source_fold(["north", "c"], seed=0) / "predictions.csv")
    sources = np.array(table.sources)
    shown = ((sources == "c") & (table.truth == 2)) | ((sources == "north") & (table.truth == 0))
    expected = roc_auc_score(
        table.truth[shown] == 2, (table.logits[:, 2] - table.logits[:, 0])[shown]
    )
    assert covid[0].auroc.value == pytest.approx(expected)
    assert covid[0].auroc.n == shown.sum()
    mean = {one.classes: one for one in found.mean_tasks}
    values = [
        task.auroc.value
        for one in found.sets
        for task in one.tasks
        if task.classes == ("covid-19", "normal")
    ]
    assert mean["covid-19", "normal"].auroc.value == pytest.approx(np.mean(values))
    assert mean["covid-19", "normal"].sets == len(values) == 4
    # Pneumonia is tested within a source, whatever else is left out with it.
    assert mean["pneumonia", "normal"].sets == 6
    assert "covid-19 against normal" in found.sentence


@pytest.mark.slow
def test_a_decision_for_unseen_hospitals_is_chosen_on_the_images_of_sources_left_out(
    run: RunFolder, config: EvaluateConfig
) -> None:
    elsewhere = config.model_copy(update={"calibrate_on": "left-out sources"})
    with pytest.raises(RunFolderError, match="--leave-sources-out"):
        run_evaluate(run, config=elsewhere)
    _evaluate(run, elsewhere)
    table = read_predictions(run.evaluate / "left_out_predictions.csv")
    manifest = open_dataset(run.read_dataset_path()).manifest
    # What the decision is tested on later must not choose it.
    assert set(table.image_ids) == set(manifest.loc[manifest["split"] != "test", "image_id"])
    run_evaluate(run, config=elsewhere)
    decision = read_decision(run)
    assert decision is not None
    point = decision.operating_point
    assert point.chosen_on == f"{len(table)} images of sources left out of training"
    evaluated = apply_operating_point(table, point)
    assert decision.set_thresholds == pytest.approx(
        fit_set_thresholds(evaluated.probabilities, evaluated.truth, coverage=config.coverage)
    )
    selective = read_selective(run.evaluate / "selective.json")
    assert sum(one.calibration_images for one in selective.classes) == len(table)
    averaged = elsewhere.model_copy(update={"test_time_augmentation": True})
    with pytest.raises(RunFolderError, match="not with this config"):
        run_evaluate(run, config=averaged)


@pytest.mark.slow
def test_no_set_is_decided_on_by_what_was_chosen_on_its_own_sources(
    run: RunFolder, config: EvaluateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen_on: list[set[str]] = []

    def choose(calibration: Predictions, **options: Any) -> Decision:
        chosen_on.append(set(calibration.sources))
        return choose_decision(calibration, **options)

    monkeypatch.setattr(module, "choose_decision", choose)
    elsewhere = config.model_copy(update={"calibrate_on": "left-out sources"})
    found = _evaluate(run, elsewhere)
    assert [one.name for one in found.sets] == ["north", "south"]
    assert chosen_on == [{"south"}, {"north"}]
    assert found.calibrate_on == "left-out sources"


@pytest.mark.slow
def test_several_seeds_are_averaged_and_each_is_given(
    run: RunFolder, config: EvaluateConfig
) -> None:
    one, two = (_evaluate(run, config, seeds=seeds) for seeds in ((0,), (1, 2)))
    assert two.seeds == (1, 2)
    for single, double in zip(one.sets, two.sets, strict=True):
        # All seeds are copies of one network here, so that the means must be its own scores.
        assert [task.auroc.value for task in single.tasks] == pytest.approx(
            [task.auroc.value for task in double.tasks]
        )
        assert all(len(task.by_seed) == 2 for task in double.tasks)
        assert [score.external.value for score in single.scores] == pytest.approx(
            [score.external.value for score in double.scores]
        )


@pytest.mark.slow
def test_baselines_learn_from_the_other_sources_and_are_scored_on_the_same_images(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def predict(training: ImageSet, evaluated: list[ImageSet], **_: Any) -> Any:
        seen.append(
            (set(training.manifest["source"]), *(set(s.manifest["source"]) for s in evaluated))
        )
        labels = np.concatenate([image_set.labels for image_set in evaluated])
        perfect = SimpleNamespace(
            rule=SimpleNamespace(title="Perfect"), probabilities=np.eye(3)[labels]
        )
        useless = SimpleNamespace(
            rule=SimpleNamespace(title="Useless"), probabilities=np.full((len(labels), 3), 1 / 3)
        )
        unknown = SimpleNamespace(rule=SimpleNamespace(title="Unknown"), probabilities=None)
        return (useless, perfect, unknown)

    monkeypatch.setattr(module, "predict_baselines", predict)
    found = _evaluate(run, EvaluateConfig(bootstrap_resamples=100))
    assert seen == [({"south"}, *3 * ({"north"},)), ({"north"}, *3 * ({"south"},))]
    for task in (*found.sets[0].tasks, *found.mean_tasks):
        assert (task.baseline, task.baseline_auroc.value) == ("Perfect", 1.0)
        assert task.difference.value == pytest.approx(task.auroc.value - 1)
    assert "from the best shortcut baseline" in found.sentence


def _train_again(
    run: RunFolder, write_dataset: Write, tmp_path: Path, *, source: list[str]
) -> RunFolder:
    """Write the run once more on images from other sources, as if it had learnt from these."""
    dataset = write_dataset(tmp_path / "images", source=source)
    again = claim_run_folder(tmp_path / "again", dataset=dataset.path)
    model, record = read_model(run.checkpoint)
    write_checkpoint(
        again.checkpoint,
        tensors=model.state_dict(),
        record=record.model_copy(update={"dataset_hash": dataset.dataset_hash}),
    )
    return again
