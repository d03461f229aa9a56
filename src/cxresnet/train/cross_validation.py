"""Cross-validation: train once for each fold and seed.

train/
  rounds/seed-0-fold-0/train/   each round's own training
  predictions_seed-0.csv        the prediction of each image by the network that did not see it
  cross_validation.json         every round, mean and spread, and the ensemble of all seeds
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from cxresnet import DISCLAIMER
from cxresnet.core.config import Config
from cxresnet.core.errors import ConfigError
from cxresnet.core.files import write_json
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import PreparedDataset
from cxresnet.metrics.agreement import Scores, Spread, compute_spread
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.classification import ClassifiedImages, build_headline_statistics
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.paired import build_pair_statistics
from cxresnet.metrics.statistic import Key, Statistic, compute_value
from cxresnet.predict.predictions import Predictions, concatenate_predictions, write_predictions
from cxresnet.predict.predictor import load_predictor
from cxresnet.train.fit import run_train

# Trainings that differ in seed or fold: changing the seed, and their scores.


def reseed(config: Config, seed: int) -> Config:
    """Give the same config with another seed of the training."""
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})


def build_statistics(table: Predictions) -> tuple[Statistic, ...]:
    """Build the headline numbers of a table, and for three classes and more those of its pairs."""
    evaluated = ClassifiedImages(
        class_names=table.class_names,
        truth=table.truth,
        predicted=table.logits.argmax(axis=1),
        probabilities=table.probabilities,
    )
    pairs = build_pair_statistics(evaluated) if len(table.class_names) > 2 else ()
    return (*build_headline_statistics(evaluated), *pairs)


def compute_scores(table: Predictions) -> Scores:
    """Compute the numbers of `build_statistics`."""
    return {str(one.name): compute_value(one) for one in build_statistics(table)}


_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Round:
    """One training with one fold held out.

    Attributes:
        seed: Of weights, order and augmentation.
        fold: Held out; used neither for learning nor for selecting the epoch.
        best_epoch: Chosen on another fold.
        images: Held out.
        scores: On them; None where one is not defined.
    """

    seed: int
    fold: int
    best_epoch: int
    images: int
    scores: Scores


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """What came of all rounds.

    Attributes:
        rounds: In the order of training.
        spread: From score to its mean and spread over rounds: folds and seeds.
        pooled: From seed to the scores over all images at once, each from its own round.
        pooled_spread: From score to mean and spread of `pooled` over seeds.
        ensemble: From score to its estimate, for the ensemble of the networks of all seeds (their
            logits averaged), each image by those that never saw it.
        predictions: The tables, one a seed.
    """

    rounds: tuple[Round, ...]
    spread: dict[str, Spread]
    pooled: dict[int, Scores]
    pooled_spread: dict[str, Spread]
    ensemble: dict[Key, Estimate]
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
    """Train once for every fold and seed, and evaluate each network on its held-out fold.

    Args:
        dataset: Prepared with `data.folds`; the held-out test set is in no fold.
        config: Of every round, but for the seed.
        run: Where `train/` is written.
        folds: As many as the dataset has, at least 2.
        seeds: One or more; empty takes the config's.
        resume: Go on where an earlier call stopped; rounds that are done stay.

    Raises:
        ConfigError: Fewer than two folds, or several devices.
        DatasetError: The dataset has no such folds.
        TrainingError: As of `run_train`.
    """
    _require_rounds(config, folds=folds)
    rounds: list[Round] = []
    tables: dict[int, Predictions] = {}
    for seed in seeds or (config.train.seed,):
        seeded = reseed(config, seed)
        done = [
            _run_round(dataset, config=seeded, run=run, fold=fold, resume=resume)
            for fold in range(folds)
        ]
        rounds += [one for one, _ in done]
        tables[seed] = concatenate_predictions([table for _, table in done])
        write_predictions(_get_table_path(run, seed), tables[seed], verdict=dataset.verdict)
    pooled = {seed: compute_scores(table) for seed, table in tables.items()}
    result = CrossValidation(
        rounds=tuple(rounds),
        spread=compute_spread([one.scores for one in rounds]),
        pooled=pooled,
        pooled_spread=compute_spread(list(pooled.values())),
        ensemble=_evaluate_ensemble(list(tables.values()), config=config),
        predictions=tuple(_get_table_path(run, seed) for seed in tables),
    )
    _write_summary(run.train / "cross_validation.json", result)
    return result


def _get_table_path(run: RunFolder, seed: int) -> Path:
    return run.train / f"predictions_seed-{seed}.csv"


def _require_rounds(config: Config, *, folds: int) -> None:
    if folds < 2:
        raise ConfigError(
            f"Cross-validation needs at least 2 folds, not {folds}: one is held out, the others "
            "are for training."
        )
    if config.train.is_on_several_devices:
        raise ConfigError(
            "Cross-validation trains on one device: --set train.devices=1 --set train.num_nodes=1."
        )


def _run_round(
    dataset: PreparedDataset, *, config: Config, run: RunFolder, fold: int, resume: bool
) -> tuple[Round, Predictions]:
    seed = config.train.seed
    _logger.info("Seed %d, fold %d held out", seed, fold)
    folder = RunFolder(run.train / "rounds" / f"seed-{seed}-fold-{fold}")
    result = run_train(dataset, config=config, run=folder, resume=resume, fold=fold)
    held_out = dataset.select_fold(fold, "val")
    table = load_predictor(result.checkpoint).predict_image_set(
        held_out, test_time_augmentation=config.evaluate.test_time_augmentation
    )
    done = Round(
        seed=seed,
        fold=fold,
        best_epoch=result.best_epoch,
        images=len(table),
        scores=compute_scores(table),
    )
    return done, table


def _evaluate_ensemble(tables: Sequence[Predictions], *, config: Config) -> dict[Key, Estimate]:
    """Evaluate the mean of the logits of all seeds; all tables hold the same images in order."""
    first = tables[0]
    mean = np.stack([table.logits for table in tables]).mean(axis=0)
    settings = config.evaluate
    return compute_estimates(
        build_statistics(replace(first, logits=mean)),
        groups=np.array(first.group_ids),
        resamples=settings.bootstrap_resamples,
        confidence=settings.confidence_level,
        generator=np.random.default_rng(settings.seed),
    )


def _write_summary(path: Path, result: CrossValidation) -> None:
    write_json(
        path,
        {
            "disclaimer": DISCLAIMER,
            "rounds": [asdict(one) for one in result.rounds],
            "spread": {name: asdict(one) for name, one in result.spread.items()},
            "pooled": {str(seed): scores for seed, scores in result.pooled.items()},
            "pooled_spread": {name: asdict(one) for name, one in result.pooled_spread.items()},
            "ensemble": {str(name): asdict(one) for name, one in result.ensemble.items()},
        },
    )
