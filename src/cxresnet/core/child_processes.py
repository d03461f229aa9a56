"""Start Python processes that never import from the current folder and use one thread each.

`python -c` and `python -m` put the current folder first among the places that modules are imported
from, and a folder of images that somebody sent may hold a `numpy.py`. Python leaves it out where
`PYTHONSAFEPATH` is set.

There is one process a core: further threads of a BLAS in each would wait for each other (twice the
processor time where phantoms are drawn), and take memory that an image may need.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

SAFE_PATH_VARIABLE = "PYTHONSAFEPATH"
CHILD_VARIABLES = {
    SAFE_PATH_VARIABLE: "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Environment of the processes that decode images."""


@contextmanager
def starting_safely() -> Iterator[None]:
    """Let every Python process that is started meanwhile run with `CHILD_VARIABLES`."""
    before = {name: os.environ.get(name) for name in CHILD_VARIABLES}
    os.environ.update(CHILD_VARIABLES)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
