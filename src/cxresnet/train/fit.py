"""Training: from a prepared dataset to the network that validation selects.

train/
  config.json        the whole config
  environment.json   versions, threads, kind of machine
  history.csv        one row per epoch
  checkpoint/        the selected network; `load_predictor` reads it
  resume/            the last state; `--resume` continues from it
  tensorboard/       the history again, if TensorBoard is installed; see `trackers.py` for others
"""

from __future__ import annotations

import logging
import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.pytorch.loggers import Logger

from cxresnet.core.config import Config
from cxresnet.core.config.train import is_training_helper, require_logger
from cxresnet.core.errors import TrainingError
from cxresnet.core.run_folder import RunFolder
from cxresnet.core.seeding import derive_seed
from cxresnet.data.dataset.dataset import PreparedDataset
from cxresnet.model.checkpoint import CheckpointRecord, find_valid_checkpoint, write_checkpoint
from cxresnet.train.checkpointing import (
    Interruption,
    StateSaving,
    TrainingStoppedError,
    watching_signals,
)
from cxresnet.train.engine import (
    EnvironmentNote,
    build_trainer,
    collect_versions,
    quiet_lightning,
    reproducible,
)
from cxresnet.train.history import History, Selection, StepProgress, TrainResult
from cxresnet.train.inputs import TrainingInputs, gather_training_inputs
from cxresnet.train.module import TrainingModule
from cxresnet.train.trackers import tracking

_logger = logging.getLogger(__name__)


def run_train(
    dataset: PreparedDataset,
    *,
    config: Config,
    run: RunFolder,
    resume: bool = False,
    fold: int | None = None,
    without_sources: Sequence[str] = (),
) -> TrainResult:
    """Train the network from scratch; validation chooses the epoch.

    The same config, dataset and seed give the same bits on the same machine's CPU, also when the
    training was stopped or killed and went on with `resume`.

    Args:
        dataset: Its test split is not looked at.
        config: The whole config; `model` and `train` are used, all of it is written down.
        run: Where `train/` is written.
        resume: Go on from the last state in `run`; begin if there is none.
        fold: Train one round of cross-validation with this fold held out.
        without_sources: Use nothing that has to do with these sources.

    Raises:
        TrainingError: The loss is not finite, or memory ran out.
        CheckpointError: The state to resume from is torn, or of another training.
        ConfigError: Preset, devices, strategy or logger are wrong.
        MissingExtraError: The package of the logger is not installed.
        DatasetError: There is no such split or fold.
        StorageError: The disk is full or may not be written.
        KeyboardInterrupt: Ctrl-C; the state is saved.
        SystemExit: SIGTERM, with code 143; the state is saved.
    """
    inputs = gather_training_inputs(
        dataset,
        fold=fold,
        without_sources=without_sources,
        val_chooses=config.train.monitor != "last",
    )
    return train_on(inputs, config=config, run=run, resume=resume)


def train_on(
    inputs: TrainingInputs, *, config: Config, run: RunFolder, resume: bool = False
) -> TrainResult:
    """Train the network on images at hand: what `run_train` does with those of a dataset.

    Args:
        inputs: The images; they need not lie on the disk.
        config: As of `run_train`.
        run: Where `train/` is written.
        resume: Go on from the last state in `run`; begin if there is none.

    Raises:
        CXResnetError: As of `run_train`; so are the requests to stop.
    """
    require_logger(config.train)
    state = _find_state(run) if resume else None
    with (
        quiet_lightning(),
        tracking(inputs, config=config, folder=run.train) as loggers,
        reproducible(derive_seed(config.train.seed, "weights")),
    ):
        if not resume and not is_training_helper(config.train):
            _clear(run)
        session = _build_session(inputs, config=config, run=run)
        with _explaining_memory(config), _exiting_as_requested(session.interruption):
            session.fit(state, loggers=loggers)
    return TrainResult(
        checkpoint=run.checkpoint,
        epochs=len(session.history.rows),
        best_epoch=session.selection.best_epoch,
        metrics=session.selection.best_metrics,
        val_images=len(inputs.val),
        seconds=sum(row["seconds"] for row in session.history.rows),
        chosen=config.train.monitor != "last",
    )


@dataclass(frozen=True)
class _Session:
    """The parts of one training, wired."""

    module: TrainingModule
    history: History
    selection: Selection
    interruption: Interruption
    config: Config
    run: RunFolder

    def fit(self, state: Path | None, *, loggers: list[Logger]) -> None:
        """Train, from a state if there is one; helper processes end here."""
        settings = self.config.train
        saving = StateSaving(
            _get_state_folder(self.run),
            minutes=settings.save_minutes,
            interruption=self.interruption,
        )
        note = EnvironmentNote(self.run.train, config=self.config)
        trainer = build_trainer(
            settings,
            folder=self.run.train,
            callbacks=[note, self.selection, self.history, StepProgress(), saving],
            loggers=loggers,
        )
        trainer.fit(self.module, ckpt_path=state, weights_only=True)
        if not trainer.is_global_zero:
            # A helper that Lightning started by running the same command: its part is done, and
            # what follows the training is the first process's alone.
            sys.exit(0)


def _build_session(inputs: TrainingInputs, *, config: Config, run: RunFolder) -> _Session:
    settings = config.train

    def keep(module: TrainingModule, epoch: int, metrics: dict[str, float]) -> None:
        record = _build_record(inputs, config=config, metrics=metrics | {"epoch": epoch})
        write_checkpoint(
            run.checkpoint, tensors=module.evaluated_network.state_dict(), record=record
        )

    return _Session(
        module=TrainingModule(inputs, config=config),
        history=History(run.history, epochs=settings.epochs, monitor=settings.monitor),
        selection=Selection(settings, keep=keep),
        interruption=Interruption(),
        config=config,
        run=run,
    )


def _build_record(
    inputs: TrainingInputs, *, config: Config, metrics: dict[str, float]
) -> CheckpointRecord:
    known = {name: value for name, value in metrics.items() if math.isfinite(value)}
    return CheckpointRecord(
        model=config.model,
        class_names=inputs.class_names,
        preprocessing=inputs.preprocessing.model_dump(mode="json"),
        dataset_hash=inputs.dataset_hash,
        versions=collect_versions(),
        metrics=dict(known),
        notes={
            "data_verdict": inputs.data_verdict,
            "train": config.train.model_dump(mode="json"),
            "train_images": len(inputs.train),
            "val_images": len(inputs.val),
        },
    )


def _get_state_folder(run: RunFolder) -> Path:
    return run.train / "resume"


def _find_state(run: RunFolder) -> Path | None:
    """Find the state to resume from; None, with a log line, if the run was killed before the first.

    Raises:
        CheckpointError: There are states but none is whole.
    """
    folder = _get_state_folder(run)
    # A folder without a manifest is a first state that a kill left half-written.
    if any(folder.parent.glob(f"{folder.name}*/MANIFEST.json")):
        return find_valid_checkpoint(folder)
    _logger.info(
        "There is no state to resume from in '%s': starting from the beginning.", run.train
    )
    return None


def _clear(run: RunFolder) -> None:
    """Remove what an earlier training left, and nothing else."""
    for path in (run.checkpoint, _get_state_folder(run)):
        for left in path.parent.glob(f"{path.name}*"):
            shutil.rmtree(left)
    shutil.rmtree(run.train / "tensorboard", ignore_errors=True)
    run.history.unlink(missing_ok=True)


@contextmanager
def _explaining_memory(config: Config) -> Iterator[None]:
    """Turn running out of memory into one sentence with a smaller batch."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        is_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not is_memory and "not enough memory" not in text and "allocate memory" not in text:
            raise
        batch = config.train.batch_size
        raise TrainingError(
            f"Memory ran out with batches of {batch} images. "
            f"Try --set train.batch_size={max(2, batch // 2)}, a smaller preset, or smaller images "
            "(--set data.side_px=128)."
        ) from error


@contextmanager
def _exiting_as_requested(interruption: Interruption) -> Iterator[None]:
    """End as the signal would have ended the process, after the state is saved.

    Lightning answers a second Ctrl-C with SystemExit(1); for us it stays Ctrl-C.
    """
    with watching_signals(interruption):
        try:
            yield
        except (TrainingStoppedError, SystemExit) as stop:
            if not interruption.is_requested:
                raise
            raise interruption.build_exit() from stop
