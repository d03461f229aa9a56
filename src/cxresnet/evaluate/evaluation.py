"""Evaluate the network of a run on its held-out test set, or on all images of another dataset."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.core.finding import read_findings
from cxresnet.core.run_folder import RunFolder, holding_run_folder
from cxresnet.data.dataset.dataset import PreparedDataset, open_dataset
from cxresnet.evaluate.checks import require_training_dataset
from cxresnet.evaluate.clinical import resolve_prevalences
from cxresnet.evaluate.evaluated_images import (
    EvaluatedImages,
    describe_access_request,
    open_external_images,
    open_test_images,
    require_recorded_accesses,
)
from cxresnet.evaluate.external import EXTERNAL_NAME, compare_with_internal, write_external
from cxresnet.evaluate.from_predictions import evaluate_predictions
from cxresnet.evaluate.leave_sources_out import (
    LEAVE_SOURCES_OUT_NAME,
    read_leave_sources_out,
    read_left_out_predictions,
)
from cxresnet.evaluate.members import (
    MEMBERS_NAME,
    describe_spread,
    evaluate_members,
    predict_with_members,
    write_members,
)
from cxresnet.evaluate.operating_point import ValidationChoices, choose_on_validation, choose_point
from cxresnet.evaluate.record import Evaluation, read_evaluation, write_evaluation
from cxresnet.evaluate.results import AccessLogEntry, GeneralisationGap
from cxresnet.evaluate.selective import (
    SELECTIVE_NAME,
    SelectiveResult,
    evaluate_selectively,
    write_selective,
)
from cxresnet.evaluate.topic import Background
from cxresnet.metrics.agreement import Scores
from cxresnet.predict.decision import (
    DECISION_NAME,
    Decision,
    apply_operating_point,
    compute_network_hash,
    write_decision,
)
from cxresnet.predict.predictions import Predictions, concatenate_predictions, write_predictions
from cxresnet.predict.predictor import Predictor, load_predictor
from cxresnet.predict.test_time_augmentation import build_test_time_views
from cxresnet.predict.training_images import describe_training_images, write_training_images
from cxresnet.shortcuts.baseline import BaselinePredictions, predict_baselines

_LOGGER = logging.getLogger(__name__)


@holding_run_folder
def run_evaluate(
    run: RunFolder, *, config: EvaluateConfig, dataset: Path | None = None
) -> Evaluation:
    """Evaluate the network of a run, and write the results.

    First the operating point, thresholds and prediction sets are chosen, on validation images or on
    those of sources left out; then the test set is opened. Writes `predictions_val.csv`,
    `predictions.csv`, `training_images/`, `decision.json`, `selective.json` and, last,
    `metrics.json` into `run.evaluate`; for another dataset into `evaluate-NAME` beside it, with
    `external.json`. For an ensemble, `members.json` has the scores of each member.

    Args:
        run: Trained.
        config: How.
        dataset: Another prepared dataset, all images of which are evaluated; None for the held-out
            test set.

    Raises:
        CheckpointError: The network is missing or damaged.
        RunFolderError: Images of sources left out are asked for, but were not predicted.
        DatasetError: The dataset is not the one that the network was trained on, has no test
            split, or the other one does not fit the network.
        ClassMapError: The other dataset has none of the network's classes.
        StorageError: The results cannot be written.
    """
    predictor = load_predictor(run.checkpoint)
    training_dataset = open_dataset(run.read_dataset_path())
    require_training_dataset(predictor.record, training_dataset, run=run)
    resolve_prevalences(config.prevalence, predictor.class_names)
    validation = predict_with_members(
        predictor, partial(_predict_validation, training_dataset=training_dataset, config=config)
    )
    calibration, choices = _choose(run, validation.ensemble, training_dataset, config=config)
    evaluated = _open_images(
        run, dataset, predictor=predictor, training_dataset=training_dataset, config=config
    )
    test = predict_with_members(predictor, partial(_predict, evaluated=evaluated, config=config))
    evaluation = evaluate_predictions(
        test.ensemble,
        config=config,
        operating_point=choices.point,
        background=_gather_background(
            run, evaluated, training_dataset=training_dataset, choices=choices, config=config
        ),
    )
    folder = run.evaluate if dataset is None else run.path / f"evaluate-{evaluated.name}"
    if dataset is None:
        _write_training_images(run, predictor, training_dataset)
    _write_tables(folder, validation.ensemble, test.ensemble, choices, training_dataset.verdict)
    selective = _evaluate_selectively(
        calibration, test.ensemble, choices.decision, config=config, name=evaluation.name
    )
    write_selective(folder / SELECTIVE_NAME, selective)
    if dataset is not None:
        external = compare_with_internal(run, test.ensemble, evaluation, config=config)
        write_external(folder / EXTERNAL_NAME, external)
    if test.members:
        choose = partial(choose_point, training_dataset=training_dataset, config=config)
        _write_members(folder, evaluate_members(validation.members, test.members, choose=choose))
    write_evaluation(folder / "metrics.json", evaluation)
    _LOGGER.info("evaluated %d images of %s", evaluation.images, evaluation.name)
    return evaluation


def _choose(
    run: RunFolder,
    validation: Predictions,
    training_dataset: PreparedDataset,
    *,
    config: EvaluateConfig,
) -> tuple[Predictions, ValidationChoices]:
    """Choose how logits become decisions; returns also the images that this was chosen on."""
    left_out = (
        read_left_out_predictions(run, training_dataset, config=config)
        if config.calibrate_on == "left-out sources"
        else None
    )
    choices = choose_on_validation(
        validation,
        training_dataset=training_dataset,
        config=config,
        network=compute_network_hash(run),
        left_out=left_out,
    )
    return validation if left_out is None else left_out, choices


def _write_members(folder: Path, scores: dict[str, Scores]) -> None:
    spread = describe_spread(write_members(folder / MEMBERS_NAME, scores))
    _LOGGER.info("Each of %d networks on its own, mean ± sd: %s", len(scores), spread)


def _open_images(
    run: RunFolder,
    dataset: Path | None,
    *,
    predictor: Predictor,
    training_dataset: PreparedDataset,
    config: EvaluateConfig,
) -> EvaluatedImages:
    """Open the held-out test set, or all images of another dataset."""
    require_recorded_accesses(training_dataset, _read_recorded_accesses(run, training_dataset))
    access_request = describe_access_request(run, reason="evaluate", config=config)
    if dataset is None:
        return open_test_images(training_dataset, access_request)
    return open_external_images(
        dataset,
        predictor=predictor,
        training_dataset=training_dataset,
        access_request=access_request,
    )


def _write_tables(
    folder: Path,
    validation: Predictions,
    test: Predictions,
    choices: ValidationChoices,
    verdict: str,
) -> None:
    """Write both tables of predictions, and the decision that belongs to them."""
    for name, table in (("predictions_val.csv", validation), ("predictions.csv", test)):
        calibrated = choices.decision.calibrate(table.logits)
        write_predictions(folder / name, table, verdict=verdict, calibrated=calibrated)
    write_decision(folder / DECISION_NAME, choices.decision)


def _write_training_images(
    run: RunFolder, predictor: Predictor, training_dataset: PreparedDataset
) -> None:
    images, validation = (training_dataset.select(split).images for split in ("train", "val"))
    write_training_images(run, describe_training_images(predictor, images, validation=validation))


def _read_recorded_accesses(
    run: RunFolder, training_dataset: PreparedDataset
) -> tuple[AccessLogEntry, ...]:
    """Read the access log as of the last evaluation of the run on these images, if any."""
    try:
        provenance = read_evaluation(run.metrics).provenance
    except RunFolderError:
        return ()
    return provenance.access_log if provenance.dataset_hash == training_dataset.dataset_hash else ()


def _predict_validation(
    predictor: Predictor, training_dataset: PreparedDataset, *, config: EvaluateConfig
) -> Predictions:
    return predictor.predict_image_set(
        training_dataset.select("val"),
        batch_size=config.batch_size,
        test_time_augmentation=config.test_time_augmentation,
    )


def _evaluate_selectively(
    validation: Predictions,
    test: Predictions,
    decision: Decision,
    *,
    config: EvaluateConfig,
    name: str,
) -> SelectiveResult:
    known = test.select(test.truth >= 0)
    fitting = validation.select(validation.truth >= 0)
    return evaluate_selectively(
        apply_operating_point(fitting, decision.operating_point),
        apply_operating_point(known, decision.operating_point),
        validation_group_ids=fitting.group_ids,
        group_ids=known.group_ids,
        config=config,
        name=name,
        set_thresholds=decision.set_thresholds,
    )


def _predict(
    predictor: Predictor, evaluated: EvaluatedImages, *, config: EvaluateConfig
) -> Predictions:
    tables = [
        predictor.predict_image_set(
            image_set,
            batch_size=config.batch_size,
            test_time_augmentation=config.test_time_augmentation,
        )
        for image_set in evaluated.image_sets
    ]
    return concatenate_predictions(tables).select(evaluated.keep)


def _gather_background(
    run: RunFolder,
    evaluated: EvaluatedImages,
    *,
    training_dataset: PreparedDataset,
    choices: ValidationChoices,
    config: EvaluateConfig,
) -> Background:
    return Background(
        name=evaluated.name,
        facts=evaluated.facts,
        baselines=_predict_baselines(evaluated, training_dataset=training_dataset, config=config)
        if config.shortcut_baselines
        else (),
        dataset=evaluated.dataset.record.name,
        dataset_hash=evaluated.dataset.dataset_hash,
        trained_on=training_dataset.dataset_hash,
        checkpoint=compute_network_hash(run),
        test_time_augmentation=len(build_test_time_views()) if config.test_time_augmentation else 1,
        accesses=evaluated.accesses,
        notes=evaluated.notes,
        data_verdict=training_dataset.verdict,
        findings=read_findings(training_dataset.path),
        thresholds=choices.thresholds,
        validation=choices.headline,
        leaked_images=evaluated.leaked_images,
        access_log=evaluated.access_log,
        source_generalisation_gap=_read_source_generalisation_gap(run, training_dataset)
        if evaluated.accesses is not None
        else None,
    )


def _read_source_generalisation_gap(
    run: RunFolder, training_dataset: PreparedDataset
) -> GeneralisationGap | None:
    """Read the generalisation gap to a source left out; None if not measured on these images.

    Raises:
        RunFolderError: It was measured, but cannot be read.
    """
    path = run.evaluate / LEAVE_SOURCES_OUT_NAME
    if not path.is_file():
        return None
    found = read_leave_sources_out(path)
    return found.headline if found.dataset_hash == training_dataset.dataset_hash else None


def _predict_baselines(
    evaluated: EvaluatedImages, *, training_dataset: PreparedDataset, config: EvaluateConfig
) -> tuple[BaselinePredictions, ...]:
    test_outputs = predict_baselines(
        training_dataset.select("train"),
        evaluated.image_sets,
        class_count=len(training_dataset.class_names),
        seed=config.seed,
    )
    return tuple(
        baseline
        if baseline.probabilities is None
        else replace(baseline, probabilities=baseline.probabilities[evaluated.keep])
        for baseline in test_outputs
    )
