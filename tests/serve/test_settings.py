"""Where the server listens, under which names, and where its token comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet.core.errors import ConfigError
from cxresnet.serve.settings import TOKEN_VARIABLE, ServeSettings, read_token

SECRET = "0123456789abcdef"  # noqa: S105  only of these tests
EVERYWHERE = "0.0.0.0"  # noqa: S104  nothing listens


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        (EVERYWHERE, False),
        ("::", False),
        ("192.168.1.2", False),
        ("example.org", False),
    ],
)
def test_loopback_is_told_from_what_others_reach(host: str, *, expected: bool) -> None:
    assert ServeSettings(host=host).is_loopback is expected


@pytest.mark.parametrize(
    ("settings", "header", "expected"),
    [
        (ServeSettings(), "127.0.0.1:8000", True),
        (ServeSettings(), "LOCALHOST:1", True),
        (ServeSettings(), "[::1]:8000", True),
        (ServeSettings(), "evil.example", False),
        (ServeSettings(), "localhost.evil.example:8000", False),
        (ServeSettings(), "", False),
        (ServeSettings(allowed_hosts=("X.example",)), "x.example", True),
        (ServeSettings(host=EVERYWHERE), "anything", True),
        (ServeSettings(host=EVERYWHERE, allowed_hosts=("x.example",)), "anything", False),
    ],
)
def test_only_names_of_the_server_are_answered(
    settings: ServeSettings, header: str, *, expected: bool
) -> None:
    assert settings.accepts_host(header) is expected


def test_the_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert read_token(None) == ""
    monkeypatch.setenv(TOKEN_VARIABLE, "fedcba9876543210")
    assert read_token(None) == "fedcba9876543210"
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n")
    assert read_token(path) == SECRET
    assert SECRET not in repr(ServeSettings(token=read_token(path)))


@pytest.mark.parametrize(
    "content", ["", "short", "with a\nline break and more", "fünfzehn-zeichen-ü"]
)
def test_a_token_that_is_no_secret_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="at least 16"):
        read_token(path)


def test_a_token_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_token(tmp_path / "nowhere")
