"""Pseudonyms: the same for the same, useless without the key, and a key that nobody else reads."""

from __future__ import annotations

import hashlib
import hmac
import stat
from pathlib import Path

import pytest

from cxresnet.core.errors import ConfigError, StorageError
from cxresnet.data.pseudonym import load_key, pseudonymise

KEY = bytes(range(32))


def test_a_pseudonym_is_the_start_of_the_keyed_hash() -> None:
    expected = hmac.new(KEY, b"patient:4711", hashlib.sha256).hexdigest()[:16]
    assert pseudonymise("patient:4711", key=KEY) == expected


def test_another_value_or_another_key_gives_another_pseudonym() -> None:
    ours = pseudonymise("patient:4711", key=KEY)
    assert pseudonymise("patient:4712", key=KEY) != ours
    assert pseudonymise("patient:4711", key=bytes(32)) != ours


def test_a_name_that_is_no_utf8_has_a_pseudonym() -> None:
    assert len(pseudonymise("image:caf\udce9", key=KEY)) == 16


def test_a_key_that_is_no_secret_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 16"):
        pseudonymise("patient:4711", key=b"short")


def test_the_key_is_made_once_and_read_by_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXRESNET_KEY_FILE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    key = load_key()
    folder = tmp_path / "cxresnet"
    assert len(key) == 32
    assert load_key() == key
    assert [path.name for path in folder.iterdir()] == ["pseudonym.key"]
    assert stat.S_IMODE((folder / "pseudonym.key").stat().st_mode) == 0o600


def test_the_key_file_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXRESNET_KEY_FILE", str(tmp_path / "key"))
    (tmp_path / "key").write_bytes(KEY)
    assert load_key() == KEY


def test_of_two_that_make_a_key_at_once_the_first_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one writes its key between our look and our own writing."""
    path = tmp_path / "key"
    monkeypatch.setenv("CXRESNET_KEY_FILE", str(path))

    def be_late(_: Path, count: int = 0) -> bool:
        path.write_bytes(KEY)
        return False

    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", be_late)
        assert load_key() == KEY
    assert [found.name for found in tmp_path.iterdir()] == ["key"]


def test_a_place_where_no_key_can_be_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("CXRESNET_KEY_FILE", str(tmp_path / "file" / "key"))
    with pytest.raises(StorageError, match="key"):
        load_key()
