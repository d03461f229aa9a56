"""Each source judged by a network that never saw it; the rounds are written by hand here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import CheckpointError, DatasetError, RunFolderError
from cxresnet.core.run_folder import RunFolder, claim_run_folder
from cxresnet.data.dataset.dataset import PreparedDataset, open_dataset
from cxresnet.data.dataset.dataset_record import ACCESS_LOG_NAME
from cxresnet.data.dataset.held_out import read_access_log
from cxresnet.data.split.source_folds import SourceFold, plan_source_folds
from cxresnet.evaluate.leave_sources_out import (
    LeaveOneSourceOut,
    evaluate_left_out_sources,
    read_leave_one_source_out,
)
from cxresnet.model.checkpoint import read_model, write_checkpoint
from cxresnet.predict import read_predictions

Write = Callable[..., PreparedDataset]


def _plan(dataset: PreparedDataset) -> tuple[SourceFold, ...]:
    return plan_source_folds(dataset.manifest, class_names=dataset.class_names)


def _pretend_training(run: RunFolder, rounds: tuple[SourceFold, ...]) -> None:
    for one in rounds:
        if not one.reason:
            folder = RunFolder(run.get_source_fold(one.number))
            shutil.copytree(run.checkpoint, folder.checkpoint)


def _grade(run: RunFolder, config: EvaluateConfig) -> LeaveOneSourceOut:
    dataset = open_dataset(run.read_dataset_path())
    rounds = _plan(dataset)
    _pretend_training(run, rounds)
    return evaluate_left_out_sources(run, dataset, rounds, config=config)


def test_external_is_all_of_the_source_and_internal_the_test_images_of_the_others(
    run: RunFolder, config: EvaluateConfig
) -> None:
    found = _grade(run, config)
    manifest = open_dataset(run.read_dataset_path()).manifest
    north, south = found.sources
    assert (north.source, south.source) == ("north", "south")
    assert north.external_images == north.images == (manifest["source"] == "north").sum()
    sealed = manifest[manifest["split"] == "test"]
    assert north.internal_images == (sealed["source"] == "south").sum()
    table = read_predictions(run.get_source_fold(0) / "predictions.csv")
    assert set(table.image_ids) == set(manifest.loc[manifest["source"] == "north", "image_id"]) | (
        set(sealed.loc[sealed["source"] == "south", "image_id"])
    )
    auroc = north.scores[0]
    assert auroc.name == "macro_auroc"
    assert auroc.generalisation_gap.value == pytest.approx(
        auroc.internal.value - auroc.external.value
    )
    mean = found.mean[0]
    gaps = [one.scores[0].generalisation_gap.value for one in found.sources]
    assert mean.generalisation_gap.value == pytest.approx(np.mean(gaps))
    assert found.headline == mean
    assert "on average over 2 sources" in found.sentence


def test_the_test_is_opened_once_and_it_is_written_down(
    run: RunFolder, config: EvaluateConfig
) -> None:
    _grade(run, config)
    access_log = read_access_log(run.read_dataset_path() / ACCESS_LOG_NAME)
    assert [access.reason for access in access_log] == ["evaluate: leave one source out"]


def test_what_is_written_comes_back_and_damage_is_refused(
    run: RunFolder, config: EvaluateConfig
) -> None:
    found = _grade(run, config)
    path = run.evaluate / "leave_one_source_out.json"
    assert read_leave_one_source_out(path) == found
    path.write_text("{}")
    with pytest.raises(RunFolderError, match="--leave-one-source-out"):
        read_leave_one_source_out(path)


def test_a_source_of_one_class_is_named_and_never_averaged_in(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    # As darkcovid: one class comes from a source of its own.
    numbers = np.arange(78)
    labels = (numbers // 2) % 3
    source = np.where(labels == 2, "cohen", np.where(numbers % 4 < 2, "north", "south"))
    again = _train_again(run, write_dataset, tmp_path, source=source.tolist())
    found = _grade(again, config)
    cohen, north, south = found.sources
    assert cohen.reason.startswith("Cannot be tested: all its images show covid-19")
    assert cohen.scores == ()
    assert north.compared == south.compared == ("normal", "pneumonia")
    gaps = [one.scores[0].generalisation_gap.value for one in (north, south)]
    assert found.mean[0].generalisation_gap.value == pytest.approx(np.mean(gaps))
    assert found.sentence.endswith("1 of 3 sources cannot be tested.")


def test_where_no_source_can_be_tested_the_seal_stays_and_it_is_said(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    again = _train_again(run, write_dataset, tmp_path, source=["only"] * 78)
    found = _grade(again, config)
    assert found.sentence.startswith("No source can be tested")
    assert found.headline is None
    assert read_access_log(again.read_dataset_path() / ACCESS_LOG_NAME) == ()


def test_rounds_of_another_dataset_are_refused(
    run: RunFolder, config: EvaluateConfig, write_dataset: Write, tmp_path: Path
) -> None:
    other = write_dataset(tmp_path / "other", seed=4)
    rounds = _plan(other)
    _pretend_training(run, rounds)
    with pytest.raises(DatasetError, match="trained on another dataset"):
        evaluate_left_out_sources(run, other, rounds, config=config)


def test_rounds_that_were_never_trained_are_refused(run: RunFolder, config: EvaluateConfig) -> None:
    dataset = open_dataset(run.read_dataset_path())
    with pytest.raises(CheckpointError):
        evaluate_left_out_sources(run, dataset, _plan(dataset), config=config)


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
