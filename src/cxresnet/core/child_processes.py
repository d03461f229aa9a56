"""Start Python processes that never import from the current folder.

`python -c` and `python -m` put the current folder first among the places that modules are imported
from, and a folder of images that somebody sent may hold a `numpy.py`. Python leaves it out where
`PYTHONSAFEPATH` is set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

SAFE_PATH_VARIABLE = "PYTHONSAFEPATH"


@contextmanager
def starting_safely() -> Iterator[None]:
    """Let every Python process that is started meanwhile pass over the current folder."""
    before = os.environ.get(SAFE_PATH_VARIABLE)
    os.environ[SAFE_PATH_VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_PATH_VARIABLE]
        else:
            os.environ[SAFE_PATH_VARIABLE] = before
