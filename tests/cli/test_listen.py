"""`cxresnet listen`: what is said before it starts, and how it ends."""

from __future__ import annotations

import gc
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cxresnet.cli.app import run_command_line

for name in ("pydicom", "highdicom", "pynetdicom"):
    pytest.importorskip(name, reason="the extra 'listen' is not installed")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Nothing listens; how it would is noted."""
    found: list[Any] = []
    monkeypatch.setattr("cxresnet.cli.listen._listen", lambda *given: found.append(given))
    return found


def read(text: str) -> str:
    """Undo the folding of lines."""
    return " ".join(text.split())


@pytest.mark.slow
def test_each_option_reaches_the_node(
    started: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", str(tmp_path), "--port", "0", "--aet", "LUNGS", "--allow", "CT1,MODALITY"]
    words += ["--send-to", "PACS@127.0.0.1:4242", "--no-gate", "--any-body-part"]
    assert run_command_line(["listen", *words, "--decode-seconds", "7"]) == 0
    ((model, settings),) = started
    assert (settings.out, settings.host, settings.port) == (tmp_path, "127.0.0.1", 0)
    assert (settings.aet, settings.allowed) == ("LUNGS", ("CT1", "MODALITY"))
    assert (settings.send_to.aet, settings.send_to.port) == ("PACS", 4242)
    assert not model.gate
    assert model.predictor.any_body_part
    assert model.predictor.limits.seconds == 7
    assert "Other machines" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Missing option '--out'"),
        (
            ["--out", "x", "--port", "70000"],
            "'--port': Input should be less than or equal to 65535",
        ),
        (["--out", "x", "--port", "many"], "'--port': Input should be a valid integer"),
        (["--out", "x", "--aet", "A" * 17], "is no AE title"),
        (["--out", "x", "--allow", "CT1,"], "'' is no AE title"),
        (["--out", "x", "--send-to", "PACS"], "'PACS' is not of the form AET@HOST:PORT"),
        (["--out", "x", "--run", "nowhere"], "nowhere"),
    ],
)
def test_a_wrong_option_is_told_before_anything_is_loaded(
    started: list[Any], words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["listen", *words]) == 2
    assert sentence in read(capsys.readouterr().err)
    assert started == []


@pytest.mark.slow
def test_it_warns_when_others_can_reach_it(
    started: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everywhere = "0.0.0.0"  # noqa: S104  nothing listens
    assert run_command_line(["listen", "--out", str(tmp_path), "--host", everywhere]) == 0
    said = read(capsys.readouterr().err)
    assert "Other machines can reach this node" in said
    assert "An AE title is no password" in said


def test_a_missing_extra_is_named_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, started: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run_command_line(["listen", "--out", "x"]) == 2
    assert read(capsys.readouterr().err) == (
        "cxresnet: 'cxresnet listen' needs an extra: pip install \"cxresnet[listen]\""
    )
    assert started == []


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
def test_a_port_in_use_and_an_address_of_another_machine_are_refused(
    host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = ["--out", str(tmp_path), "--host", host, "--port", port]
        assert run_command_line(["listen", *words]) == 2
    said = read(capsys.readouterr().err)
    assert f"The node cannot listen on {host}, port {port}" in said
    assert "Choose another with --host or --port." in said


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_a_sentence(kind: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cxresnet", "listen", "--out", "reports", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--send-to", "PACS@127.0.0.1:1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        first = process.stdout.readline()
        assert re.fullmatch(r"CXRESNET listens on 127\.0\.0\.1:\d+ \(Ctrl-C stops\)\n", first)
        process.send_signal(kind)
        said, warned = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert said.splitlines() == [
        "Finishing what was taken (Ctrl-C drops it)",
        "CXRESNET has stopped",
    ]
    assert "Images not sent" not in warned
    assert "Traceback" not in warned


@pytest.mark.slow
# pynetdicom leaves the socket of a refused connection to the garbage collection.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket")
def test_what_was_not_sent_is_named_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting = tmp_path / "unsent" / "a"
    waiting.parent.mkdir()
    waiting.touch()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "report.dcm").touch()
    at_once = SimpleNamespace(Event=lambda: SimpleNamespace(set=None, wait=lambda: None))
    monkeypatch.setattr("cxresnet.cli.listen.threading", at_once)
    words = ["--out", str(tmp_path), "--port", "0", "--send-to", "PACS@127.0.0.1:1"]
    assert run_command_line(["listen", *words]) == 0
    gc.collect()
    shown = capsys.readouterr()
    assert "CXRESNET has stopped" in shown.out
    assert f"Images not sent to PACS: 1. Their objects are in '{tmp_path}'" in read(shown.err)
    assert waiting.is_file()
