"""Scores of each member of an ensemble: how much of a score is random variation?

`members.json` beside `metrics.json`. Every member gets an operating point of its own, chosen on
validation images like that of the ensemble. The test set is opened once for all of them, and each
predicts once: the logits of the ensemble are the mean of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cxresnet import DISCLAIMER
from cxresnet.core.checksums import record_checksums, require_unaltered
from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import read_json, write_json
from cxresnet.metrics.agreement import Scores, Spread, compute_spread
from cxresnet.metrics.classification import HEADLINE_SCORES, build_headline_statistics
from cxresnet.metrics.statistic import compute_value
from cxresnet.model.ensemble import CXResNetEnsemble
from cxresnet.predict.decision import OperatingPoint, apply_operating_point
from cxresnet.predict.predictions import Predictions
from cxresnet.predict.predictor import Predictor

MEMBERS_NAME = "members.json"
"""Name of the file in a folder that `evaluate` writes."""


def list_members(predictor: Predictor) -> dict[str, Predictor]:
    """List the networks of an ensemble by the seed of their training; empty for a single one."""
    model = predictor.model
    if not isinstance(model, CXResNetEnsemble):
        return {}
    seeds = predictor.record.notes.get("seeds")
    names = seeds if isinstance(seeds, list) else range(len(model.networks))
    return {
        str(name): replace(predictor, model=network)
        for name, network in zip(names, model.networks, strict=True)
    }


@dataclass(frozen=True)
class EnsemblePredictions:
    """Predictions of one network, or of an ensemble and its members, for the same images.

    Attributes:
        ensemble: The predictions that count.
        members: Of each network of an ensemble, by seed; empty for a single one.
    """

    ensemble: Predictions
    members: Mapping[str, Predictions]


def predict_with_members(
    predictor: Predictor, predict: Callable[[Predictor], Predictions]
) -> EnsemblePredictions:
    """Run every network once.

    Args:
        predictor: Of one network or of an ensemble.
        predict: From a single network to its table of images, the same images for each.

    Returns:
        The table of the ensemble has the mean logits, which are those of `CXResNetEnsemble` up to
        rounding.
    """
    members = {seed: predict(member) for seed, member in list_members(predictor).items()}
    if not members:
        return EnsemblePredictions(predict(predictor), members)
    tables = list(members.values())
    logits = np.stack([table.logits for table in tables])
    return EnsemblePredictions(replace(tables[0], logits=logits.mean(axis=0)), members)


def evaluate_members(
    validation: Mapping[str, Predictions],
    evaluated: Mapping[str, Predictions],
    *,
    choose: Callable[[Predictions], OperatingPoint],
) -> dict[str, Scores]:
    """Evaluate every member on its own.

    Args:
        validation: The table of validation images of each, by seed.
        evaluated: The table of the evaluated images of each, by seed.
        choose: From a table of validation images to an operating point.

    Returns:
        From seed to the headline scores; None where one is not defined.
    """
    scores: dict[str, Scores] = {}
    for seed, table in evaluated.items():
        point = choose(validation[seed])
        known = apply_operating_point(table.select(table.truth >= 0), point)
        statistics = build_headline_statistics(known)
        values = zip(HEADLINE_SCORES, map(compute_value, statistics), strict=True)
        scores[seed] = dict(values)
    return scores


def write_members(path: Path, scores: dict[str, Scores]) -> dict[str, Spread]:
    """Write the members' scores with mean and spread, whole or not at all; returns the spread.

    Raises:
        StorageError: The file cannot be written.
    """
    spread = compute_spread(list(scores.values()))
    content: dict[str, Any] = {
        "disclaimer": DISCLAIMER,
        "seeds": scores,
        "spread": {name: asdict(one) for name, one in spread.items()},
    }
    write_json(path, content)
    record_checksums(path)
    return spread


def read_members(path: Path) -> dict[str, Spread]:
    """Read the mean and spread that `write_members` wrote.

    Raises:
        RunFolderError: The file cannot be read, or was altered; evaluate again.
    """
    require_unaltered(path, way_out="Make it again with 'cxresnet evaluate RUN'.")
    try:
        spread = read_json(path)["spread"]
        return {str(name): Spread(**one) for name, one in spread.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunFolderError(
            f"'{path}' cannot be read. Make it again with 'cxresnet evaluate RUN'."
        ) from error


def describe_spread(spread: Mapping[str, Spread]) -> str:
    """Describe in one line the scores of a single member."""
    return ", ".join(
        f"{name.replace('_', ' ')} {one.mean:.3f} ± {one.sd:.3f}"
        for name, one in spread.items()
        if one.sd is not None
    )
