"""Connections that cost little: a limit on their number, and on the time that a head may take.

uvicorn waits for ever for the head of a request; whoever opens many connections and says nothing
would hold them all (slow loris).
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

_NEEDED_FILES = 200
"""Beside the connections: libraries, pipes, the log."""


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
