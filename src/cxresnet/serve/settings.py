"""How the server listens and what it allows, checked before anything is loaded."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

from cxresnet.core.errors import ConfigError

TOKEN_VARIABLE = "CXRESNET_SERVE_TOKEN"  # noqa: S105  the name of a variable, not a token
"""Environment variable that holds the token; never an option, which every user could list."""

_MIN_TOKEN_LENGTH = 16
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """How the server listens and what it allows.

    Attributes:
        host: Address that it listens on; only this machine can reach the default.
        port: Likewise; 0 for any that is free.
        token: Whoever asks for more than health and metrics has to send it; "" for none.
        allowed_hosts: Names under which the server may be called, beside those of this machine.
        max_body_bytes: Largest request.
        max_bytes_in_flight: All requests together, also those that are only half there.
        max_images: In one request.
        batch_images: That go through the network at once.
        queue_images: That wait; who comes later is told when to come again.
        queue_explanations: Likewise.
        header_seconds: For the head of a request to arrive.
        body_seconds: For the rest of it.
        predict_seconds: For a prediction, waiting included.
        explain_seconds: For an explanation, waiting included.
        stop_seconds: For requests that are under way when the server is stopped.
        max_connections: Open at once.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str = field(default="", repr=False)
    allowed_hosts: tuple[str, ...] = ()
    max_body_bytes: int = 64 * 2**20
    max_bytes_in_flight: int = 256 * 2**20
    max_images: int = 32
    batch_images: int = 16
    queue_images: int = 128
    queue_explanations: int = 8
    header_seconds: float = 10.0
    body_seconds: float = 60.0
    predict_seconds: float = 60.0
    explain_seconds: float = 180.0
    stop_seconds: float = 30.0
    max_connections: int = 2000

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    def accepts_host(self, header: str) -> bool:
        """Say whether a request may name the server so, as of its header `Host`.

        A page of somebody else can let its own name lead to this machine (DNS rebinding); the
        browser then sends that name. Whoever lets others in and names no host accepts any.
        """
        name = split_port(header).casefold()
        if name in _LOOPBACK_NAMES or name == self.host.casefold():
            return True
        if not self.is_loopback and not self.allowed_hosts:
            return True
        return name in {one.casefold() for one in self.allowed_hosts}


def split_port(host: str) -> str:
    """Take the port from a header `Host`, and the brackets from an address of version 6.

    >>> split_port("localhost:8000"), split_port("[::1]:8000"), split_port("::1")
    ('localhost', '::1', '::1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


def read_token(path: Path | None) -> str:
    """Read the token from a file, else from the environment; "" where there is none.

    Raises:
        ConfigError: The file cannot be read, or the token is too short to be a secret.
    """
    if path is None:
        token, where = os.environ.get(TOKEN_VARIABLE, "").strip(), TOKEN_VARIABLE
        if not token:
            return ""
    else:
        where = f"'{path}'"
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The token in {where} cannot be read. Name a text file.") from error
    if len(token) < _MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"The token in {where} needs at least {_MIN_TOKEN_LENGTH} letters, digits or signs. "
            'Make one with: python -c "import secrets; print(secrets.token_urlsafe())"'
        )
    return token


def is_loopback(host: str) -> bool:
    """Say whether an address or name leads to this machine alone.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "pacs")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
