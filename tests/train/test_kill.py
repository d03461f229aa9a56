"""SIGKILL at random moments: what comes out in the end is the same, to the bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "kill_resume.py"


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_very_same_bits() -> None:
    # The benchmark does it at 20 moments; three are enough to see that it is not broken.
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--kills", "3"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 came out the same" in done.stdout
