"""The process that `apart.py` starts: decodes one DICOM file after the other.

What GDCM prints goes nowhere: answers have the standard output for themselves.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from typing import IO

import numpy as np

from cxresnet.core.errors import CXResnetError, FilmError
from cxresnet.data.dicom.apart import FILM, REFUSAL, read_message, write_message
from cxresnet.data.dicom.reader import read_pixels_here

__all__ = ["main", "serve"]

_MEMORY_BYTES = 4 * 2**30


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until the other side is gone."""
    while content := read_message(requests):
        write_message(answers, _answer(content))


def main() -> None:
    """Serve on the standard streams, with bounded memory, deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  a device, not a file
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, answers)


def _answer(content: bytes) -> bytes:
    try:
        pixels, _ = read_pixels_here(content)
    except CXResnetError as error:
        code = error.code if isinstance(error, FilmError) else "damaged"
        return REFUSAL + f"{code}\n{error}".encode()
    packed = io.BytesIO()
    np.save(packed, pixels, allow_pickle=False)
    return FILM + packed.getvalue()


def _limit_memory() -> None:
    """Let a lie about sizes end in a refusal, not in a full machine; not on Windows."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415  there is none on Windows

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


if __name__ == "__main__":
    main()
