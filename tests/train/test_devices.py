"""Two processes learn together what one learns alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("train_on_devices.py")


def train(out: Path, *, devices: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(out), str(devices)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.strip().splitlines()  # the helper process says nothing
    metrics: dict[str, Any] = json.loads(line)
    return metrics


@pytest.mark.slow
def test_two_processes_come_to_the_validation_of_one(tmp_path: Path) -> None:
    alone = train(tmp_path / "alone", devices=1)
    together = train(tmp_path / "together", devices=2)

    assert alone["val_macro_auroc"] > 0.85  # it learned, so that there is something to compare
    # The same images in each step; only the order of sums differs.
    assert together == pytest.approx(alone, abs=1e-3)
    history = (tmp_path / "together" / "train" / "history.csv").read_text()
    assert len(history.splitlines()) == 15
    environment = json.loads((tmp_path / "together" / "train" / "environment.json").read_text())
    assert environment["processes"] == 2
