"""Decode in a process of its own what may crash: a crash then costs one film, not the session.

GDCM, the only decoder here of JPEG-LS and lossless JPEG, aborts its process on some damaged
files. Its process (`worker.py`) starts at the first such film, serves all that follow, and
ends with ours.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import struct
import subprocess
import sys
import threading
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.errors import FilmError

__all__ = ["FILM", "REFUSAL", "decode_apart", "read_message", "write_message"]

FILM, REFUSAL = b"F", b"R"
"""First byte of an answer: then a `.npy`, or a code and a sentence in two lines."""

_TIMEOUT_SECONDS = 60
_LENGTH = struct.Struct(">Q")
_COMMAND = (sys.executable, "-m", "cxresnet.data.dicom.worker")


def decode_apart(content: bytes) -> NDArray[np.float32]:
    """Decode a DICOM film in another process.

    Args:
        content: The whole file.

    Returns:
        (height, width), 0 to 1.

    Raises:
        FilmError: As `film.read_dicom_film`, and "decoder-crash".
    """
    answer = _find_decoder().ask(content)
    kind, body = answer[:1], answer[1:]
    if kind == FILM:
        film: NDArray[np.float32] = np.load(io.BytesIO(body), allow_pickle=False)
        return film
    if kind == REFUSAL:
        raise FilmError(*body.decode().split("\n", 1))
    raise FilmError(
        "decoder-crash", "The decoder died of this DICOM file or took too long. Leave it out."
    )


def write_message(stream: IO[bytes], content: bytes) -> None:
    """Send bytes with their length before them."""
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def read_message(stream: IO[bytes]) -> bytes:
    """Receive bytes; b"" where the other side has gone."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return b""
    (length,) = _LENGTH.unpack(head)
    content = stream.read(length)
    return content if len(content) == length else b""


class _Decoder:
    """The other process: started when first asked, and again after it died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, content: bytes) -> bytes:
        """Send one file and wait for the answer; b"" if the process died or took too long."""
        with self._lock:
            process = self._find_process()
            watchdog = _Watchdog(process)
            answer = b""
            try:
                with contextlib.suppress(OSError):
                    write_message(cast("IO[bytes]", process.stdin), content)
                    answer = read_message(cast("IO[bytes]", process.stdout))
            finally:
                # The last moment may hold both a whole answer and the kill: the answer counts,
                # but the next film is not for a process that is about to die. Nor for one that
                # Ctrl-C left with half an answer still to give.
                if watchdog.call_off() or not answer:
                    self._stop()
            return answer

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._stop()

    def _find_process(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._stop()
        if self._process is None:
            self._process = _start_worker()
        return self._process

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for stream in (process.stdin, process.stdout):
                _close_quietly(cast("IO[bytes]", stream))
            process.wait()


class _Watchdog:
    """Kills a process that takes longer than `_TIMEOUT_SECONDS`, unless called off before."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._has_bitten = False
        self._timer = threading.Timer(_TIMEOUT_SECONDS, self._bite)
        self._timer.daemon = True
        self._timer.start()

    def call_off(self) -> bool:
        """End the watch, and say whether it had killed the process by then."""
        self._timer.cancel()
        self._timer.join()
        return self._has_bitten

    def _bite(self) -> None:
        self._has_bitten = True
        self._process.kill()


def _start_worker() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  our own module, by our own interpreter
        _COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _close_quietly(stream: IO[bytes]) -> None:
    """Close a pipe whose other end may be gone, with bytes still on their way to it."""
    try:
        stream.close()
    except BrokenPipeError:
        return


_decoders: dict[int, _Decoder] = {}
"""By process: one that was forked from another must not speak into the other's pipe."""


def _find_decoder() -> _Decoder:
    process_id = os.getpid()
    if process_id not in _decoders:
        _decoders[process_id] = _Decoder()
        atexit.register(_decoders[process_id].close)
    return _decoders[process_id]
