"""Hostile images, paths and names: each costs its sender one answer, and nobody else anything."""

from __future__ import annotations

import struct
import threading
import time
import zlib
from typing import Any

import pytest

import cxresnet


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def _build_png(width: int, height: int, *, extra: bytes = b"") -> bytes:
    """A PNG that states a size; its pixels are black as far as they are there."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + extra + _chunk(
        b"IDAT", zlib.compress(bytes(1_000_000), 9)
    ) + _chunk(b"IEND", b"")  # fmt: skip


def _start_jpeg(width: int, height: int) -> bytes:
    return b"\xff\xd8\xff\xc0\x00\x0b\x08" + struct.pack(">HH", height, width) + b"\x01\x01\x11\x00"


_ZIPPED = zlib.compress(bytes(50_000_000), 9)
_PE = b"MZ" + bytes(126)

_BMP = struct.pack(
    "<2sIHHIIiiHHIIiiII", b"BM", 100, 0, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0
)

BOMBS = {
    "png of 65,535 by 65,535": (_build_png(65_535, 65_535), "too-large"),
    "jpeg of 65,500 by 65,500": (_start_jpeg(65_500, 65_500), "too-large"),
    "bmp of 2^30 by 2^30": (_BMP, "too-large"),
    "png with a packed text of 50 MB": (
        _build_png(64, 64, extra=_chunk(b"zTXt", b"x\0\0" + _ZIPPED)),
        "",
    ),
    "png with a packed profile of 50 MB": (
        _build_png(64, 64, extra=_chunk(b"iCCP", b"x\0\0" + _ZIPPED)),
        "",
    ),
    "jpeg of 60 MB of marks": (b"\xff\xd8\xff" + b"\xff" * 60_000_000, "damaged"),
}
OTHERS = {
    "program": _PE + bytes(1000),
    "shell script": b"#!/bin/sh\nid\n",
    "page": b"<html><script>alert(1)</script></html>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "svg that asks another host": b"<svg><image href='http://169.254.169.254/'/></svg>",
    "pdf": b"%PDF-1.7\n",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "zip": b"PK\x03\x04" + bytes(100),
    "gzip": b"\x1f\x8b" + bytes(100),
    "numpy": b"\x93NUMPY" + bytes(100),
    "gif": b"GIF89a" + bytes(100),
    "xml entities": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x/>',
    "nothing": b"",
    "one byte": b"\0",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_soon(live: Any, name: str) -> None:
    content, code = BOMBS[name]
    start = time.process_time()
    (found,) = live.send("/predict", [content]).json["images"]
    assert found["refused"]
    assert found["code"] == code or not code
    assert time.process_time() - start < 5


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_image_is_refused_for_what_it_is(live: Any, name: str) -> None:
    (found,) = live.send("/predict", [OTHERS[name]]).json["images"]
    assert found["code"] in {"not-an-image", "format-not-allowed", "empty"}
    explained = live.send("/explain", [OTHERS[name]])
    assert (explained.status, explained.json["code"]) == (422, found["code"])


@pytest.mark.parametrize("start", [_PE, b"II*\0", b"<html>", b"PK\x03\x04", b"\x7fELF"])
def test_a_dicom_file_that_is_also_something_else_is_read_for_its_pixels_only(
    live: Any, start: bytes
) -> None:
    polyglot = start.ljust(128, b"\0")[:128] + b"DICM" + b"<script>alert(1)</script>"
    answer = live.send("/predict", [polyglot])
    assert answer.status == 200
    assert answer.json["images"][0]["refused"]
    assert b"script" not in answer.body


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static/..%5capp.py",
        "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/app.js%00.png", "//etc/passwd",
        "/static/app.js::$DATA", "/static/%252e%252e%252fapp.py", "/examples/../model",
        "/examples/..%2f..%2fmodel.png", "/examples/%2e%2e.png", "/%2e%2e/%2e%2e/etc/passwd",
        "/static/", "/static", "/..;/metrics", "/static/app.js/", "/.git/config",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_list_of_files(live: Any, path: str) -> None:
    answer = live.ask(path)
    assert answer.status in {400, 404}
    assert b"root:" not in answer.body
    assert b"import" not in answer.body


@pytest.mark.parametrize(
    "name",
    ["../../etc/cron.d/x", "/etc/passwd", "C:\\x", "\x00", "<script>alert(1)</script>.png",
     "'; DROP TABLE x; --", "=1+1", "\u202e", "x" * 4000, "\r\nX-Injected: yes", "{{7*7}}"],
)  # fmt: skip
def test_the_name_of_a_file_is_neither_used_nor_given_back(live: Any, kit: Any, name: str) -> None:
    body, kind = kit.build_form([("images", name, kit.build_image())])
    answer = live.ask("/predict", body, headers={"Content-Type": kind})
    assert answer.status in {200, 400}
    assert "x-injected" not in answer.headers
    if answer.status == 200:
        assert answer.body.replace(b" ", b"").find(name.encode()[:12]) < 0 or len(name) < 3


def test_an_address_in_place_of_an_image_is_never_asked(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    asked: list[Any] = []
    original = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *place, **o: asked.append(place[0]) or original(*place, **o)
    )
    for text in (b"http://169.254.169.254/latest", b"file:///etc/passwd", b"gopher://x"):
        assert live.send("/predict", [text]).json["images"][0]["refused"]
    for query in ("?url=http://x.invalid", "?path=/etc/passwd"):
        assert live.send(f"/predict{query}", [b"x"]).status == 200
    assert set(asked) <= {"127.0.0.1"}


def test_a_slow_file_delays_no_plain_one(
    live: Any, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is decoded in a process of its own has a lane of its own."""
    may_go, original = threading.Event(), cxresnet.Model.predict

    def wait(self: cxresnet.Model, images: list[bytes]) -> Any:
        if images[0].startswith(b"II*\0"):
            assert may_go.wait(60)
        return original(self, images)

    monkeypatch.setattr(cxresnet.Model, "predict", wait)
    slow = threading.Thread(target=live.send, args=("/predict", [b"II*\0" + bytes(2000)]))
    slow.start()
    try:
        for _ in range(3):
            assert live.send("/predict", [kit.build_image()]).status == 200
        assert slow.is_alive()
    finally:
        may_go.set()
        slow.join()


@pytest.mark.slow
def test_many_at_once_get_each_their_own_answer(live: Any, kit: Any, model: cxresnet.Model) -> None:
    images = [kit.build_image(seed) for seed in range(24)]
    expected = model.predict(images)
    answers: dict[int, Any] = {}

    def ask(at: int) -> None:
        answers[at] = live.send("/predict", [images[at]])

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(len(images))]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    for at, one in enumerate(expected):
        (found,) = answers[at].json["images"]
        assert found["probabilities"] == pytest.approx(one.probabilities, abs=1e-5)


@pytest.mark.slow
def test_a_thousand_connections_that_say_nothing_cost_others_nothing(live: Any) -> None:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2500:  # both ends are in this process
        pytest.skip("the system lets this process open too few files")
    held = [live.connect() for _ in range(1000)]
    try:
        start = time.monotonic()
        for _ in range(20):
            assert live.ask("/healthz").status == 200
        assert time.monotonic() - start < 20
    finally:
        for one in held:
            one.close()
