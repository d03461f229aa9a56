"""The process that `isolation.py` starts: it decodes one file after the other.

The output of GDCM is discarded, because the standard output carries the replies.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.errors import CXResnetError, ImageError, MissingExtraError
from cxresnet.data.decode.decoder import decode_in_process
from cxresnet.data.decode.formats import sniff_format
from cxresnet.data.decode.isolation import READY, read_message, write_message
from cxresnet.data.decode.limits import DecodeLimits

Reply = tuple[dict[str, Any], NDArray[np.float32]]

_NO_PIXELS = np.empty(0, dtype=np.float32)
_MEMORY_STATUS = Path("/proc/self/statm")


def serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    """Reply until the other side ends."""
    while (order := read_message(requests)) is not None:
        content = read_message(requests)
        if content is None:
            return
        head, pixels = reply_to(json.loads(order), content)
        write_message(replies, json.dumps(head).encode())
        replies.write(np.ascontiguousarray(pixels).reshape(-1).view(np.uint8).data)
        replies.flush()


def main() -> None:
    """Serve on the standard streams, deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _leave_no_core()
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  a device, not a file
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    write_message(replies, READY)
    serve(sys.stdin.buffer, replies)


def reply_to(order: dict[str, Any], content: bytes) -> Reply:
    """Decode one image as ordered; see `isolation.decode_isolated`."""
    try:
        _import_reader(content)
        with _limited(DecodeLimits(**order["limits"])):
            image = decode_in_process(content, **order["options"])
    except MissingExtraError:
        return {"failure": "extra"}, _NO_PIXELS
    except MemoryError:
        return {"failure": "memory"}, _NO_PIXELS
    except CXResnetError as error:
        code = error.code if isinstance(error, ImageError) else "damaged"
        return {"error": (code, str(error))}, _NO_PIXELS
    about = {name: value for name, value in vars(image).items() if name != "pixels"}
    return {"image": about, "shape": image.pixels.shape}, image.pixels


def _import_reader(content: bytes) -> None:
    """Import what DICOM needs before memory is counted."""
    if sniff_format(content) == "DICOM":
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module("cxresnet.data.decode.dicom.reader")


@contextlib.contextmanager
def _limited(limits: DecodeLimits) -> Iterator[None]:
    """Bound the memory and the processor time of this process; not on Windows.

    Whoever takes more memory gets a `MemoryError`; whoever takes more time is ended.
    """
    try:
        import resource  # noqa: PLC0415  there is none on Windows
    except ImportError:
        yield
        return
    seconds = math.ceil(time.process_time()) + math.ceil(limits.seconds)
    bounds = {resource.RLIMIT_CPU: seconds}
    if _MEMORY_STATUS.exists():
        pages = int(_MEMORY_STATUS.read_text().split()[0])
        bounds[resource.RLIMIT_AS] = pages * resource.getpagesize() + limits.memory_mib * 2**20
    before = {kind: resource.getrlimit(kind) for kind in bounds}
    for kind, bound in bounds.items():
        soft, hard = before[kind]
        most = min((old for old in (soft, hard) if old != resource.RLIM_INFINITY), default=bound)
        resource.setrlimit(kind, (min(bound, most), hard))
    try:
        yield
    finally:
        for kind, old_bounds in before.items():
            resource.setrlimit(kind, old_bounds)


def _leave_no_core() -> None:
    """Write no picture of the memory at a crash: it would hold an image; not on Windows."""
    with contextlib.suppress(ImportError):
        import resource  # noqa: PLC0415  there is none on Windows

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
