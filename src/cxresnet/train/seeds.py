"""Train the same network from several seeds: an ensemble, whose spread shows the randomness.

train/
  rounds/seed-0/train/   each seed's own training
  checkpoint/            the ensemble: the logits of the members are averaged
  history.csv            mean over the seeds for each epoch that all seeds reached
  seeds.json             every seed, and mean and spread on validation
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from cxresnet import DISCLAIMER
from cxresnet.core.config import Config
from cxresnet.core.errors import ConfigError
from cxresnet.core.files import read_json, write_json, write_text
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import PreparedDataset
from cxresnet.metrics.agreement import Spread, compute_spread
from cxresnet.model.checkpoint import read_checkpoint, write_checkpoint
from cxresnet.model.ensemble import gather_member_weights
from cxresnet.train.cross_validation import reseed
from cxresnet.train.fit import run_train
from cxresnet.train.history import TrainResult
from cxresnet.train.module import VALIDATION_NAMES

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SeedsResult:
    """What came of all seeds.

    Attributes:
        checkpoint: The folder of all networks together.
        trainings: One a seed, in order.
        spread: From score on validation to its mean and spread over seeds.
    """

    checkpoint: Path
    trainings: dict[int, TrainResult]
    spread: dict[str, Spread]

    def describe(self) -> str:
        """Say in one sentence what came of it."""
        images = next(iter(self.trainings.values())).val_images
        parts = [
            f"{name.removeprefix('val_').replace('_', ' ')} {one.mean:.3f} ± {one.sd:.3f}"
            for name, one in self.spread.items()
            if name != "val_loss" and one.sd is not None
        ]
        return (
            f"Trained an ensemble of {len(self.trainings)} networks. Validation scores of the "
            f"single networks, mean ± sd: {', '.join(parts)} (n={images} images). Test the "
            "ensemble with 'cxresnet evaluate'."
        )


def run_seeds(
    dataset: PreparedDataset,
    *,
    config: Config,
    run: RunFolder,
    seeds: Sequence[int],
    resume: bool = False,
) -> SeedsResult:
    """Train once for every seed, and put the networks into one checkpoint that averages them.

    Args:
        dataset: As of `run_train`.
        config: Of every training, but for the seed.
        run: Where `train/` is written.
        seeds: Two or more, all different.
        resume: Go on where an earlier call stopped; seeds that are done stay.

    Raises:
        ConfigError: Fewer than two seeds, one twice, or several devices.
        TrainingError: As of `run_train`, and whatever else it raises.
    """
    _require_seeds(config, seeds)
    trainings = {}
    for seed in seeds:
        _logger.info("Seed %d of %s", seed, ", ".join(map(str, seeds)))
        folder = _get_folder(run, seed)
        trainings[seed] = run_train(dataset, config=reseed(config, seed), run=folder, resume=resume)
    _write_ensemble(run, seeds=seeds)
    spread = compute_spread(
        [{name: one.metrics[name] for name in VALIDATION_NAMES} for one in trainings.values()]
    )
    result = SeedsResult(checkpoint=run.checkpoint, trainings=trainings, spread=spread)
    _write_summary(run.train / "seeds.json", result)
    return result


def _require_seeds(config: Config, seeds: Sequence[int]) -> None:
    if len(seeds) < 2 or len(set(seeds)) != len(seeds):
        raise ConfigError(
            "Several seeds are two or more different numbers, as in --seeds 0,1,2; "
            f"got {', '.join(map(str, seeds)) or 'none'}."
        )
    if config.train.is_on_several_devices:
        raise ConfigError(
            "Several seeds train on one device: --set train.devices=1 --set train.num_nodes=1."
        )


def _get_folder(run: RunFolder, seed: int) -> RunFolder:
    return RunFolder(run.train / "rounds" / f"seed-{seed}")


def _write_ensemble(run: RunFolder, *, seeds: Sequence[int]) -> None:
    """Write the checkpoint of all, and beside it what a single training has there."""
    folders = [_get_folder(run, seed) for seed in seeds]
    members = [read_checkpoint(folder.checkpoint) for folder in folders]
    record = members[0][1]
    joined = record.model_copy(
        update={
            "model": record.model.model_copy(update={"members": len(seeds)}),
            "metrics": {},
            "notes": record.notes | {"seeds": list(seeds)},
        }
    )
    for name in ("config.json", "environment.json"):
        write_json(run.train / name, read_json(folders[0].train / name))
    write_text(run.history, _average_histories([folder.history for folder in folders]))
    weights = gather_member_weights([tensors for tensors, _ in members])
    write_checkpoint(run.checkpoint, tensors=weights, record=joined)


def _average_histories(paths: Sequence[Path]) -> str:
    """Average the histories epoch by epoch, as far as every seed came; seconds are summed."""
    tables = pd.concat([pd.read_csv(path) for path in paths])
    by_epoch = tables.groupby("epoch")
    mean = by_epoch.mean().assign(seconds=by_epoch["seconds"].sum())
    whole: str = mean[by_epoch.size() == len(paths)].to_csv(float_format="%.6g")
    return whole


def _write_summary(path: Path, result: SeedsResult) -> None:
    write_json(
        path,
        {
            "disclaimer": DISCLAIMER,
            "seeds": [
                {"seed": seed, "best_epoch": one.best_epoch, "metrics": one.metrics}
                for seed, one in result.trainings.items()
            ],
            "spread": {name: asdict(one) for name, one in result.spread.items()},
        },
    )
