"""From a table of predictions to an evaluation; nothing here knows a network or a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet import __version__
from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.finding import Finding
from cxresnet.evaluate.alarms import Suspicion, find_alarms
from cxresnet.evaluate.baselines import BaselineAnswer
from cxresnet.evaluate.calibration_scores import build_calibration
from cxresnet.evaluate.caveats import find_caveats
from cxresnet.evaluate.clinical import (
    build_at_prevalence,
    build_class_thresholds,
    build_decision_curves,
    build_prevalence_curves,
    list_clinical_statistics,
    resolve_prevalences,
)
from cxresnet.evaluate.counts import collect_confusion_rates, count_confusion, count_sources
from cxresnet.evaluate.lift import (
    build_baseline_records,
    find_best_baseline,
    list_baseline_statistics,
)
from cxresnet.evaluate.operating_point import build_plain_operating_point, judge
from cxresnet.evaluate.record import (
    Evaluation,
    LedgerRow,
    OperatingPoint,
    Provenance,
)
from cxresnet.evaluate.results import GapScore, Headline
from cxresnet.evaluate.scores import (
    build_class_results,
    build_headline,
    build_patient_results,
    estimate,
    list_statistics,
)
from cxresnet.evaluate.slices import build_slices, find_worst_slice
from cxresnet.evaluate.thresholds import ChosenThreshold
from cxresnet.metrics.bootstrap import INTERVAL_METHOD
from cxresnet.metrics.classification import Judged
from cxresnet.metrics.estimate import Estimate
from cxresnet.predict.predictions import Predictions

__all__ = ["Background", "evaluate_predictions"]


@dataclass(frozen=True, kw_only=True)
class Background:
    """What is known beside the predictions.

    Attributes:
        name: What is judged, for titles.
        facts: Rows of the manifest in the order of the predictions, for the slices; None where
            only the sources are known.
        baselines: What rules without lungs said about the same films.
        dataset: Name of the dataset.
        dataset_hash: Of the films that are judged.
        trained_on: Hash of the dataset that the network learnt from.
        checkpoint: SHA-256 of the network's weights.
        test_views: Views of each film that were averaged.
        openings: How often the sealed test was opened for numbers; None without a seal.
        notes: Sentences for the reader.
        data_verdict: What the training data betray, one sentence; "" if nobody asked.
        findings: What was asked of the training data.
        thresholds: As validation chose them.
        validation: The headline of the validation films.
        crossing_films: Test films that have a copy or their patient outside of the test.
        source_gap: How much worse networks are on a source that they had not seen.
        ledger: Every opening of the sealed test.
    """

    name: str = "predictions"
    facts: pd.DataFrame | None = None
    baselines: tuple[BaselineAnswer, ...] = ()
    dataset: str = ""
    dataset_hash: str = ""
    trained_on: str = ""
    checkpoint: str = ""
    test_views: int = 1
    openings: int | None = None
    notes: tuple[str, ...] = ()
    data_verdict: str = ""
    findings: tuple[Finding, ...] = ()
    thresholds: tuple[ChosenThreshold, ...] = ()
    validation: Headline | None = None
    crossing_films: int = 0
    source_gap: GapScore | None = None
    ledger: tuple[LedgerRow, ...] = ()


def evaluate_predictions(
    predictions: Predictions,
    *,
    config: EvaluateConfig,
    operating_point: OperatingPoint | None = None,
    background: Background | None = None,
) -> Evaluation:
    """Judge a table of predictions, for example those of all folds of a cross-validation.

    Args:
        predictions: Films without a known class are passed over, and it is said how many.
        config: Of the intervals.
        operating_point: Chosen on other films; None takes the largest probability as it is.
        background: What else is known; None where there is only the table.
    """
    point = operating_point or build_plain_operating_point(len(predictions.class_names))
    known = predictions.truth >= 0
    films = predictions.select(known)
    context = _keep_known(background or Background(), known)
    judged = judge(films, point)
    statistics = (
        *list_statistics(judged, before=films.probabilities),
        *list_baseline_statistics(judged, context.baselines),
        *list_clinical_statistics(judged, context.thresholds),
    )
    estimates = estimate(statistics, group_ids=films.group_ids, config=config, strata=judged.truth)
    return _assemble(films, judged, estimates, point=point, context=context, config=config)


def _assemble(
    films: Predictions,
    judged: Judged,
    estimates: Mapping[str, Estimate],
    *,
    point: OperatingPoint,
    context: Background,
    config: EvaluateConfig,
) -> Evaluation:
    groups = films.group_ids
    classes = build_class_results(judged, estimates, group_ids=groups)
    baselines = build_baseline_records(context.baselines, estimates)
    best = find_best_baseline(baselines)
    caveats = find_caveats(films, classes=classes, config=config, openings=context.openings)
    headline = build_headline(estimates)
    prevalences = resolve_prevalences(config.prevalence, judged.class_names)
    facts = _describe_sources(films) if context.facts is None else context.facts
    slices = build_slices(judged, facts, group_ids=groups, config=config)
    return Evaluation(
        name=context.name,
        class_names=judged.class_names,
        films=len(films),
        patients=len(set(groups)),
        alarms=find_alarms(
            Suspicion(
                headline=headline,
                classes=classes,
                baselines=baselines,
                validation=context.validation,
                findings=context.findings,
                crossing_films=context.crossing_films,
                source_gap=context.source_gap,
            )
        ),
        headline=headline,
        validation=context.validation,
        cohens_kappa=estimates["cohens_kappa"],
        confusion=count_confusion(judged),
        confusion_rates=collect_confusion_rates(estimates, len(judged.class_names)),
        classes=classes,
        operating_point=point,
        calibration=build_calibration(
            judged, estimates, before=films.probabilities, group_ids=groups, config=config
        ),
        class_thresholds=build_class_thresholds(
            judged, context.thresholds, estimates, prevalences=prevalences
        ),
        prevalence_curves=build_prevalence_curves(classes),
        at_prevalence=build_at_prevalence(classes, prevalences),
        decision_curves=build_decision_curves(judged, estimates),
        by_patient=build_patient_results(
            judged, group_ids=groups, weights=np.array(point.weights), config=config
        ),
        slices=slices,
        worst_slice=find_worst_slice(slices, judged, facts, group_ids=groups, config=config),
        baselines=baselines,
        best_baseline=best.name if best else None,
        counts=count_sources(films),
        data_verdict=context.data_verdict,
        warnings=(*caveats, *context.notes),
        provenance=_build_provenance(context, config),
    )


def _keep_known(context: Background, known: NDArray[np.bool_]) -> Background:
    """Take what belongs to films of a known class, and note how many are left out."""
    left_out = int((~known).sum())
    if not left_out:
        return context
    note = f"{left_out} films show none of the network's classes and are left out."
    facts = context.facts
    return replace(
        context,
        facts=None if facts is None else facts[known].reset_index(drop=True),
        baselines=tuple(
            replace(answer, probabilities=answer.probabilities[known])
            if answer.probabilities is not None
            else answer
            for answer in context.baselines
        ),
        notes=(*context.notes, note),
    )


def _describe_sources(films: Predictions) -> pd.DataFrame:
    """Build the facts that the table itself has: sources, and nothing else."""
    return pd.DataFrame({"source": films.sources}).assign(
        view="", sex="", age_years="", file_width=0, file_height=0
    )


def _build_provenance(context: Background, config: EvaluateConfig) -> Provenance:
    return Provenance(
        dataset=context.dataset,
        dataset_hash=context.dataset_hash,
        trained_on=context.trained_on,
        checkpoint=context.checkpoint,
        version=__version__,
        seed=config.seed,
        resamples=config.bootstrap_resamples,
        ledger=context.ledger,
        config=config.model_dump(mode="json"),
        config_hash=config.compute_hash(),
        confidence=config.confidence,
        interval=INTERVAL_METHOD,
        test_views=context.test_views,
        openings=context.openings,
    )
