"""The process that `isolation.py` starts: it decodes one DICOM file after the other.

The output of GDCM is discarded, because the standard output carries the replies.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from typing import IO

import numpy as np

from cxresnet.core.errors import CXResnetError, ImageError
from cxresnet.data.decode.dicom.isolation import IMAGE, REFUSAL, read_message, write_message
from cxresnet.data.decode.dicom.reader import read_pixels_in_process

_MEMORY_BYTES = 4 * 2**30


def serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    """Reply until the other side ends."""
    while content := read_message(requests):
        write_message(replies, _reply(content))


def main() -> None:
    """Serve on the standard streams, with bounded memory, deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory()
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  a device, not a file
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, replies)


def _reply(content: bytes) -> bytes:
    try:
        shown = read_pixels_in_process(content)
    except CXResnetError as error:
        code = error.code if isinstance(error, ImageError) else "damaged"
        return REFUSAL + f"{code}\n{error}".encode()
    packed = io.BytesIO()
    np.savez(packed, pixels=shown.pixels, notes=np.array(shown.notes, dtype=np.str_))
    return IMAGE + packed.getvalue()


def _limit_memory() -> None:
    """Let a lie about sizes end in a refusal, not in a full machine; not on Windows."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415  there is none on Windows

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


if __name__ == "__main__":
    main()
