"""The short form of `make chaos`: what was broken on purpose is noticed, and harms nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).parents[2] / "scripts" / "chaos"


@pytest.mark.slow
def test_damaged_files_kills_full_disks_and_canaries_break_no_promise(tmp_path: Path) -> None:
    command = [sys.executable, str(CHAOS), "--short", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count(" 0 faults") == 5
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert {row["part"] for row in rows} == {"images", "kills", "flips", "disk", "canaries"}
    assert "image" in {row["word"] for row in rows}
    assert "found" in {row["word"] for row in rows}
