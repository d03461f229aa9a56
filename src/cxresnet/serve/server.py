"""Runs the application until it is told to stop, and then to the end of what is under way.

Connections cost little: their number is limited, and the time that a head may take. uvicorn waits
for ever for the head of a request; whoever opens many connections and says nothing would hold them
all (slow loris).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from cxresnet.api.classifier import Model
from cxresnet.core.errors import ConfigError
from cxresnet.serve.app import build_app
from cxresnet.serve.settings import ServeSettings

_NEEDED_FILES = 200
"""Beside the connections: libraries, pipes, the log."""

_MAX_HEAD_BYTES = 32 * 1024
_KEEP_ALIVE_SECONDS = 15
_BACKLOG = 1024
_QUIET = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "asyncio")


class Server(uvicorn.Server):
    """Ends in peace at SIGTERM and Ctrl-C: uvicorn's own would then raise the signal again."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take signals, and give the handlers back; see uvicorn."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        kinds = (signal.SIGINT, signal.SIGTERM)
        before = {kind: signal.signal(kind, self.handle_exit) for kind in kinds}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


def build_server(model: Model, settings: ServeSettings) -> Server:
    """Build the server, which listens when it is run.

    Args:
        model: The network.
        settings: Where it listens, and the limits.
    """
    _silence_libraries()
    connections = allow_open_files(settings.max_connections)
    config = uvicorn.Config(
        build_app(model, settings),
        http=build_connection_class(
            header_seconds=settings.header_seconds, max_connections=connections
        ),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=round(settings.stop_seconds),
    )
    return Server(config)


def run_server(model: Model, settings: ServeSettings, *, on_start: Callable[[str], None]) -> None:
    """Serve a network until SIGTERM or Ctrl-C.

    Args:
        model: The network.
        settings: Where it listens, and the limits.
        on_start: Is told the address of the page, which can be opened from then on.

    Raises:
        ConfigError: The address is not one of this machine, or somebody else listens there.
    """
    listener = open_listener(settings)
    try:
        server = build_server(model, settings)
        on_start(build_url(listener))
        server.run(sockets=[listener])
    finally:
        listener.close()


def open_listener(settings: ServeSettings) -> socket.socket:
    """Open the socket that the server listens on.

    Raises:
        ConfigError: As of `run_server`.
    """
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _explain_address(settings, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)  # who comes before the server has started waits
    except OSError as error:
        listener.close()
        raise _explain_address(settings, error) from error
    return listener


def build_url(listener: socket.socket) -> str:
    """Build the address of the page from a socket that is bound."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _explain_address(settings: ServeSettings, error: OSError) -> ConfigError:
    return ConfigError(
        f"The server cannot listen on {settings.host}, port {settings.port} "
        f"({error.strerror or error}). Choose another with --host or --port; 0 takes any port that "
        "is free."
    )


def _silence_libraries() -> None:
    """Keep out of the log what libraries would write of requests, at any level."""
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # At DEBUG it writes the text of an error, which may quote what names a person.
    logging.getLogger("cxresnet.core.errors").setLevel(logging.INFO)


class BoundedConnection(H11Protocol):
    """A connection that is closed when no whole head arrives in time, or there are too many.

    Attributes:
        header_seconds: For the head of each request.
        max_connections: Open at once; further ones are closed unheard.
    """

    header_seconds: ClassVar[float] = 10.0
    max_connections: ClassVar[int] = 2000
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head; see `asyncio.Protocol`."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.abort()
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the wait; see `asyncio.Protocol`."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; see `asyncio.Protocol`."""
        super().data_received(data)
        if self._is_answering:
            self._stop_waiting()
        elif self._deadline is None and not self.transport.is_closing():
            self._wait_for_head()

    def on_response_complete(self) -> None:
        """Wait for the next request; see uvicorn."""
        super().on_response_complete()
        if not self.transport.is_closing() and self._is_answering:
            self._stop_waiting()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_head(self) -> None:
        self._deadline = self.loop.call_later(self.header_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self._is_answering and not self.transport.is_closing():
            self.transport.abort()


def build_connection_class(*, header_seconds: float, max_connections: int) -> type[Any]:
    """Build the class of connections with these limits, as uvicorn wants it."""
    limits = {"header_seconds": header_seconds, "max_connections": max_connections}
    return type("LimitedConnection", (BoundedConnection,), limits)


def allow_open_files(connections: int) -> int:
    """Let this process open as many files as connections need, where the system permits it.

    Returns:
        How many connections there is room for.
    """
    if sys.platform == "win32":
        return connections
    import resource  # noqa: PLC0415  not there on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _NEEDED_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (ValueError, OSError):
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = max(soft - _NEEDED_FILES, soft // 2)
    if room < connections:
        logging.getLogger(__name__).warning(
            "The system lets this process open %d files, enough for %d connections.", soft, room
        )
    return min(room, connections)
