"""Decoding in a separate process: a crash, a hang or a bomb then costs one image, nothing else.

The process (`worker.py`) starts at the first image that needs it, serves all that follow, and ends
with ours. It has bounded memory and time for each image.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

import cxresnet
from cxresnet.core.child_processes import CHILD_VARIABLES
from cxresnet.core.errors import ImageError, MissingExtraError
from cxresnet.data.decode.limits import DecodeLimits

_LENGTH = struct.Struct(">Q")
_WALL_FACTOR = 30
"""On a busy machine a process takes longer than its processor time; one that hangs, for ever."""
_START_SECONDS = 300
_OUT_OF_TIME = getattr(signal, "SIGXCPU", 2**16)
"""What ends the process at its limit of processor time; there is no such signal on Windows."""
READY = b"ready"
"""First word of the process, when it has imported what it needs."""

_START = "import sys; sys.path.append(sys.argv[1]); from cxresnet.data.decode.worker import main"
_COMMAND = (
    *(sys.executable, "-P", "-c", f"{_START}; main()"),
    str(Path(cxresnet.__file__).parents[1]),
)


def decode_isolated(
    content: bytes, *, limits: DecodeLimits, **options: Any
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Decode an image in another process.

    Args:
        content: The whole file.
        limits: Memory and time that it may take.
        options: Of `decoder.decode_in_process`.

    Returns:
        (height, width), 0 to 1; and the other attributes of a `DecodedImage`, by name.

    Raises:
        ImageError: As `decoder.decode_image`.
        MissingExtraError: The file is DICOM and the extra `dicom` is not installed.
    """
    order = json.dumps({"limits": asdict(limits), "options": options}).encode()
    reply, pixels = _find_decoder().decode(order, content, seconds=limits.seconds)
    if "image" in reply:
        return pixels, reply["image"] | {"notes": tuple(reply["image"]["notes"])}
    if "error" in reply:
        raise ImageError(*reply["error"])
    raise _explain_failure(reply.get("failure", "crash"), limits)


def _explain_failure(failure: str, limits: DecodeLimits) -> ImageError | MissingExtraError:
    if failure == "extra":
        return MissingExtraError("dicom", needed_for="Reading DICOM images")
    if failure == "memory":
        return ImageError(
            "too-large",
            f"Decoding the image needs more than {limits.memory_mib} MiB of memory. Reduce it, "
            "or allow more with --decode-memory-mib 2048, in 'prepare' with "
            "--set data.decode_memory_mib=2048.",
        )
    if failure == "time":
        return ImageError(
            "too-slow",
            f"Decoding the image takes longer than {limits.seconds:g} s. Reduce or convert it, "
            "or allow more with --decode-seconds 60, in 'prepare' with "
            "--set data.decode_seconds=60.",
        )
    return ImageError("decoder-crash", "The decoder crashed on this file. Leave it out.")


def write_message(stream: IO[bytes], content: bytes) -> None:
    """Send bytes with their length before them."""
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def read_message(stream: IO[bytes]) -> bytes | None:
    """Receive bytes; None if the other side has ended."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    content = stream.read(length)
    return content if len(content) == length else None


class _Decoder:
    """The other process: started at its first use, and again after it was stopped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def decode(
        self, order: bytes, content: bytes, *, seconds: float
    ) -> tuple[dict[str, Any], NDArray[np.float32]]:
        """Send one file and wait for the reply; without one the reply says why."""
        with self._lock:
            process = self._find_process()
            watchdog = _Watchdog(process, seconds * _WALL_FACTOR)
            reply = None
            try:
                with contextlib.suppress(OSError, ValueError, TypeError):
                    reply = _converse(process, order, content)
            finally:
                # The last moment may hold both a whole reply and the kill: the reply counts,
                # but the next image is not for a process that is about to die. Nor for one that
                # Ctrl-C left with half a reply still to give.
                has_killed = watchdog.cancel()
                if has_killed or reply is None:
                    self._stop()
            if reply is not None:
                return reply
            is_late = has_killed or process.returncode == -_OUT_OF_TIME
            return {"failure": "time" if is_late else "crash"}, np.empty(0, np.float32)

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


def _converse(
    process: subprocess.Popen[bytes], order: bytes, content: bytes
) -> tuple[dict[str, Any], NDArray[np.float32]] | None:
    """Send an order and read the reply; None if the process ends before."""
    requests, replies = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    write_message(requests, order)
    write_message(requests, content)
    head = read_message(replies)
    if head is None:
        return None
    reply: dict[str, Any] = json.loads(head)
    pixels = np.empty(reply.get("shape", (0, 0)), dtype=np.float32)
    filled = cast("io.BufferedReader", replies).readinto(pixels.reshape(-1).view(np.uint8).data)
    return (reply, pixels) if filled == pixels.nbytes else None


class _Watchdog:
    """Kills a process that takes too long, unless called off before."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self._process = process
        self._has_killed = False
        self._timer = threading.Timer(seconds, self._kill)
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
    process = subprocess.Popen(  # noqa: S603  our own module, by our own interpreter
        _COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **CHILD_VARIABLES},
    )
    watchdog = _Watchdog(process, _START_SECONDS)
    try:
        read_message(cast("IO[bytes]", process.stdout))  # its first word; none if it does not start
    finally:
        watchdog.cancel()
    return process


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
