"""Several machines train one network, as the how-to page says; both are this one here."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cxresnet.api import stages
from cxresnet.core.config import TrainConfig
from cxresnet.core.config.train import is_training_helper
from cxresnet.core.errors import ConfigError
from cxresnet.data.phantoms.plan import parse_phantom_settings
from cxresnet.data.sources.phantom import write_phantom_folder

NETWORK = (
    "train.num_nodes=2", "train.devices=1", "train.accelerator=cpu", "train.epochs=2",
    "train.batch_size=4", "model.stem_width=4", "model.widths=[4, 8]", "model.depths=[1, 1]",
)  # fmt: skip


# Who is a helper, and what it leaves alone.


@pytest.mark.parametrize(
    ("train", "variables", "is_helper"),
    [
        ({"devices": 2}, {}, False),
        ({"devices": 2}, {"RANK": "0", "LOCAL_RANK": "0"}, False),
        ({"devices": 2}, {"LOCAL_RANK": "1"}, True),
        ({"devices": "auto"}, {"LOCAL_RANK": "1"}, True),
        ({"num_nodes": 2}, {"NODE_RANK": "1"}, True),
        ({"num_nodes": 2}, {"RANK": "1", "LOCAL_RANK": "0"}, True),
        ({"num_nodes": 2}, {"SLURM_PROCID": "3"}, True),
        # A cluster runs trainings side by side and numbers them: each is the first of its own.
        ({}, {"SLURM_PROCID": "3"}, False),
    ],
)
def test_a_helper_is_told_by_its_number_where_several_train(
    train: dict[str, object],
    variables: dict[str, str],
    is_helper: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_training_helper(TrainConfig.model_validate(train)) is is_helper


def test_a_helper_writes_nothing_into_the_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: object, **__: object) -> str:
        raise SystemExit(0)  # as `run_train` does in a helper

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(stages, "open_dataset", lambda path: SimpleNamespace(path=Path(path)))
    monkeypatch.setattr(stages, "_train", end)
    with pytest.raises(SystemExit):
        stages.train(tmp_path, out=tmp_path / "run", devices=2)
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_on_several_devices_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "open_dataset", lambda path: SimpleNamespace(path=Path(path)))
    with pytest.raises(ConfigError, match=r"on one device.*--set train\.learning_rate=RATE"):
        stages.train(tmp_path, out=tmp_path / "run", find_learning_rate=True, num_nodes=2)


# The commands of the page.


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, few_trees: None) -> Path:
    root = tmp_path_factory.mktemp("machines")
    write_phantom_folder(parse_phantom_settings("images_per_class=12,side_px=48"), root / "images")
    stages.prepare(root / "images", out=root / "dataset", side_px=32, common_side_px=48, workers=1)
    return root / "dataset"


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _list_commands(launcher: str, words: list[str]) -> list[tuple[list[str], dict[str, str]]]:
    """List command and environment of each machine."""
    port = str(_find_free_port())
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    if launcher == "by hand":
        start = [sys.executable, "-m", "cxresnet", *words]
        return [(start, {**address, "NODE_RANK": str(number)}) for number in range(2)]
    start = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    where = ["--master-addr=127.0.0.1", f"--master-port={port}", "-m", "cxresnet", *words]
    return [([*start, f"--node-rank={number}", *where], {}) for number in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["by hand", "torchrun"])
def test_two_machines_write_one_run(dataset: Path, tmp_path: Path, launcher: str) -> None:
    out = tmp_path / "run"
    settings = [word for setting in NETWORK for word in ("--set", setting)]
    words = ["train", str(dataset), "--out", str(out), *settings]
    machines = [
        subprocess.Popen(
            command,
            env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command, variables in _list_commands(launcher, words)
    ]
    said = [machine.communicate(timeout=240)[0] for machine in machines]

    assert [machine.returncode for machine in machines] == [0, 0], said
    assert "Trained 2 epochs" in said[0]
    assert "Trained 2 epochs" not in said[1]
    environment = json.loads((out / "train" / "environment.json").read_text())
    assert environment["processes"] == 2
    assert len((out / "train" / "history.csv").read_text().splitlines()) == 3
    assert len(list((out / "train" / "tensorboard").glob("events.*"))) <= 1
    assert sorted(path.name for path in out.iterdir()) == ["run.json", "train"]
    assert (out / "train" / "checksums.json").is_file()
