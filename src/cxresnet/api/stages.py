"""The stages of a run as functions: prepare, train, evaluate.

Each writes into a folder what the command of the same name writes, and returns what a script needs
next. Rooms are imported when a stage runs, so that a command does not wait for what it does not
use.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from cxresnet.core.checksums import forget_checksums, record_folder_checksums
from cxresnet.core.config import Config, DataConfig, SourceConfig, change_config, read_config
from cxresnet.core.config.train import is_training_helper, require_logger
from cxresnet.core.errors import ConfigError
from cxresnet.core.finding import Finding
from cxresnet.core.run_folder import (
    RunFolder,
    claim_run_folder,
    hold_run_folder,
    open_run_folder,
)

if TYPE_CHECKING:
    from cxresnet.core.executor import AbstractExecutor
    from cxresnet.data.dataset.dataset import PreparedDataset
    from cxresnet.data.sources.source import AbstractSource
    from cxresnet.evaluate.record import Evaluation
    from cxresnet.model.presets import Preset

PathInput: TypeAlias = str | os.PathLike[str]
ConfigInput: TypeAlias = Config | PathInput | None
"""A whole config, a TOML file, or None for the defaults."""

DATA_REPORT_NAME = "data_report.html"
"""In the folder of a dataset."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedRun(os.PathLike[str]):
    """The folder of a trained run; `load` and `evaluate` take it as a path.

    Attributes:
        path: The folder.
        summary: How the training went, one or two sentences.
    """

    path: Path
    summary: str

    def __fspath__(self) -> str:
        return str(self.path)


def prepare(
    source: PathInput | Sequence[str] | AbstractSource,
    *,
    out: PathInput,
    config: ConfigInput = None,
    force: bool = False,
    executor: AbstractExecutor | None = None,
    **settings: Any,
) -> PreparedDataset:
    """Turn images into a dataset: decode, split by patient, hold out a test set, audit.

    Args:
        source: A folder with one folder per class, a table, an archive, a DICOM folder, a MedMNIST
            file, "kaggle:OWNER/SLUG" or "phantoms"; a list of them is joined.
        out: Folder for the dataset, with the audit's findings and a data report.
        config: Where to start from.
        force: Overwrite a dataset that is there.
        executor: Where images are decoded, for example on a Ray cluster
            (`cxresnet.api.ray_executor.connecting_to_ray`); None for this machine.
        **settings: Keys of the config sections `data` and `source`, for example `side_px=96` or
            `classes={"covid-19": ["Covid"]}`.

    Returns:
        The dataset, opened.

    Raises:
        ConfigError: There is no such setting, or its value is wrong.
        SourceError: The images cannot be used as they are; the message says what to do.
        SplitError: The images cannot be split as configured.
        RunFolderError: `out` holds something else.
        StorageError: The disk is full or read-only.

    >>> import cxresnet
    >>> cxresnet.prepare("phantoms", out="dataset", sidepx=64)
    Traceback (most recent call last):
    cxresnet.core.errors.ConfigError: There is no setting 'sidepx'. Did you mean 'side_px'?
    """
    from cxresnet.data.prepare.prepare import run_prepare

    chosen = _configure(config, ("data", "source"), settings)
    opened = (
        open_configured_source(source, chosen.source, chosen.data)
        if isinstance(source, str | os.PathLike | Sequence)
        else source
    )
    result = run_prepare(opened, config=chosen.data, out=Path(out), force=force, executor=executor)
    audit_dataset(result.path)
    return open_dataset(result.path)


def audit_dataset(path: PathInput) -> tuple[Finding, ...]:
    """Audit a prepared dataset and write its data report; `prepare` does both.

    Args:
        path: The folder of the dataset; gets `findings.json` and `data_report.html`.

    Returns:
        The findings, for example whether the file format predicts the class.

    Raises:
        DatasetError: It is no dataset.
        StorageError: The files cannot be written.
    """
    from cxresnet.report.report import write_data_report
    from cxresnet.shortcuts.data_checks import run_data_checks

    folder = Path(path)
    findings = run_data_checks(folder)
    write_data_report(folder, folder / DATA_REPORT_NAME)
    return findings


def train(  # noqa: PLR0913  each is a choice of the user
    dataset: PathInput | PreparedDataset,
    *,
    out: PathInput,
    config: ConfigInput = None,
    seeds: Sequence[int] = (),
    folds: int = 0,
    find_learning_rate: bool = False,
    resume: bool = False,
    force: bool = False,
    **settings: Any,
) -> TrainedRun:
    """Train a network from scratch; the validation set chooses the epoch.

    Args:
        dataset: A prepared dataset, or its folder.
        out: Folder for the run.
        config: Where to start from.
        seeds: Several train an ensemble, one network each; one replaces the seed of the config.
        folds: Cross-validate over this many folds instead, once per seed; 0 does not.
        find_learning_rate: Find the learning rate with a sweep first.
        resume: Resume an interrupted run.
        force: Overwrite a run that is there.
        **settings: Keys of the config sections `train` and `model`, for example `epochs=10` or
            `preset="small"`.

    Returns:
        The run; pass it to `evaluate` and `load`.

    Raises:
        ConfigError: There is no such setting, or its value is wrong.
        MissingExtraError: The package of the logger is not installed.
        DatasetError: It is no dataset.
        RunFolderError: `out` already holds a run, or another process is writing it.
        TrainingError: The training diverged or ran out of memory.
        StorageError: The disk is full or read-only.

    >>> import cxresnet
    >>> cxresnet.train("nowhere", out="runs/first")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    cxresnet.core.errors.DatasetError: 'nowhere' is not a prepared dataset...
    """
    chosen = _configure(config, ("train", "model"), settings)
    require_logger(chosen.train)
    prepared = open_dataset(dataset)
    with hold_run_folder(Path(out)):
        run, is_first = RunFolder(Path(out)), not is_training_helper(chosen.train)
        if is_first:
            claim_run_folder(run.path, dataset=prepared.path, force=force or resume)
        if find_learning_rate:
            chosen = _sweep_learning_rate(prepared, chosen, run=run)
        elif not resume:
            run.learning_rates.unlink(missing_ok=True)
        if is_first:
            forget_checksums(run.train)
        summary = _train(
            prepared, config=chosen, run=run, seeds=tuple(seeds), folds=folds, resume=resume
        )
        record_folder_checksums(run.train)
    return TrainedRun(run.path, summary)


def _train(
    prepared: PreparedDataset,
    *,
    config: Config,
    run: RunFolder,
    seeds: tuple[int, ...],
    folds: int,
    resume: bool,
) -> str:
    from cxresnet.train.cross_validation import reseed, run_cross_validation
    from cxresnet.train.fit import run_train
    from cxresnet.train.seeds import run_seeds

    if folds:
        return run_cross_validation(
            prepared, config=config, run=run, folds=folds, seeds=seeds, resume=resume
        ).describe()
    if len(seeds) > 1:
        return run_seeds(prepared, config=config, run=run, seeds=seeds, resume=resume).describe()
    config = reseed(config, seeds[0]) if seeds else config
    return run_train(prepared, config=config, run=run, resume=resume).describe()


def _sweep_learning_rate(prepared: PreparedDataset, config: Config, *, run: RunFolder) -> Config:
    from cxresnet.train.learning_rate_sweep import find_learning_rate, write_learning_rates

    if config.train.is_on_several_devices:
        raise ConfigError(
            "The sweep finds the learning rate on one device. Run it there (--set train.devices=1 "
            "--set train.epochs=1), then train with the rate: --set train.learning_rate=RATE."
        )
    curve = find_learning_rate(prepared, config=config)
    write_learning_rates(run.learning_rates, curve)
    if curve.suggestion is None:
        kept = config.train.learning_rate
        _logger.warning("The loss hardly fell at any learning rate, so it stays at %s.", kept)
        return config
    _logger.info(
        "Learning rate %.2g: in the middle of the range where the loss falls.", curve.suggestion
    )
    return change_config(config, {"train.learning_rate": curve.suggestion})


def evaluate(
    run: PathInput,
    *,
    data: PathInput | PreparedDataset | None = None,
    config: ConfigInput = None,
    **settings: Any,
) -> Evaluation:
    """Evaluate the network of a run on the held-out test set, with confidence intervals.

    Each access to the test set is logged in the dataset.

    Args:
        run: The folder of a run, or what `train` returned.
        data: Another prepared dataset (external test); None for the run's own test set.
        config: Where to start from.
        **settings: Keys of the config section `evaluate`, for example `bootstrap_resamples=500`.

    Returns:
        What `metrics.json` holds, for example `.headline.balanced_accuracy` with its interval.

    Raises:
        ConfigError: There is no such setting, or its value is wrong.
        RunFolderError: The folder is no run.
        CheckpointError: The network is missing or damaged.
        DatasetError: The dataset does not fit the network.

    >>> import cxresnet
    >>> cxresnet.evaluate("nowhere")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    cxresnet.core.errors.RunFolderError: 'nowhere' is not a run: ...
    """
    from cxresnet.evaluate.evaluation import run_evaluate

    chosen = _configure(config, ("evaluate",), settings)
    folder = open_run_folder(Path(run))
    dataset = None if data is None else _get_folder(data)
    return run_evaluate(folder, config=chosen.evaluate, dataset=dataset)


def open_dataset(dataset: PathInput | PreparedDataset) -> PreparedDataset:
    """Open a prepared dataset; images stay on the disk until they are used.

    Args:
        dataset: The folder that `prepare` wrote; a dataset that is open already is given back.

    Returns:
        The dataset: `.manifest` is a table with one row an image, `.select("train")` gives images
        and labels. The test set is held out: `select("test")` raises.

    Raises:
        DatasetError: It is no dataset, not whole, or was altered.

    >>> import cxresnet
    >>> cxresnet.open_dataset("nowhere")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    cxresnet.core.errors.DatasetError: 'nowhere' is not a prepared dataset...
    """
    from cxresnet.data.dataset import dataset as room

    if isinstance(dataset, room.PreparedDataset):
        return dataset
    return room.open_dataset(Path(dataset))


def list_presets() -> tuple[Preset, ...]:
    """List the networks that have a name, ours from small to large, then those for comparison.

    >>> import cxresnet
    >>> [preset.name for preset in cxresnet.list_presets()][:3]
    ['nano', 'small', 'base']
    """
    from cxresnet.model import presets

    return presets.list_presets()


def open_configured_source(
    source: PathInput | Sequence[str], config: SourceConfig, data: DataConfig
) -> AbstractSource:
    """Open images as the config sections `source` and `data` say.

    Args:
        source: One or several, as of `prepare`.
        config: What folders, columns and labels mean.
        data: Whether one class is enough, and which ids of patients stand for nobody.

    Raises:
        SourceError: There is nothing of that name, or its kind is not known.
    """
    from cxresnet.data.sources import open as room
    from cxresnet.data.sources.table import TableOptions

    options = room.SourceOptions(
        class_table=config.classes or None,
        use_manifest=config.manifest,
        dataset_preset=config.dataset_preset or None,
        labels=Path(config.labels) if config.labels else None,
        any_body_part=config.any_body_part,
        external_test=data.external_test,
        no_patients=data.no_patients,
        follow_links=config.follow_links,
        table_options=TableOptions(
            columns=config.columns,
            patterns=config.patterns,
            separator=config.separator,
            one_hot=tuple(config.one_hot),
        ),
    )
    names = os.fspath(source) if isinstance(source, os.PathLike) else source
    return room.open_source(names, options)


def _get_folder(dataset: PathInput | PreparedDataset) -> Path:
    return Path(dataset) if isinstance(dataset, str | os.PathLike) else dataset.path


def _configure(
    config: ConfigInput, sections: Sequence[str], settings: Mapping[str, object]
) -> Config:
    """Take a config, and change the settings, each in the section that has it.

    Raises:
        ConfigError: No section has a setting, a value is wrong, or the file cannot be read.
    """
    start = (
        config
        if isinstance(config, Config)
        else read_config(None if config is None else Path(config))
    )
    return change_config(
        start, {f"{_find_section(name, sections)}.{name}": settings[name] for name in settings}
    )


def _find_section(name: str, sections: Sequence[str]) -> str:
    known = {
        key: section
        for section in sections
        for key in type(getattr(Config(), section)).model_fields
    }
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(sorted(known))}."
    raise ConfigError(f"There is no setting '{name}'. {hint}")
