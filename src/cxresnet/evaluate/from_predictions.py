"""From a table of predictions to an evaluation; nothing here knows a network or a dataset."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxresnet import __version__
from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.evaluate import baseline_comparison, calibration, clinical, red_flags, scores, slices
from cxresnet.evaluate.record import Evaluation, Provenance
from cxresnet.evaluate.topic import Background, EvaluationInputs, estimate
from cxresnet.metrics.bootstrap import INTERVAL_METHOD
from cxresnet.predict.decision import OperatingPoint, build_plain_operating_point
from cxresnet.predict.predictions import Predictions

TOPICS = tuple(
    module.TOPIC
    for module in (scores, calibration, clinical, baseline_comparison, slices, red_flags)
)
"""The topics of an evaluation; each fills its fields of the record."""


def evaluate_predictions(
    predictions: Predictions,
    *,
    config: EvaluateConfig,
    operating_point: OperatingPoint | None = None,
    background: Background | None = None,
) -> Evaluation:
    """Evaluate a table of predictions, for example those of all folds of a cross-validation.

    Args:
        predictions: Images without a known class are left out, and counted in a warning.
        config: Of the intervals.
        operating_point: Chosen on other images; None takes the largest probability as it is.
        background: What else is known; None where there is only the table.
    """
    known = predictions.truth >= 0
    inputs = EvaluationInputs(
        images=predictions.select(known),
        point=operating_point or build_plain_operating_point(len(predictions.class_names)),
        background=_keep_known(background or Background(), known),
        config=config,
    )
    estimates = estimate(
        [statistic for topic in TOPICS for statistic in topic.list_statistics(inputs)],
        group_ids=inputs.group_ids,
        config=config,
        strata=inputs.evaluated.truth,
    )
    fields: dict[str, Any] = {}
    for topic in TOPICS:
        fields |= topic.build_records(inputs, estimates)
    return Evaluation(
        name=inputs.background.name,
        class_names=inputs.class_names,
        images=len(inputs.images),
        patients=len(set(inputs.group_ids)),
        validation=inputs.background.validation,
        operating_point=inputs.point,
        data_verdict=inputs.background.data_verdict,
        provenance=_build_provenance(inputs.background, config),
        **fields,
    )


def _keep_known(background: Background, known: NDArray[np.bool_]) -> Background:
    """Keep what belongs to images of a known class, and note how many are left out."""
    left_out = int((~known).sum())
    if not left_out:
        return background
    note = f"{left_out} images show none of the network's classes and are left out."
    facts = background.facts
    return replace(
        background,
        facts=None if facts is None else facts[known].reset_index(drop=True),
        baselines=tuple(
            replace(baseline, probabilities=baseline.probabilities[known])
            if baseline.probabilities is not None
            else baseline
            for baseline in background.baselines
        ),
        notes=(*background.notes, note),
    )


def _build_provenance(background: Background, config: EvaluateConfig) -> Provenance:
    return Provenance(
        dataset=background.dataset,
        dataset_hash=background.dataset_hash,
        trained_on=background.trained_on,
        checkpoint=background.checkpoint,
        version=__version__,
        seed=config.seed,
        resamples=config.bootstrap_resamples,
        access_log=background.access_log,
        config=config.model_dump(mode="json"),
        config_hash=config.compute_hash(),
        confidence=config.confidence_level,
        interval=INTERVAL_METHOD,
        test_time_augmentation=background.test_time_augmentation,
        accesses=background.accesses,
    )
