"""The folder of a run: the name of every path in it is defined here, and only here."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import (
    explain_storage_errors,
    locked,
    read_json,
    remove_unfinished,
    write_json,
)

_MARK = "run.json"
_FORMAT = 1
_LOCK = ".lock"
_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
"""Variables by which launchers number processes and machines; the first has 0 in all of them."""

Options = ParamSpec("Options")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RunFolder:
    """Where the rooms of one run write.

    Attributes:
        path: The folder given with `--out`.
    """

    path: Path

    @property
    def mark(self) -> Path:
        """`run.json`: says that this folder is a run, and of which dataset."""
        return self.path / _MARK

    @property
    def train(self) -> Path:
        """Checkpoint, history and config of the training."""
        return self.path / "train"

    @property
    def checkpoint(self) -> Path:
        """The network that validation chose: a folder, see `model/checkpoint.py`."""
        return self.train / "checkpoint"

    @property
    def history(self) -> Path:
        """`history.csv`, one row an epoch."""
        return self.train / "history.csv"

    @property
    def learning_rates(self) -> Path:
        """`learning_rates.csv`: how the loss ran while the rate rose; only after a sweep."""
        return self.train / "learning_rates.csv"

    @property
    def evaluate(self) -> Path:
        """What `evaluate` found."""
        return self.path / "evaluate"

    @property
    def predictions(self) -> Path:
        """`predictions.csv` of the test split, one row an image."""
        return self.evaluate / "predictions.csv"

    @property
    def metrics(self) -> Path:
        """`metrics.json` of the test split."""
        return self.evaluate / "metrics.json"

    @property
    def explain(self) -> Path:
        """Attributions, overlays and their index."""
        return self.path / "explain"

    @property
    def report(self) -> Path:
        """The one self-contained page."""
        return self.path / "report.html"

    @property
    def checklists(self) -> Path:
        """Model card and reporting checklists, as Markdown."""
        return self.path / "report"

    def get_source_fold(self, sources: Sequence[str], *, seed: int) -> Path:
        """Get the folder of the training with a seed and without some sources, in any order."""
        name = "+".join(sorted(sources))
        if not re.fullmatch(r"\w[\w+.-]{0,79}", name):
            readable = re.sub(r"[^\w+.-]+", "-", name)[:60]
            name = f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        return self.path / "leave-sources-out" / name / f"seed-{seed}"

    def read_dataset_path(self) -> Path:
        """Read where the dataset of this run lies.

        Raises:
            RunFolderError: The mark is not readable, or the dataset is gone.
        """
        try:
            dataset = (self.path / _read_mark(self.mark)).resolve()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"'{self.mark}' is damaged, so it is not known which dataset the run is of. Train "
                "again into this folder with --force, which writes it anew."
            ) from error
        if not dataset.is_dir():
            raise RunFolderError(
                f"The dataset of the run '{self.path}' is missing: '{dataset}'. "
                "Restore it, or prepare and train again."
            )
        return dataset


def _read_mark(path: Path) -> str:
    """Read where the dataset lies from a mark that is whole: anything else in it is damage."""
    mark = read_json(path)
    if {**mark, "dataset": ""} != {"format": _FORMAT, "dataset": ""}:
        raise ValueError("the mark has another content than it was written with")
    return str(mark["dataset"])


def claim_run_folder(path: Path, *, dataset: Path, force: bool = False) -> RunFolder:
    """Take a folder for a new run.

    Args:
        path: The folder; made if it is not there.
        dataset: The prepared dataset, written down relative to the folder.
        force: Go on in a folder that already holds a run.

    Raises:
        RunFolderError: The folder holds a run already, or is a file.
        StorageError: The folder cannot be written.
    """
    folder = RunFolder(path)
    _refuse_file(path)
    if folder.train.exists() and not force:
        raise RunFolderError(
            f"'{path}' already holds a run. Give another --out, continue it with --resume, "
            "or overwrite it with --force."
        )
    with explain_storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    relative = os.path.relpath(dataset.resolve(), path.resolve())
    write_json(folder.mark, {"format": _FORMAT, "dataset": Path(relative).as_posix()})
    return folder


def open_run_folder(path: Path) -> RunFolder:
    """Open the folder of a run that `train` or `run` began.

    Raises:
        RunFolderError: There is no run; says how to get one.
    """
    folder = RunFolder(path)
    if not folder.mark.is_file():
        raise RunFolderError(
            f"'{path}' is not a run: it has no {_MARK}. "
            "Make one with 'cxresnet run SOURCE --out DIR' or 'cxresnet train DATASET --out DIR'."
        )
    return folder


def is_numbered_process() -> bool:
    """Say whether a launcher started this process as another than the first of several.

    Lightning, torchrun and SLURM start one command several times and number the processes; where
    Lightning starts them, the user numbers the machines.
    """
    return any(os.environ.get(name, "0") != "0" for name in _RANKS)


# One stage at a time: two that write into one folder would mix their files.


@contextlib.contextmanager
def hold_run_folder(path: Path) -> Iterator[None]:
    """Keep other processes from writing into the folder of a run; a stage may call another.

    Training on several devices starts the same command again as its helpers: they need no lock,
    because the first process holds it for them.

    Raises:
        RunFolderError: Another process is writing there, or the path is a file.
        StorageError: The folder cannot be written.
    """
    _refuse_file(path)
    if is_numbered_process():
        yield
        return
    with locked(path / _LOCK, what=f"the run '{path}'") as is_first:
        if is_first:
            remove_unfinished(path)
        yield


def holding_run_folder(
    stage: Callable[Concatenate[RunFolder, Options], Result],
) -> Callable[Concatenate[RunFolder, Options], Result]:
    """Let a stage hold the run folder, its first argument, while it works."""

    @functools.wraps(stage)
    def hold(run: RunFolder, /, *args: Options.args, **kwargs: Options.kwargs) -> Result:
        with hold_run_folder(run.path):
            return stage(run, *args, **kwargs)

    return hold


def _refuse_file(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"'{path}' is a file. Give a folder with --out.")
