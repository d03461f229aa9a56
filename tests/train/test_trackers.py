"""Loggers by name: which one, what they are given, and what happens where they fail."""

from __future__ import annotations

import getpass
import importlib.util
import json
import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from cxresnet.cli.app import run_command_line
from cxresnet.core.config import Config, SourceConfig, TrainConfig
from cxresnet.core.config import train as config_module
from cxresnet.core.errors import ConfigError
from cxresnet.core.run_folder import RunFolder
from cxresnet.train import trackers
from cxresnet.train.fit import run_train
from cxresnet.train.inputs import gather_training_inputs
from cxresnet.train.module import TrainingModule
from cxresnet.train.trackers import build_loggers, describe_hyperparameters, log_epochs

BuildConfig = Callable[..., Config]


class Notebook(Logger):
    """A tracker in memory, which fails where it is told to."""

    name = version = "notebook"

    def __init__(self, *, fails: str = "") -> None:
        super().__init__()
        self.fails = fails
        self.said: list[tuple[str, Any]] = []

    def _note(self, what: str, value: object) -> None:
        self.said.append((what, value))
        if what == self.fails:
            raise ConnectionError("no answer from tracker.example\n\nfor 30 s")

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        self._note("begin", params)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self._note("metrics", (step, metrics))

    def finalize(self, status: str) -> None:
        self._note("end", status)

    def list_steps(self) -> list[int]:
        return [value[0] for what, value in self.said if what == "metrics"]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    """Is built whatever the name."""
    one = Notebook()
    monkeypatch.setattr(trackers, "build_loggers", lambda *_, **__: [one])
    return one


# Which logger.


@pytest.mark.parametrize("name", ["auto", "tensorboard"])
def test_tensorboard_writes_into_the_run(tmp_path: Path, name: str) -> None:
    (logger,) = build_loggers(TrainConfig.model_validate({"logger": name}), folder=tmp_path)
    assert isinstance(logger, TensorBoardLogger)
    assert Path(logger.log_dir) == tmp_path / "tensorboard"


def test_csv_is_the_history_alone(tmp_path: Path) -> None:
    assert build_loggers(TrainConfig(logger="csv"), folder=tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_auto_does_without_tensorboard_and_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with caplog.at_level(logging.INFO, "cxresnet"):
        assert build_loggers(TrainConfig(logger="auto"), folder=tmp_path) == []
    assert 'pip install "cxresnet[track]"' in caplog.text


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The options that MLflow's and wandb's loggers are built with; neither has to be there."""
    options: dict[str, dict[str, Any]] = {}
    for name in ("MLFlowLogger", "WandbLogger"):
        monkeypatch.setattr(
            trackers, name, lambda name=name, **given: options.setdefault(name, given)
        )
    for name in ("MLFLOW_EXPERIMENT_NAME", "WANDB_PROJECT", *trackers._SILENCED):
        monkeypatch.setenv(name, "")  # so that what is set meanwhile is undone
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    return options


def test_mlflow_writes_where_the_environment_says(
    built: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    build_loggers(TrainConfig(logger="mlflow"), folder=tmp_path)
    options = built["MLFlowLogger"]
    assert options["tracking_uri"] == "http://127.0.0.1:5000"
    assert options["experiment_name"] == "cxresnet"
    assert options["tags"]["mlflow.source.name"] == "cxresnet"  # not the path of the program
    assert options["tags"]["mlflow.user"] == ""
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_wandb_keeps_program_machine_and_output_to_itself(
    built: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "ours")
    build_loggers(TrainConfig(logger="wandb"), folder=tmp_path / "train")
    options = built["WandbLogger"]
    assert options["project"] == "ours"
    assert options["save_dir"] == tmp_path / "train"
    assert options["settings"]["console"] == "off"
    assert options["settings"]["disable_git"] is True
    assert options["settings"]["x_disable_meta"] is True
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"


def test_what_the_user_chose_of_telemetry_stays(
    built: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    build_loggers(TrainConfig(logger="mlflow"), folder=tmp_path)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "false"


def test_a_helper_process_has_no_tracker(
    built: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert build_loggers(TrainConfig(logger="mlflow", devices=2), folder=tmp_path) == []
    assert built == {}


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
@pytest.mark.parametrize("command", [("train", "DATASET"), ("run", "phantoms")])
def test_a_missing_package_is_told_before_anything_is_read_or_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: tuple[str, str],
    name: str,
) -> None:
    monkeypatch.setattr(config_module.importlib.util, "find_spec", lambda name: None)
    out = tmp_path / "run"
    words = [*command, "--out", str(out), "--set", f"train.logger={name}"]
    assert run_command_line(words) == 2
    extra = {"tensorboard": "track"}.get(name, name)
    expected = f'train.logger={name} needs an extra: pip install "cxresnet[{extra}]"'
    assert expected in " ".join(capfd.readouterr().err.split())
    assert not out.exists()


def test_mlflow_has_to_be_told_where_to_write(
    monkeypatch: pytest.MonkeyPatch, tiny_config: BuildConfig
) -> None:
    monkeypatch.setattr(config_module.importlib.util, "find_spec", lambda name: object())
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError, match=r"MLFLOW_TRACKING_URI.*sqlite:///mlflow\.db"):
        config_module.require_logger(tiny_config(logger="mlflow").train)


# What it is given.


@pytest.mark.slow
def test_a_tracker_gets_choices_and_the_row_of_each_epoch(
    squares: Any, tiny_config: BuildConfig, run: RunFolder, notebook: Notebook, read_history: Any
) -> None:
    run_train(squares, config=tiny_config(seed=5), run=run)

    kinds = [what for what, _ in notebook.said]
    assert kinds[:4] == ["begin", "metrics", "metrics", "metrics"]
    assert set(kinds[4:]) == {"end"}
    assert notebook.said[-1] == ("end", "success")
    begin = notebook.said[0][1]
    assert begin["train"]["seed"] == 5
    assert (begin["train_images"], begin["val_images"], begin["classes"]) == (48, 24, 2)
    step, row = notebook.said[3][1]
    last = read_history(run)[-1]
    assert step == row["epoch"] == int(last["epoch"]) == 3
    assert row["val_loss"] == pytest.approx(float(last["val_loss"]), rel=1e-4)


def test_nothing_that_names_a_person_a_source_or_a_place_is_given(
    squares: Any, tiny_config: BuildConfig
) -> None:
    source = SourceConfig(labels="canary.csv", columns={"path": "canary"})
    config = tiny_config().model_copy(update={"source": source})
    text = json.dumps(describe_hyperparameters(gather_training_inputs(squares), config=config))
    words = {word.casefold() for word in text.replace('"', " ").replace("/", " ").split()}
    assert "canary" not in text
    for column in ("patient_id", "source", "class_name", "image_id"):
        assert not words & {str(one).casefold() for one in squares.manifest[column]}, column
    # Of text there are only choices among names of ours and of Lightning.
    texts = {
        name
        for section in (config.model, config.train)
        for name, value in section.model_dump(mode="json").items()
        if isinstance(value, str)
    }
    assert not [name for name in texts if "path" in name or "folder" in name or "name" in name]


def test_numbers_that_are_not_finite_are_left_out() -> None:
    one = Notebook()
    log_epochs([one], [{"epoch": 2, "val_loss": 0.5, "val_macro_auroc": float("nan")}])
    assert one.said == [("metrics", (2, {"epoch": 2, "val_loss": 0.5}))]


@pytest.mark.slow
def test_a_resumed_training_gives_its_new_run_the_rows_from_before(
    squares: Any, tiny_config: BuildConfig, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = [Notebook(), Notebook()]
    monkeypatch.setattr(
        trackers, "build_loggers", lambda config, **_: [books[config.logger == "mlflow"]]
    )
    monkeypatch.setattr("cxresnet.train.fit.require_logger", lambda config: None)
    original, steps = TrainingModule.training_step, iter(range(99))

    def stop_in_the_second_epoch(module: TrainingModule, *batch: Any) -> Any:
        if next(steps) == 8:  # six make an epoch
            os.kill(os.getpid(), signal.SIGTERM)
        return original(module, *batch)

    monkeypatch.setattr(TrainingModule, "training_step", stop_in_the_second_epoch)
    with pytest.raises(SystemExit):
        run_train(squares, config=tiny_config(logger="wandb"), run=run)
    # The weights do not depend on the logger: another one may follow the rest.
    run_train(squares, config=tiny_config(logger="mlflow"), run=run, resume=True)

    assert books[0].list_steps() == [1]
    assert books[0].said[-1] == ("end", "failed")
    assert books[1].list_steps() == [1, 2, 3]
    assert books[1].said[-1] == ("end", "success")


# Where it fails.


def test_a_tracker_that_cannot_begin_costs_nothing_that_is_there(
    squares: Any, tiny_config: BuildConfig, run: RunFolder, notebook: Notebook
) -> None:
    run.checkpoint.mkdir(parents=True)
    (run.checkpoint / "weights").write_text("of an earlier training")
    notebook.fails = "begin"
    with pytest.raises(
        ConfigError,
        match=r"cannot begin: ConnectionError: no answer from tracker\.example for 30 s\. .*csv",
    ):
        run_train(squares, config=tiny_config(), run=run)
    assert (run.checkpoint / "weights").read_text() == "of an earlier training"


@pytest.mark.slow
def test_a_tracker_that_fails_later_does_not_end_the_training(
    squares: Any,
    tiny_config: BuildConfig,
    run: RunFolder,
    notebook: Notebook,
    caplog: pytest.LogCaptureFixture,
) -> None:
    notebook.fails = "metrics"
    assert run_train(squares, config=tiny_config(epochs=2), run=run).epochs == 2
    assert caplog.text.count("The tracker failed; history.csv has everything. Connection") == 2


def test_tensorboard_on_a_full_disk_ends_the_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (logger,) = build_loggers(TrainConfig(logger="tensorboard"), folder=tmp_path)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(logger, "log_metrics", fail)
    with pytest.raises(OSError, match="No space left"):
        log_epochs([logger], [{"epoch": 1}])


# The real ones, without the network.


def _list_secrets(run: RunFolder) -> list[bytes]:
    """Name what must not be in what a tracker sends: person, machine, place, images."""
    words = [getpass.getuser(), socket.gethostname(), str(run.path), str(Path.cwd())]
    return [word.encode() for word in [*words, "patient-0", "image-0"] if len(word) > 3]


@pytest.mark.slow
def test_mlflow_keeps_a_training_without_the_network(
    squares: Any,
    tiny_config: BuildConfig,
    run: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    read_history: Any,
) -> None:
    pytest.importorskip("mlflow", reason='MLflow is not here: pip install "cxresnet[mlflow]"')
    from mlflow.tracking import MlflowClient

    store = tmp_path / "store"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")

    run_train(squares, config=tiny_config(logger="mlflow"), run=run)

    client = MlflowClient(store.as_uri())
    experiment = client.get_experiment_by_name("cxresnet")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["train/epochs"] == "3"
    losses = client.get_metric_history(found.info.run_id, "val_loss")
    rows = read_history(run)
    assert [one.step for one in losses] == [1, 2, 3]
    assert [one.value for one in losses] == pytest.approx(
        [float(row["val_loss"]) for row in rows], rel=1e-4
    )
    sent = [
        path for part in ("params", "metrics", "tags") for path in store.glob(f"*/*/{part}/**/*")
    ]
    assert sent
    for path in sent:
        content = path.read_bytes() if path.is_file() else b""
        assert not [word for word in _list_secrets(run) if word in content], path
    assert not list(run.train.glob("ml*"))


@pytest.mark.slow
def test_wandb_keeps_a_training_without_the_network_and_names_nobody(
    squares: Any, tiny_config: BuildConfig, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason='wandb is not here: pip install "cxresnet[wandb]"')
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")

    run_train(squares, config=tiny_config(logger="wandb"), run=run)

    (record,) = run.train.glob("wandb/offline-run-*/*.wandb")
    content = record.read_bytes()
    assert b"val_loss" in content
    assert not [word for word in _list_secrets(run) if word in content]
