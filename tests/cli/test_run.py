"""`cxresnet run`: every step once, in order, each with its own section of the config."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cxresnet.api import stages
from cxresnet.cli import run as run_module
from cxresnet.cli.app import run_command_line
from cxresnet.core.config import EvaluateConfig, ExplainConfig
from cxresnet.core.run_folder import claim_run_folder, hold_run_folder
from cxresnet.data.dataset import dataset as dataset_module

SETTINGS = (
    "--set", "data.side_px=48", "--set", "train.epochs=7",
    "--set", "evaluate.bootstrap_resamples=150", "--set", "explain.images_per_class=3",
)  # fmt: skip


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What was called with which options, in order; nothing is really done."""
    made: list[tuple[str, dict[str, Any]]] = []

    def note(name: str, answer: object = None) -> None:
        def call(*arguments: object, **options: object) -> object:
            made.append((name, {"arguments": arguments, **options}))
            return answer

        monkeypatch.setattr(run_module, name, call)

    note("open_source_from_flags", "the images")
    note("prepare_dataset")
    note("train_network")
    note("evaluate_network", "the evaluation")
    note("explain_network")
    note("describe_headline", "the headline")
    note("write_report")
    monkeypatch.setattr(dataset_module, "open_dataset", lambda path: ("opened", path))
    return made


def _run(out: Path, *words: str) -> None:
    assert run_command_line(["run", "phantoms", "--out", str(out), *SETTINGS, *words]) == 0


def test_every_step_comes_once_with_its_own_settings(
    calls: list[tuple[str, dict[str, Any]]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    _run(out)
    assert [name for name, _ in calls] == [
        "open_source_from_flags",
        "prepare_dataset",
        "train_network",
        "evaluate_network",
        "explain_network",
        "describe_headline",
        "write_report",
    ]
    found = dict(calls)
    assert found["prepare_dataset"]["arguments"] == ("the images",)
    assert found["prepare_dataset"]["config"].side_px == 48
    assert found["prepare_dataset"]["out"] == out / "dataset"
    assert found["train_network"]["arguments"] == (("opened", out / "dataset"),)
    assert found["train_network"]["config"].train.epochs == 7
    assert found["train_network"]["run"].path == out
    assert found["train_network"]["resume"] is False
    assert found["evaluate_network"]["config"] == EvaluateConfig(bootstrap_resamples=150)
    assert found["explain_network"]["config"] == ExplainConfig(images_per_class=3)
    assert found["describe_headline"]["arguments"] == ("the evaluation",)
    for name in ("evaluate_network", "explain_network", "write_report"):
        assert found[name]["arguments"][0].path == out
    assert "the headline" in capsys.readouterr().out


@pytest.mark.parametrize("is_prepared", [False, True])
def test_a_resumed_run_prepares_only_what_is_not_prepared(
    calls: list[tuple[str, dict[str, Any]]], tmp_path: Path, *, is_prepared: bool
) -> None:
    out = tmp_path / "run"
    (out / "train").mkdir(parents=True)
    (out / "dataset").mkdir()
    if is_prepared:
        (out / "dataset" / "dataset.json").write_text("{}")
    _run(out, "--resume")
    names = [name for name, _ in calls]
    assert ("prepare_dataset" in names) == (not is_prepared)
    assert dict(calls)["train_network"]["resume"] is True


@pytest.mark.slow
def test_force_prepares_anew_and_writes_over(
    calls: list[tuple[str, dict[str, Any]]], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    (out / "train").mkdir(parents=True)
    (out / "dataset").mkdir()
    (out / "dataset" / "dataset.json").write_text("{}")
    assert run_command_line(["run", "phantoms", "--out", str(out)]) == 2
    assert "prepare_dataset" not in dict(calls)
    _run(out, "--force")
    assert dict(calls)["prepare_dataset"]["force"] is True


@pytest.fixture
def held_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run that somebody else is writing into."""
    run = claim_run_folder(tmp_path / "run", dataset=tmp_path)
    monkeypatch.setattr(stages, "open_dataset", lambda path: SimpleNamespace(path=Path(path)))
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with hold_run_folder(run.path):
            held.set()
            done.wait(60)

    with ThreadPoolExecutor(1) as other:
        other.submit(hold)
        assert held.wait(60)
        yield run.path
        done.set()


@pytest.mark.parametrize(
    "words",
    [
        ("run", "phantoms", "--force", "--out", "RUN"),
        ("train", "DATASET", "--force", "--out", "RUN"),
        ("evaluate", "RUN"),
        ("evaluate", "RUN", "--leave-sources-out"),
        ("explain", "RUN"),
        ("explain", "RUN", "--test-image", "x"),
        ("report", "RUN"),
    ],
    ids=" ".join,
)
def test_no_command_writes_into_a_run_that_another_one_writes(
    held_run: Path, words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    before = sorted(held_run.iterdir())
    command = [str(held_run) if word == "RUN" else word for word in words]
    assert run_command_line(command) == 2
    shown = " ".join(capfd.readouterr().err.split())
    assert "is writing the run" in shown
    assert "at this moment. Wait until it is done" in shown
    assert sorted(held_run.iterdir()) == before


def test_each_step_is_announced_with_the_time_left(
    calls: list[tuple[str, dict[str, Any]]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter((0.0, 0.0, 150.0, 314.0, 324.0, 566.0))  # twice the usual times
    monkeypatch.setattr(run_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    _run(tmp_path / "run")
    shown = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Step")]
    assert shown == [
        "Step 1 of 5: prepare",
        "Step 2 of 5: train, about 7 minutes left",
        "Step 3 of 5: evaluate, about 5 minutes left",
        "Step 4 of 5: explain, about 5 minutes left",
        "Step 5 of 5: report, about 1 minute left",
    ]


def test_a_step_that_was_kept_is_not_taken_for_a_quick_one(
    calls: list[tuple[str, dict[str, Any]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    (out / "train").mkdir(parents=True)
    (out / "dataset").mkdir()
    (out / "dataset" / "dataset.json").write_text("{}")
    _run(out, "--resume")
    assert "Step 2 of 5: train\n" in capsys.readouterr().err


def test_a_quick_run_checks_the_maps_on_fewer_images_unless_told_otherwise(
    calls: list[tuple[str, dict[str, Any]]], tmp_path: Path
) -> None:
    _run(tmp_path / "run", "--quick", "--set", "explain.zone_mean_images=5")
    config = dict(calls)["explain_network"]["config"]
    assert (config.sanity_check_images, config.zone_mean_images) == (12, 5)


def test_a_quick_run_raises_nothing_that_the_config_has_lower(
    calls: list[tuple[str, dict[str, Any]]], tmp_path: Path
) -> None:
    low = tmp_path / "low.toml"
    low.write_text("[explain]\nsanity_check_images = 6\nzone_mean_images = 0\n")
    _run(tmp_path / "run", "--quick", "--config", str(low))
    config = dict(calls)["explain_network"]["config"]
    assert (config.sanity_check_images, config.zone_mean_images) == (6, 0)


def test_a_helper_that_lightning_starts_prepares_nothing_again(
    calls: list[tuple[str, dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    (out / "train").mkdir(parents=True)
    (out / "dataset").mkdir()
    (out / "dataset" / "dataset.json").write_text("{}")
    monkeypatch.setenv("LOCAL_RANK", "1")
    _run(out, "--set", "train.devices=2")
    assert "prepare_dataset" not in dict(calls)
    assert "train_network" in dict(calls)


def test_several_machines_are_told_to_train_with_the_other_command(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "phantoms", "--out", str(tmp_path / "run"), "--set", "train.num_nodes=2"]
    assert run_command_line(words) == 2
    assert "start 'cxresnet train' on every machine" in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "run").exists()
