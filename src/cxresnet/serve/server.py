"""Runs the application until it is told to stop, and then to the end of what is under way."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn

from cxresnet.api.classifier import Model
from cxresnet.core.errors import ConfigError
from cxresnet.serve.app import build_app
from cxresnet.serve.connections import allow_open_files, build_connection_class
from cxresnet.serve.settings import ServeSettings

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
