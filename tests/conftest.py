"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# As the command line does, before anything imports torch; see `cli/app.py`.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def images_root() -> Path:
    """The folder of real images; the test is skipped, and counted aloud, where there is none."""
    default = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("CXRESNET_DATA", default))
    if not (root / "manifest.csv").is_file():
        pytest.skip("the real images are not here (../shared/data or $CXRESNET_DATA)")
    return root
