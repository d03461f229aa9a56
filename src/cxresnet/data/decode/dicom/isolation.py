"""Decoding in a separate process: a crash then costs one image, not the session.

GDCM, the only decoder here of JPEG-LS, lossless JPEG and JPEG of 12 bits, aborts its process on
some damaged files. Its process (`worker.py`) starts at the first such image, serves all that
follow, and ends with ours.
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

from cxresnet.core.errors import ImageError

IMAGE, REFUSAL = b"F", b"R"
"""First byte of a reply, before a `.npz`, or a code and a sentence in two lines."""

_TIMEOUT_SECONDS = 60
_LENGTH = struct.Struct(">Q")
_COMMAND = (sys.executable, "-m", "cxresnet.data.decode.dicom.worker")


def decode_isolated(content: bytes) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Decode a DICOM image in another process.

    Args:
        content: The whole file.

    Returns:
        (height, width), 0 to 1; and notes about tags of the display.

    Raises:
        ImageError: As `image.read_dicom_image`, and "decoder-crash".
    """
    reply = _find_decoder().decode(content)
    kind, body = reply[:1], reply[1:]
    if kind == IMAGE:
        packed = np.load(io.BytesIO(body), allow_pickle=False)
        return packed["pixels"], tuple(packed["notes"].tolist())
    if kind == REFUSAL:
        raise ImageError(*body.decode().split("\n", 1))
    raise ImageError(
        "decoder-crash", "The decoder crashed on this DICOM file or took too long. Leave it out."
    )


def write_message(stream: IO[bytes], content: bytes) -> None:
    """Send bytes with their length before them."""
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def read_message(stream: IO[bytes]) -> bytes:
    """Receive bytes; b"" if the other side has ended."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return b""
    (length,) = _LENGTH.unpack(head)
    content = stream.read(length)
    return content if len(content) == length else b""


class _Decoder:
    """The other process: started at its first use, and again after a crash."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def decode(self, content: bytes) -> bytes:
        """Send one file and wait for the reply; b"" if the process crashed or took too long."""
        with self._lock:
            process = self._find_process()
            watchdog = _Watchdog(process)
            reply = b""
            try:
                with contextlib.suppress(OSError):
                    write_message(cast("IO[bytes]", process.stdin), content)
                    reply = read_message(cast("IO[bytes]", process.stdout))
            finally:
                # The last moment may hold both a whole reply and the kill: the reply counts,
                # but the next image is not for a process that is about to die. Nor for one that
                # Ctrl-C left with half an reply still to give.
                if watchdog.cancel() or not reply:
                    self._stop()
            return reply

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
        self._has_killed = False
        self._timer = threading.Timer(_TIMEOUT_SECONDS, self._kill)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> bool:
        """End the watch, and return whether it had killed the process by then."""
        self._timer.cancel()
        self._timer.join()
        return self._has_killed

    def _kill(self) -> None:
        self._has_killed = True
        self._process.kill()


def _start_worker() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  our own module, by our own interpreter
        _COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _close_quietly(stream: IO[bytes]) -> None:
    """Close a pipe whose other end may be closed, with bytes still on their way to it."""
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
