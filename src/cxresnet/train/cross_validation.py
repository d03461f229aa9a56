"""Train once a fold, and once more a seed: how much of a number is luck?

train/
  rounds/seed-0-fold-0/train/   each round's own training
  predictions_seed-0.csv        what each film was called by the network that never saw it
  cross_validation.json         every round, and mean and spread
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cxresnet import DISCLAIMER
from cxresnet.core.config import Config
from cxresnet.core.errors import ConfigError
from cxresnet.core.files import write_json
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset import PreparedDataset
from cxresnet.metrics.classification import Judged, build_headline_statistics
from cxresnet.metrics.statistic import compute_value
from cxresnet.predict.predictions import (
    Predictions,
    concatenate_predictions,
    write_predictions,
)
from cxresnet.predict.predictor import load_predictor
from cxresnet.train.fit import run_train

__all__ = ["CrossValidation", "Round", "Spread", "run_cross_validation"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Round:
    """One training with one fold held out.

    Attributes:
        seed: Of weights, order and augmentation.
        fold: Held out; neither learned from nor asked which epoch is best.
        best_epoch: Chosen on another fold.
        films: Held out.
        scores: On them; None where one is not defined.
    """

    seed: int
    fold: int
    best_epoch: int
    films: int
    scores: dict[str, float | None]


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over `n` rounds; sd is None for a single one."""

    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """What came of all rounds.

    Attributes:
        rounds: In the order of training.
        spread: From score to its mean and spread over rounds.
        pooled: From seed to the scores over all films at once, each from its own round.
        predictions: The tables, one a seed.
    """

    rounds: tuple[Round, ...]
    spread: dict[str, Spread]
    pooled: dict[int, dict[str, float | None]]
    predictions: tuple[Path, ...]

    def describe(self) -> str:
        """Say in one sentence what came of it."""
        parts = [
            f"{name.replace('_', ' ')} {spread.mean:.3f}"
            + (f" ± {spread.sd:.3f}" if spread.sd is not None else "")
            for name, spread in self.spread.items()
        ]
        return f"Mean ± sd over {len(self.rounds)} held-out rounds: {', '.join(parts)}."


def run_cross_validation(
    dataset: PreparedDataset,
    *,
    config: Config,
    run: RunFolder,
    folds: int,
    seeds: Sequence[int] = (),
    resume: bool = False,
) -> CrossValidation:
    """Train once for every fold and seed, and judge each network by the fold it never saw.

    Args:
        dataset: Prepared with `data.folds`; the sealed test split is in no fold.
        config: Of every round, but for the seed.
        run: Where `train/` is written.
        folds: As many as the dataset has, at least 3.
        seeds: One or more; empty takes the config's.
        resume: Go on where an earlier call stopped; rounds that are done stay.

    Raises:
        ConfigError: Fewer than three folds, or several devices.
        DatasetError: The dataset has no such folds.
        TrainingError: As of `run_train`.
    """
    _require_rounds(config, folds=folds)
    rounds: list[Round] = []
    pooled: dict[int, dict[str, float | None]] = {}
    paths: list[Path] = []
    for seed in seeds or (config.train.seed,):
        seeded = _reseed(config, seed)
        done = [
            _run_round(dataset, config=seeded, run=run, fold=fold, resume=resume)
            for fold in range(folds)
        ]
        whole = concatenate_predictions([table for _, table in done])
        rounds += [one for one, _ in done]
        pooled[seed] = _score(whole)
        paths.append(write_predictions(run.train / f"predictions_seed-{seed}.csv", whole))
    result = CrossValidation(
        rounds=tuple(rounds),
        spread=_compute_spread(rounds),
        pooled=pooled,
        predictions=tuple(paths),
    )
    _write_summary(run.train / "cross_validation.json", result)
    return result


def _require_rounds(config: Config, *, folds: int) -> None:
    if folds < 3:
        raise ConfigError(
            f"Cross-validation needs at least 3 folds, not {folds}: one is held out, one chooses "
            "the epoch, the others are learned from."
        )
    if config.train.devices not in {1, "auto"}:
        raise ConfigError("Cross-validation trains on one device: --set train.devices=1.")


def _run_round(
    dataset: PreparedDataset, *, config: Config, run: RunFolder, fold: int, resume: bool
) -> tuple[Round, Predictions]:
    seed = config.train.seed
    _logger.info("Seed %d, fold %d held out", seed, fold)
    folder = RunFolder(run.train / "rounds" / f"seed-{seed}-fold-{fold}")
    result = run_train(dataset, config=config, run=folder, resume=resume, fold=fold)
    held_out = dataset.select_fold(fold, "val")
    table = load_predictor(result.checkpoint).predict_film_set(held_out)
    done = Round(
        seed=seed,
        fold=fold,
        best_epoch=result.best_epoch,
        films=len(table),
        scores=_score(table),
    )
    return done, table


def _reseed(config: Config, seed: int) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})


def _score(table: Predictions) -> dict[str, float | None]:
    judged = Judged(
        class_names=table.class_names,
        truth=table.truth,
        predicted=table.logits.argmax(axis=1),
        probabilities=table.probabilities,
    )
    return {one.name: compute_value(one) for one in build_headline_statistics(judged)}


def _compute_spread(rounds: Sequence[Round]) -> dict[str, Spread]:
    """Compute mean and spread of each score that is defined in every round."""
    spread = {}
    for name in rounds[0].scores:
        values = [value for one in rounds if (value := one.scores[name]) is not None]
        if len(values) == len(rounds):
            sd = statistics.stdev(values) if len(values) > 1 else None
            spread[name] = Spread(statistics.fmean(values), sd, len(values))
    return spread


def _write_summary(path: Path, result: CrossValidation) -> None:
    write_json(
        path,
        {
            "disclaimer": DISCLAIMER,
            "rounds": [asdict(one) for one in result.rounds],
            "spread": {name: asdict(one) for name, one in result.spread.items()},
            "pooled": {str(seed): scores for seed, scores in result.pooled.items()},
        },
    )
