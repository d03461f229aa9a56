"""Requests that are too large, too slow, damaged, or never end; connections that say nothing."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

HEAD = "POST /predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a-token-of-the-tests\r\n"


def _talk(server: Any, text: bytes, *, seconds: float = 30.0) -> bytes:
    """Send bytes as they are, and read until the server closes."""
    with server.connect() as connection:
        connection.settimeout(seconds)
        connection.sendall(text)
        parts = []
        try:
            while part := connection.recv(65536):
                parts.append(part)
        except (ConnectionResetError, TimeoutError):
            pass
        return b"".join(parts)


def _send_raw(server: Any, kit: Any, body: Any, kind: str, **options: Any) -> Any:
    return server.ask("/predict", body, headers={**kit.TOKEN, "Content-Type": kind}, **options)


@pytest.mark.slow
@pytest.mark.parametrize("size", [200_001, 3_000_000])
def test_a_request_that_states_too_much_is_refused(narrow: Any, kit: Any, size: int) -> None:
    answer = _send_raw(narrow, kit, b"x" * size, "image/png")
    assert (answer.status, answer.json["code"]) == (413, "too-large")
    assert "0.190735 MiB" in answer.json["message"]


def test_a_body_without_a_stated_length_ends_at_the_limit(narrow: Any, kit: Any) -> None:
    sent = []

    def flow() -> Iterator[bytes]:
        for _ in range(30):
            sent.append(1)
            yield b"x" * 20_000

    answer = _send_raw(narrow, kit, flow(), "image/png", encode_chunked=True)
    assert (answer.status, answer.json["code"]) == (413, "too-large")


def test_a_request_that_lies_about_its_length_is_refused(narrow: Any) -> None:
    text = f"{HEAD}Content-Type: image/png\r\nContent-Length: 100\r\n\r\n".encode()
    assert b" 408 " in _talk(narrow, text + b"x" * 50)
    assert b" 400 " in _talk(narrow, text.replace(b"100", b"-5"))
    assert b" 400 " in _talk(narrow, text.replace(b"100", b"ten"))


def test_a_packed_body_is_refused(narrow: Any, kit: Any) -> None:
    headers = {**kit.TOKEN, "Content-Type": "image/png", "Content-Encoding": "gzip"}
    answer = narrow.ask("/predict", b"\x1f\x8b", headers=headers)
    assert (answer.status, answer.json["code"]) == (415, "encoding")


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/json", "multipart/mixed", "x" * 900]
)
def test_another_kind_of_body_is_refused(narrow: Any, kit: Any, kind: str) -> None:
    answer = _send_raw(narrow, kit, b"{}", kind)
    assert (answer.status, answer.json["code"]) == (415, "media-type")


_LONG = b"form-data; x=" + b"y" * 9000


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        (lambda form, mark: form[:-6], 400, "form"),  # its end is missing
        (lambda form, mark: b"", 400, "form"),
        (lambda form, mark: b"x" * 5000, 400, "form"),
        (lambda form, mark: form.replace(mark, b"another"), 400, "form"),
        (lambda form, mark: form.replace(b'"images"', b'"image"'), 422, "field"),
        (lambda form, mark: form.replace(b'name="images"; ', b""), 422, "field"),
        (lambda form, mark: form.replace(b"form-data", _LONG), 400, "form"),
        (lambda form, mark: form.replace(b"\r\n\r\n", b"\r\nX: y" * 3000), 400, "form"),
        (lambda form, mark: b"\r\n" * 40_000 + form[:-6], 400, "form"),
        (lambda form, mark: form[: form.rfind(b"--" + mark)] * 3 + form, 413, "too-many"),
    ],
)
def test_a_form_that_is_none_is_refused(
    narrow: Any, kit: Any, change: Any, status: int, code: str
) -> None:
    form, kind = kit.build_form([("images", "1.png", b"content")])
    changed = change(form, kind.rpartition("=")[2].encode())
    answer = _send_raw(narrow, kit, changed, kind)
    assert (answer.status, answer.json["code"]) == (status, code), answer.body


@pytest.mark.parametrize("boundary", ["", "; boundary=", f"; boundary={'x' * 300}"])
def test_a_form_without_a_usable_boundary_is_refused(narrow: Any, kit: Any, boundary: str) -> None:
    answer = _send_raw(narrow, kit, b"--x--", f"multipart/form-data{boundary}")
    assert answer.json["code"] == "form"


def test_ten_thousand_parts_cost_little(narrow: Any, kit: Any) -> None:
    form, kind = kit.build_form([("images", "", b"")] * 1500)
    start = time.process_time()
    answer = _send_raw(narrow, kit, form, kind)
    assert answer.json["code"] in {"too-many", "too-large"}
    assert time.process_time() - start < 2


def test_a_body_that_comes_drop_by_drop_is_cut(narrow: Any) -> None:
    head = f"{HEAD}Content-Type: image/png\r\nContent-Length: 1000\r\n\r\n"
    with narrow.connect() as connection:
        connection.sendall(head.encode())
        start = time.monotonic()
        for _ in range(600):
            try:
                connection.sendall(b"x")
            except OSError:
                break
            time.sleep(0.05)
    assert 0.3 <= time.monotonic() - start < 20


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: local"])
def test_a_head_that_does_not_come_is_not_waited_for(narrow: Any, said: bytes) -> None:
    start = time.monotonic()
    assert _talk(narrow, said) == b""
    assert 0.2 < time.monotonic() - start < 20


def test_a_second_head_is_not_waited_for_either(narrow: Any) -> None:
    with narrow.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in connection.recv(65536)
        connection.sendall(b"GET /heal")
        found = b"x"
        while found:
            found = connection.recv(65536)


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
        b"GET / HTTP/1.1\r\n\r\n",  # no host
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 700_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(narrow: Any, said: bytes) -> None:
    assert _talk(narrow, said).startswith(b"HTTP/1.1 400")
    assert narrow.ask("/healthz").status == 200


def test_more_connections_than_allowed_are_closed_and_the_server_answers_again(
    narrow: Any, kit: Any
) -> None:
    held = [narrow.connect() for _ in range(60)]
    try:
        closed = 0
        for connection in held:
            connection.settimeout(10)
            try:
                closed += connection.recv(10) == b""
            except (ConnectionResetError, TimeoutError):
                closed += 1
        assert closed == 60  # some at once, the others because they say nothing
    finally:
        for connection in held:
            connection.close()
    kit.wait_until(lambda: narrow.ask("/healthz").status == 200)


def test_all_requests_together_hold_no_more_than_their_budget(narrow: Any, kit: Any) -> None:
    held = []
    head = f"{HEAD}Content-Type: image/png\r\nContent-Length: 190000\r\n\r\n".encode()
    try:
        for _ in range(3):
            connection = narrow.connect()
            connection.sendall(head + b"x" * 189_000)
            held.append(connection)
        time.sleep(0.1)
        answer = _send_raw(narrow, kit, b"x" * 100_000, "image/png")
        assert answer.status == 429
        assert answer.headers["retry-after"] == "2"
    finally:
        for connection in held:
            connection.close()
    kit.wait_until(lambda: _send_raw(narrow, kit, kit.build_image(), "image/png").status == 200)


def test_nothing_of_an_upload_reaches_the_disk(
    live: Any, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file")

    for name in ("SpooledTemporaryFile", "NamedTemporaryFile", "TemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    large = kit.build_image() + b"\0" * 3_000_000  # Starlette's own reader would write this
    assert live.send("/predict", [large]).status == 200
