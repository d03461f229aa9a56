"""`make bench` runs: the quick form, whose numbers say nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_quick_form_writes_the_whole_table(tmp_path: Path) -> None:
    out = tmp_path / "speed.md"
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "bench.py"), "--quick", "--out", str(out)],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = out.read_text(encoding="utf-8").splitlines()
    assert "UTC" in lines[0]
    assert "torch " in lines[1]
    assert lines[2].startswith("load average at the start: ")
    rows = [line for line in lines if line.startswith("| ")]
    questions = "\n".join(row.split("|")[1] for row in rows)
    for word in ("--help", "nowhere", "cold", "`prepare`", "training step", "training epoch",
                 "occlusion", "prepared images", "PNG of", "near-duplicates"):  # fmt: skip
        assert word in questions, word
    assert all(row.count("|") == rows[0].count("|") for row in rows)
    assert "<svg" in (tmp_path / "speed.svg").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_measure_that_is_not_there_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "bench.py"), "--only", "speed"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "there is no speed" in done.stderr
