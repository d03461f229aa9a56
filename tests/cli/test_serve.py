"""`cxresnet serve`: what is said before it starts, and how it ends."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxresnet.cli.app import run_command_line

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Nothing listens; what would have been served is noted."""
    found: list[object] = []
    monkeypatch.setattr(
        "cxresnet.serve.server.run_server",
        lambda model, settings, on_start: (found.append(settings), on_start("http://here")),
    )
    return found


@pytest.mark.slow
def test_it_says_where_to_look(started: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["serve", "--port", "0", "--queue", "4"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "Open http://here (Ctrl-C stops)\n"
    assert "Other machines" not in shown.err
    (settings,) = started
    assert (settings.host, settings.queue_images, settings.max_images) == ("127.0.0.1", 4, 4)


@pytest.mark.slow
def test_it_warns_when_others_can_reach_it(
    started: list[object], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    everywhere = "0.0.0.0"  # noqa: S104  nothing listens
    assert run_command_line(["serve", "--host", everywhere]) == 0
    assert "set one with --token-file" in " ".join(capsys.readouterr().err.split())
    secret = tmp_path / "token"
    secret.write_text("0123456789abcdef")
    assert run_command_line(["serve", "--host", everywhere, "--token-file", str(secret)]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "Other machines can reach this server" in said
    assert "0123456789abcdef" not in said
    assert "--token-file" not in said


def test_a_missing_extra_is_named_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run_command_line(["serve"]) == 2
    assert 'pip install "cxresnet[serve]"' in capsys.readouterr().err


@pytest.mark.slow
def test_an_address_of_another_machine_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["serve", "--host", "192.0.2.1"]) == 2
    assert "cannot listen on 192.0.2.1" in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def process(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command in a process of its own, and the port that it says."""
    command = [sys.executable, "-m", "cxresnet", "serve", "--port", "0", "--no-gate"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    try:
        found = re.search(r":(\d+) ", process.stdout.readline())
        assert found is not None
        yield process, int(found[1])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


_BODY = b"x" * 1000
_HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"


def _begin(port: int) -> socket.socket:
    """Send half of a request."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=120)
    head = _HEAD + f"Content-Length: {len(_BODY)}\r\n\r\n".encode()
    connection.sendall(head + _BODY[: len(_BODY) // 2])
    return connection


def _read(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    connection.close()
    return b"".join(parts)


def _count_open(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return int(float(re.search(r"^cxresnet_requests_open (\S+)", text, re.MULTILINE)[1]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_who_was_let_in_is_answered_before_it_stops(
    process: tuple[subprocess.Popen[str], int], kind: signal.Signals
) -> None:
    command, port = process
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]
    asking = [_begin(port) for _ in range(32)]
    while _count_open(port) < len(asking) + 1:
        time.sleep(0.05)
    command.send_signal(kind)
    time.sleep(0.3)
    for one in asking:
        one.sendall(_BODY[len(_BODY) // 2 :])
    for one in asking:
        answer = _read(one)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"is not an image" in answer
    assert command.wait(60) == 0  # those that say nothing do not hold it up
    for one in silent:
        one.close()
