"""What each network of an ensemble reaches by itself: how much of the number is luck?

`members.json` beside `metrics.json`. Every member gets an operating point of its own, chosen on
validation films like that of the whole; the test is opened once for all of them, and each is asked
once: what they say together is the mean of what they say apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cxresnet import DISCLAIMER
from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import read_json, write_json
from cxresnet.evaluate.operating_point import judge
from cxresnet.evaluate.record import OperatingPoint
from cxresnet.metrics.classification import build_headline_statistics
from cxresnet.metrics.spread import Scores, Spread, compute_spread
from cxresnet.metrics.statistic import compute_value
from cxresnet.model.ensemble import CXResNetEnsemble
from cxresnet.predict.predictions import Predictions
from cxresnet.predict.predictor import Predictor

__all__ = [
    "MEMBERS_NAME",
    "Answers",
    "ask_networks",
    "describe_spread",
    "judge_members",
    "list_members",
    "read_members",
    "write_members",
]

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
class Answers:
    """What one network, or several that answer together, say about the same films.

    Attributes:
        together: The answer that counts.
        apart: Of each network of an ensemble, by seed; empty for a single one.
    """

    together: Predictions
    apart: Mapping[str, Predictions]


def ask_networks(predictor: Predictor, ask: Callable[[Predictor], Predictions]) -> Answers:
    """Ask every network once.

    Args:
        predictor: Of one network or of an ensemble.
        ask: From a single network to its table of films, the same films for each.

    Returns:
        The joined table has the mean logits, as `CXResNetEnsemble` gives them up to rounding.
    """
    apart = {seed: ask(member) for seed, member in list_members(predictor).items()}
    if not apart:
        return Answers(ask(predictor), apart)
    tables = list(apart.values())
    logits = np.stack([table.logits for table in tables])
    return Answers(replace(tables[0], logits=logits.mean(axis=0)), apart)


def judge_members(
    validation: Mapping[str, Predictions],
    judged: Mapping[str, Predictions],
    *,
    choose: Callable[[Predictions], OperatingPoint],
) -> dict[str, Scores]:
    """Judge every member by itself.

    Args:
        validation: The table of validation films of each, by seed.
        judged: The table of the judged films of each, by seed.
        choose: From a table of validation films to an operating point.

    Returns:
        From seed to the headline numbers; None where one is not defined.
    """
    scores: dict[str, Scores] = {}
    for seed, table in judged.items():
        point = choose(validation[seed])
        known = judge(table.select(table.truth >= 0), point)
        scores[seed] = {one.name: compute_value(one) for one in build_headline_statistics(known)}
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
    return spread


def read_members(path: Path) -> dict[str, Spread]:
    """Read the mean and spread that `write_members` wrote.

    Raises:
        RunFolderError: The file cannot be read; evaluate again.
    """
    try:
        spread = read_json(path)["spread"]
        return {str(name): Spread(**one) for name, one in spread.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunFolderError(
            f"'{path}' cannot be read. Make it again with 'cxresnet evaluate RUN'."
        ) from error


def describe_spread(spread: Mapping[str, Spread]) -> str:
    """Say in one line what a single network reaches."""
    return ", ".join(
        f"{name.replace('_', ' ')} {one.mean:.3f} ± {one.sd:.3f}"
        for name, one in spread.items()
        if one.sd is not None
    )
