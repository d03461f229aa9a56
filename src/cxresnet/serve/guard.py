"""What stands around every route: who may ask, what is logged, and which headers go out.

A middleware of plain ASGI: it sees the bytes of answers pass and holds none of them.
"""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cxresnet.serve.answers import ErrorAnswer
from cxresnet.serve.errors import RequestError
from cxresnet.serve.metrics import Metrics
from cxresnet.serve.settings import ServeSettings, split_port

_logger = logging.getLogger("cxresnet.serve")

OPEN_ROUTES = frozenset({"/", "/healthz", "/readyz", "/metrics", "/favicon.ico"})
"""Need no token: the page itself holds no secret, and asks for the token it sends."""

STATIC = "/static/"

_EXAMPLES = "/examples/{name}.png"

_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


@dataclass
class _Exchange:
    """One request and its answer.

    Attributes:
        request_id: Drawn at random.
        started: On the clock of `time.monotonic`.
        status: Of the answer; 0 before it begins.
        body_bytes: That arrived so far.
        is_read: Whether the whole body arrived.
    """

    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    started: float = field(default_factory=time.monotonic)
    status: int = 0
    body_bytes: int = 0
    is_read: bool = False


class Guard:
    """Lets through whom it may, adds headers, counts, and writes one line a request."""

    def __init__(
        self, app: ASGIApp, *, settings: ServeSettings, metrics: Metrics, routes: frozenset[str]
    ) -> None:
        """Stand around an application.

        Args:
            app: The application.
            settings: Token and names.
            metrics: Where requests are counted.
            routes: Paths that may stand in metrics and logs.
        """
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; see ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange()
        scope.setdefault("state", {})["request_id"] = exchange.request_id

        async def receive_counted() -> Message:
            message = await receive()
            exchange.body_bytes += len(message.get("body", b""))
            exchange.is_read = not message.get("more_body", False)
            return message

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                self._add_headers(message, exchange, scope)
            await send(message)

        self._metrics.count_open(1)
        try:
            await self._answer(scope, receive_counted, send_guarded, exchange)
        finally:
            self._metrics.count_open(-1)
            self._record(scope, exchange)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, exchange: _Exchange
    ) -> None:
        try:
            self._check(scope)
            await self._app(scope, receive, send)
        except RequestError as error:
            await build_error_response(scope, error)(scope, receive, send)
        except Exception as error:  # its text may quote what names a person
            _log("fault", request_id=exchange.request_id, error=type(error).__name__)
            if exchange.status:
                raise
            fault = RequestError(500, "fault", "This is a bug; please report it.")
            await build_error_response(scope, fault)(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Refuse who may not ask.

        Raises:
            RequestError: 401, 403 or 421.
        """
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if not self._settings.accepts_host(host):
            raise RequestError(
                421,
                "host",
                "The server does not have this name. Start it with --allow-host NAME to use one.",
            )
        origin = headers.get("origin")
        if origin is not None and not _is_same_origin(origin, host):
            raise RequestError(403, "origin", "Pages of other sites may not use this server.")
        if self._settings.token and path not in OPEN_ROUTES and not path.startswith(STATIC):
            sent = headers.get("authorization", "").encode("utf-8", "replace")
            if not hmac.compare_digest(sent, f"Bearer {self._settings.token}".encode()):
                raise RequestError(
                    401, "token", "Send the token in the header Authorization: Bearer TOKEN."
                )

    def _add_headers(self, message: Message, exchange: _Exchange, scope: Scope) -> None:
        headers = MutableHeaders(scope=message)
        for name, value in _HEADERS.items():
            headers[name] = value
        headers["X-Request-ID"] = exchange.request_id
        if exchange.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        sent = Headers(scope=scope)
        has_body = "transfer-encoding" in sent or sent.get("content-length", "0") != "0"
        if has_body and not exchange.is_read:
            headers["Connection"] = "close"  # the rest of the body is not worth reading

    def _record(self, scope: Scope, exchange: _Exchange) -> None:
        route, seconds = self._name_route(scope["path"]), time.monotonic() - exchange.started
        method, status = scope["method"], exchange.status or 499
        self._metrics.count_request(route=route, method=method, status=status, seconds=seconds)
        _log(
            "request",
            request_id=exchange.request_id,
            route=route,
            method=method if len(method) < 10 else "other",
            status=status,
            ms=round(1000 * seconds),
            bytes=exchange.body_bytes,
        )

    def _name_route(self, path: str) -> str:
        if path in self._routes:
            return path
        return _EXAMPLES if path.startswith("/examples/") else "other"


def build_error_response(scope: Scope, error: RequestError) -> JSONResponse:
    """Build the answer to a request that is refused."""
    request_id = Request(scope).state.request_id
    answer = ErrorAnswer(request_id=request_id, code=error.code, message=str(error))
    headers = {"Retry-After": str(error.retry_seconds)} if error.retry_seconds else None
    return JSONResponse(answer.model_dump(), status_code=error.status, headers=headers)


def _is_same_origin(origin: str, host: str) -> bool:
    try:
        found = urlsplit(origin)
    except ValueError:
        return False
    same_port = found.netloc.casefold() == host.casefold()
    return found.scheme in {"http", "https"} and same_port and bool(split_port(host))


def _log(event: str, **fields: str | int) -> None:
    """Write one line: only fields of a known set, of which none holds text of a client."""
    _logger.info("%s", json.dumps({"event": event, **fields}))
