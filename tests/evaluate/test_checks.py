"""Files of a run that were altered, or do not belong together, are found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cxresnet.core.checksums import CHECKSUMS_NAME, record_checksums
from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import DatasetError, RunFolderError
from cxresnet.core.files import read_json, write_json
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.data.dataset.dataset_record import ACCESS_LOG_NAME
from cxresnet.data.dataset.held_out import start_access_log
from cxresnet.evaluate.checks import read_checked_evaluation, verify_run
from cxresnet.evaluate.comparison import compare_runs
from cxresnet.evaluate.evaluation import run_evaluate
from cxresnet.evaluate.record import read_evaluation
from cxresnet.model.sealed_folder import write_sealed_folder
from cxresnet.predict.decision import read_decision
from cxresnet.predict.predictions import read_predictions

_AGAIN = "cxresnet evaluate RUN"


def _read(run: RunFolder) -> object:
    return read_checked_evaluation(run, open_dataset(run.read_dataset_path()))


def _flatter(run: RunFolder) -> None:
    """Make the balanced accuracy in `metrics.json` better than it is."""
    content = read_json(run.metrics)
    content["headline"]["balanced_accuracy"]["value"] = 0.988
    write_json(run.metrics, content)


def _forge_truth(run: RunFolder) -> None:
    """Let one more image have been classified correctly, or one fewer."""
    text = run.predictions.read_text()
    assert text.count('"covid-19"') > 0
    run.predictions.write_text(text.replace('"covid-19"', '"pneumonia"', 1))


def _drop_an_image(run: RunFolder) -> None:
    """Leave out an image, with metrics that fit, as if it had never been in the test set."""
    lines = run.predictions.read_text().splitlines(keepends=True)
    run.predictions.write_text("".join(lines[:-1]))


def test_what_evaluate_wrote_belongs_together(evaluated: RunFolder) -> None:
    assert _read(evaluated) == read_evaluation(evaluated.metrics)
    assert read_checked_evaluation(evaluated, None) == read_evaluation(evaluated.metrics)


@pytest.mark.parametrize(("forge", "name"), [(_flatter, "metrics"), (_forge_truth, "predictions")])
def test_a_file_that_was_edited_is_refused_by_its_checksum(
    evaluated: RunFolder, forge: Callable[[RunFolder], None], name: str
) -> None:
    forge(evaluated)
    read: Callable[[Path], object] = read_evaluation if name == "metrics" else read_predictions
    message = rf"{name}.* was altered after it was written: .*'{_AGAIN}'"
    for attempt in (lambda: read(getattr(evaluated, name)), lambda: _read(evaluated)):
        with pytest.raises(RunFolderError, match=message):
            attempt()


def test_a_better_headline_is_found_although_the_checksum_was_mended(evaluated: RunFolder) -> None:
    _flatter(evaluated)
    record_checksums(evaluated.metrics)
    message = r"states balanced accuracy 0\.988, but from predictions\.csv it is 0\.\d{3}: one of"
    for read in (_read, lambda run: compare_runs(run, run, config=EvaluateConfig())):
        with pytest.raises(RunFolderError, match=message):
            read(evaluated)


def test_another_confusion_matrix_is_found(evaluated: RunFolder) -> None:
    content = read_json(evaluated.metrics)
    content["confusion"][0][0] += 1
    write_json(evaluated.metrics, content)
    record_checksums(evaluated.metrics)
    with pytest.raises(RunFolderError, match=r"confusion matrix .* is not the one that follows"):
        _read(evaluated)


def test_forged_true_classes_are_found_although_everything_else_was_mended(
    evaluated: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    _forge_truth(evaluated)
    record_checksums(evaluated.predictions)
    monkeypatch.setattr("cxresnet.evaluate.checks.require_headline", lambda *_: None)
    message = r"'image-0-\d+' shows 'pneumonia'; in the dataset it shows 'covid-19'"
    with pytest.raises(RunFolderError, match=message):
        _read(evaluated)


def test_an_image_left_out_is_found(evaluated: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    _drop_an_image(evaluated)
    record_checksums(evaluated.predictions)
    monkeypatch.setattr("cxresnet.evaluate.checks.require_headline", lambda *_: None)
    with pytest.raises(RunFolderError, match=r"predictions\.csv lacks 'image-0-77'"):
        _read(evaluated)


def test_predictions_that_are_gone_are_told_unless_they_never_came_along(
    evaluated: RunFolder,
) -> None:
    evaluated.predictions.unlink()
    with pytest.raises(RunFolderError, match=_AGAIN):
        _read(evaluated)
    (evaluated.evaluate / CHECKSUMS_NAME).unlink()
    assert _read(evaluated) == read_evaluation(evaluated.metrics)


def test_an_edited_decision_is_not_applied(evaluated: RunFolder) -> None:
    path = evaluated.evaluate / "decision.json"
    content = read_json(path)
    content["operating_point"]["temperature"] = 9.0
    write_json(path, content)
    with pytest.raises(RunFolderError, match=rf"decision\.json' was altered.*{_AGAIN}"):
        read_decision(evaluated)


def _change_dataset(run: RunFolder, **changes: object) -> None:
    """Edit `dataset.json`, and mend its checksum."""
    path = run.read_dataset_path() / "dataset.json"
    write_json(path, read_json(path) | changes)
    record_checksums(path)


def test_classes_in_another_order_than_those_of_the_network_are_refused(
    run: RunFolder, config: EvaluateConfig
) -> None:
    _change_dataset(run, class_names=["pneumonia", "normal", "covid-19"])
    message = "has the classes pneumonia, normal, covid-19, the network .* normal, pneumonia,"
    with pytest.raises(DatasetError, match=message):
        run_evaluate(run, config=config)


def test_another_mean_than_that_of_the_network_is_refused(
    run: RunFolder, config: EvaluateConfig
) -> None:
    dataset = open_dataset(run.read_dataset_path())
    _change_dataset(run, preprocessing=dataset.preprocessing.model_dump() | {"mean": 0.4})
    with pytest.raises(DatasetError, match="its mean and sd, is not the one that the network"):
        run_evaluate(run, config=config)


# `cxresnet verify RUN`.


@pytest.fixture
def verified(evaluated: RunFolder, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run whose hand-made dataset, which `prepare` did not write, is taken as verified."""
    monkeypatch.setattr("cxresnet.evaluate.checks._verify_its_dataset", lambda *_, **__: None)
    return evaluated


@pytest.mark.slow
def test_a_run_as_its_stages_left_it_is_verified(verified: RunFolder) -> None:
    found = verify_run(verified)
    (problem,) = found.problems
    assert "The folder train has no checksums.json" in problem
    assert f"'cxresnet verify {verified.path} --record-checksums'" in problem
    (verified.train / "config.json").write_text("{}")
    assert verify_run(verified, record_missing=True).problems == ()
    found = verify_run(verified)
    assert found.problems == ()
    assert any("the headline follows from the predictions" in proof for proof in found.proofs)


def _forget_accesses(run: RunFolder) -> None:
    start_access_log(run.read_dataset_path() / ACCESS_LOG_NAME)


def _damage_network(run: RunFolder) -> None:
    (run.checkpoint / "record.json").write_text("{}")


def _lose_selective(run: RunFolder) -> None:
    (run.evaluate / "selective.json").unlink()


def _lose_dataset(run: RunFolder) -> None:
    shutil.rmtree(run.read_dataset_path())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_flatter, "metrics.json' was altered"),
        (_forge_truth, "predictions.csv' was altered"),
        (_forget_accesses, "The access log of the test set was altered"),
        (_damage_network, "record.json' is cut off"),
        (_lose_selective, "The file evaluate/selective.json is missing."),
        (_lose_dataset, "is missing"),
    ],
)
def test_what_is_wrong_with_a_run_is_named(
    verified: RunFolder, damage: Callable[[RunFolder], None], said: str
) -> None:
    damage(verified)
    problems = verify_run(verified, record_missing=True).problems
    assert any(said in problem for problem in problems)
    assert not (verified.train / CHECKSUMS_NAME).exists()


def test_a_run_that_is_not_evaluated_is_verified_as_far_as_it_is(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxresnet.evaluate.checks._verify_its_dataset", lambda *_, **__: None)
    (run.train / "config.json").write_text("{}")
    assert verify_run(run, record_missing=True).problems == ()


def test_metrics_of_another_network_are_told(verified: RunFolder) -> None:
    content = read_json(verified.metrics)
    content["provenance"]["checkpoint"] = "0" * 64
    write_json(verified.metrics, content)
    record_checksums(verified.metrics)
    assert any("is of another network" in one for one in verify_run(verified).problems)


def test_a_dataset_that_fails_is_a_problem_of_the_run(evaluated: RunFolder) -> None:
    assert any("row_hashes.txt" in problem for problem in verify_run(evaluated).problems)


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["evaluate/training_images", "train/resume"])
def test_a_damaged_folder_of_arrays_is_told(verified: RunFolder, kept: str) -> None:
    folder = verified.path / kept
    if not folder.is_dir():
        write_sealed_folder(folder, {"state.json": b"{}"})
    path = next(path for path in sorted(folder.iterdir()) if path.name != "MANIFEST.json")
    assert path.name not in " ".join(verify_run(verified).problems)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert path.name in " ".join(verify_run(verified).problems)
