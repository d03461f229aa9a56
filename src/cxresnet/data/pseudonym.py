"""Pseudonyms: the same person is the same word everywhere, and only the key leads back.

A plain hash of a hospital number is undone by hashing all numbers; a keyed one is not. The key
belongs to the user and not to a data set, so that a patient with films in two folders is known as
one. It never leaves the machine: no data set, run or report holds it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cxresnet.core.errors import ConfigError
from cxresnet.core.files import explain_storage_errors

__all__ = ["KEY_FILE_VARIABLE", "load_key", "pseudonymise"]

KEY_FILE_VARIABLE = "CXRESNET_KEY_FILE"
"""Environment variable: where the key is, if not in the user's own configuration folder."""

_KEY_BYTES = 32
_SHORTEST_KEY_BYTES = 16
_PSEUDONYM_DIGITS = 16


def pseudonymise(value: str, *, key: bytes) -> str:
    """Replace an identifier by a word that only the key's holder can compute.

    Args:
        value: For example a patient's number. Say before it what it is ("patient:123"), so that
            equal numbers of different things get different words.
        key: At least 16 secret bytes, as of `load_key`.

    Returns:
        16 hexadecimal digits of HMAC-SHA256; two of a million values are alike with a chance of
        one in 36 million.

    Raises:
        ConfigError: The key is too short to be secret.

    >>> pseudonymise("patient:1", key=bytes(32)) == pseudonymise("patient:1", key=bytes(32))
    True
    """
    if len(key) < _SHORTEST_KEY_BYTES:
        raise ConfigError(
            f"The key for pseudonyms has {len(key)} bytes; it needs at least "
            f"{_SHORTEST_KEY_BYTES}. Remove its file to get a new one."
        )
    message = value.encode("utf-8", "surrogateescape")
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:_PSEUDONYM_DIGITS]


def load_key() -> bytes:
    """Read the user's key, or make one at the first use, readable by its owner alone.

    It lies in the file that `$CXRESNET_KEY_FILE` names, else in `cxresnet/pseudonym.key` of the
    user's configuration folder.

    Raises:
        StorageError: The key can be neither read nor written.
    """
    path = _find_key_path()
    with explain_storage_errors(path):
        if not path.exists():
            _create_key(path)
        return path.read_bytes()


def _find_key_path() -> Path:
    named = os.environ.get(KEY_FILE_VARIABLE)
    if named:
        return Path(named).expanduser()
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "cxresnet" / "pseudonym.key"


def _create_key(path: Path) -> None:
    """Write a new key beside its place and link it there; of two at once, the first wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600, exist_ok=False)
    try:
        draft.write_bytes(secrets.token_bytes(_KEY_BYTES))
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
