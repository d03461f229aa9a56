"""Judge the network of a run: on its sealed test, or on all films of another dataset."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.errors import DatasetError, RunFolderError
from cxresnet.core.finding import read_findings
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset import PreparedDataset, open_dataset
from cxresnet.evaluate.baselines import BaselineAnswer, ask_baselines
from cxresnet.evaluate.before_opening import Settled, choose_point, settle
from cxresnet.evaluate.clinical import resolve_prevalences
from cxresnet.evaluate.external import EXTERNAL_NAME, compare_with_internal, write_external
from cxresnet.evaluate.from_predictions import Background, evaluate_predictions
from cxresnet.evaluate.judged_films import (
    JudgedFilms,
    open_other_films,
    open_test_films,
    require_remembered_openings,
)
from cxresnet.evaluate.left_out_sources import (
    LEAVE_ONE_SOURCE_OUT_NAME,
    read_leave_one_source_out,
)
from cxresnet.evaluate.members import (
    MEMBERS_NAME,
    Answers,
    ask_networks,
    describe_spread,
    judge_members,
    write_members,
)
from cxresnet.evaluate.opener import compute_network_hash, describe_opener
from cxresnet.evaluate.operating_point import judge
from cxresnet.evaluate.record import (
    Evaluation,
    LedgerRow,
    read_evaluation,
    write_evaluation,
)
from cxresnet.evaluate.results import GapScore
from cxresnet.evaluate.selective import (
    SELECTIVE_NAME,
    SelectiveResult,
    evaluate_selectively,
    write_selective,
)
from cxresnet.predict.predictions import (
    Predictions,
    concatenate_predictions,
    write_predictions,
)
from cxresnet.predict.predictor import Predictor, load_predictor
from cxresnet.predict.test_time_augmentation import build_test_views

__all__ = ["evaluate_predictions", "run_evaluate"]

_LOGGER = logging.getLogger(__name__)


def run_evaluate(
    run: RunFolder, *, config: EvaluateConfig, dataset: Path | None = None
) -> Evaluation:
    """Judge the network of a run, and write what was found.

    Validation comes first and chooses the operating point; then the test is opened. Writes
    `predictions_val.csv`, `predictions.csv`, `selective.json` and, last, `metrics.json` into
    `run.evaluate`; for another dataset into `evaluate-NAME` beside it, with `external.json`. Where
    several networks answer together, `members.json` says what each reaches by itself.

    Args:
        run: Trained.
        config: How.
        dataset: Another prepared dataset, all films of which are judged; None for the sealed test.

    Raises:
        CheckpointError: The network is missing or damaged.
        DatasetError: The dataset is not the one that the network was trained on, has no test
            split, or the other one does not fit the network.
        ClassMapError: The other dataset has none of the network's classes.
        StorageError: The results cannot be written.
    """
    predictor = load_predictor(run.checkpoint)
    home = open_dataset(run.read_dataset_path())
    _require_home(predictor, home, run=run)
    resolve_prevalences(config.prevalence, predictor.class_names)
    asked = ask_networks(predictor, partial(_predict_validation, home=home, config=config))
    validation = asked.together
    settled = settle(validation, home=home, config=config)
    require_remembered_openings(home, _read_remembered_openings(run, home))
    opener = describe_opener(run, reason="evaluate", config=config)
    judged = (
        open_test_films(home, opener)
        if dataset is None
        else open_other_films(dataset, predictor=predictor, home=home, opener=opener)
    )
    answers = ask_networks(predictor, partial(_predict, judged=judged, config=config))
    predictions = answers.together
    evaluation = evaluate_predictions(
        predictions,
        config=config,
        operating_point=settled.point,
        background=_gather_background(run, judged, home=home, settled=settled, config=config),
    )
    folder = run.evaluate if dataset is None else run.path / f"evaluate-{judged.name}"
    for name, table in (("predictions_val.csv", validation), ("predictions.csv", predictions)):
        calibrated = settled.point.calibrate(table.logits)
        write_predictions(folder / name, table, verdict=home.verdict, calibrated=calibrated)
    selective = _evaluate_selectively(validation, predictions, evaluation, config=config)
    write_selective(folder / SELECTIVE_NAME, selective)
    if dataset is not None:
        external = compare_with_internal(run, predictions, evaluation, config=config)
        write_external(folder / EXTERNAL_NAME, external)
    if answers.apart:
        _judge_members(folder / MEMBERS_NAME, asked, answers, home=home, config=config)
    write_evaluation(folder / "metrics.json", evaluation)
    _LOGGER.info("judged %d films of %s", evaluation.films, evaluation.name)
    return evaluation


def _read_remembered_openings(run: RunFolder, home: PreparedDataset) -> tuple[LedgerRow, ...]:
    """Read the ledger as it was when the run was last evaluated on these films, if it was."""
    try:
        provenance = read_evaluation(run.metrics).provenance
    except RunFolderError:
        return ()
    return provenance.ledger if provenance.dataset_hash == home.dataset_hash else ()


def _judge_members(
    path: Path,
    validation: Answers,
    judged: Answers,
    *,
    home: PreparedDataset,
    config: EvaluateConfig,
) -> None:
    scores = judge_members(
        validation.apart,
        judged.apart,
        choose=partial(choose_point, home=home, config=config),
    )
    spread = describe_spread(write_members(path, scores))
    _LOGGER.info("Each of %d networks by itself, mean ± sd: %s", len(scores), spread)


def _predict_validation(
    predictor: Predictor, home: PreparedDataset, *, config: EvaluateConfig
) -> Predictions:
    return predictor.predict_film_set(
        home.select("val"), batch_size=config.batch_size, test_views=config.test_views
    )


def _evaluate_selectively(
    validation: Predictions,
    predictions: Predictions,
    evaluation: Evaluation,
    *,
    config: EvaluateConfig,
) -> SelectiveResult:
    known = predictions.select(predictions.truth >= 0)
    fitting = validation.select(validation.truth >= 0)
    return evaluate_selectively(
        judge(fitting, evaluation.operating_point),
        judge(known, evaluation.operating_point),
        validation_group_ids=fitting.group_ids,
        group_ids=known.group_ids,
        config=config,
        name=evaluation.name,
    )


def _require_home(predictor: Predictor, home: PreparedDataset, *, run: RunFolder) -> None:
    """Refuse a dataset that was prepared again since: its test films may be training films."""
    if predictor.record.dataset_hash != home.dataset_hash:
        raise DatasetError(
            f"The dataset '{home.path}' has changed since the network of '{run.path}' was trained. "
            "Train again, or put the old dataset back."
        )


def _predict(predictor: Predictor, judged: JudgedFilms, *, config: EvaluateConfig) -> Predictions:
    tables = [
        predictor.predict_film_set(
            film_set, batch_size=config.batch_size, test_views=config.test_views
        )
        for film_set in judged.film_sets
    ]
    return concatenate_predictions(tables).select(judged.keep)


def _gather_background(
    run: RunFolder,
    judged: JudgedFilms,
    *,
    home: PreparedDataset,
    settled: Settled,
    config: EvaluateConfig,
) -> Background:
    return Background(
        name=judged.name,
        facts=judged.facts,
        baselines=_ask_baselines(judged, home=home, config=config) if config.baselines else (),
        dataset=judged.dataset.record.name,
        dataset_hash=judged.dataset.dataset_hash,
        trained_on=home.dataset_hash,
        checkpoint=compute_network_hash(run),
        test_views=len(build_test_views()) if config.test_views else 1,
        openings=judged.openings,
        notes=judged.notes,
        data_verdict=home.verdict,
        findings=read_findings(home.path),
        thresholds=settled.thresholds,
        validation=settled.headline,
        crossing_films=judged.crossing_films,
        ledger=judged.ledger,
        source_gap=_read_source_gap(run, home) if judged.openings is not None else None,
    )


def _read_source_gap(run: RunFolder, home: PreparedDataset) -> GapScore | None:
    """Read how much worse networks were on a source left out; None if nobody tried on these films.

    Raises:
        RunFolderError: It was tried, but cannot be read.
    """
    path = run.evaluate / LEAVE_ONE_SOURCE_OUT_NAME
    if not path.is_file():
        return None
    found = read_leave_one_source_out(path)
    return found.headline if found.dataset_hash == home.dataset_hash else None


def _ask_baselines(
    judged: JudgedFilms, *, home: PreparedDataset, config: EvaluateConfig
) -> tuple[BaselineAnswer, ...]:
    answers = ask_baselines(
        home.select("train"),
        judged.film_sets,
        class_count=len(home.class_names),
        seed=config.seed,
    )
    return tuple(
        answer
        if answer.probabilities is None
        else replace(answer, probabilities=answer.probabilities[judged.keep])
        for answer in answers
    )
