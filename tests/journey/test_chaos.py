"""`make chaos` notices what breaks a promise, and makes the same faults from the same number."""

from __future__ import annotations

import importlib
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return lambda name: importlib.import_module(f"faults.{name}")


def test_a_number_always_makes_the_same_damage(load: Any) -> None:
    damage = load("images").damage
    whole = bytes(range(256)) * 4
    dice = [[random.Random(number) for number in range(200)] for _ in range(2)]  # noqa: S311
    changed, again = ([damage(whole, one) for one in each] for each in dice)
    assert changed == again
    assert len(set(changed)) > 190
    assert sum(content == whole for content in changed) < 10


@pytest.mark.parametrize(
    ("pixels", "word"),
    [
        (np.full((4, 4), 0.5, dtype=np.float32), "image"),
        (np.full((4, 4), np.nan, dtype=np.float32), "fault"),
        (np.full((4, 4), 1.5, dtype=np.float32), "fault"),
        (np.full((4, 4), 200, dtype=np.uint8), "image"),
        (np.zeros((4, 4, 3), dtype=np.float32), "fault"),
    ],
)
def test_what_is_no_image_is_a_fault(pixels: np.ndarray, word: str, load: Any) -> None:
    assert load("images").check_pixels(pixels).word == word


@pytest.mark.parametrize(
    ("code", "text", "is_fault"),
    [
        (0, "", False),
        (2, "cxresnet: 'x.png' is empty.", False),
        (2, "", True),
        (3, "The disk is full.", False),
        (70, "Unexpected error (ValueError).", True),
        (2, "Traceback (most recent call last)", True),
        (1, "stopped", True),
        (-9, "", True),
    ],
)
def test_only_success_or_one_sentence_is_a_good_end(
    code: int, text: str, *, is_fault: bool, load: Any
) -> None:
    assert bool(load("context").Result(code, text).fault) is is_fault


def test_a_lost_file_and_a_changed_one_are_found_but_not_times(load: Any, tmp_path: Path) -> None:
    stages = load("stages")
    for name in ("first/report", "second/report", "found"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "a.json").write_text(json.dumps({"value": 1, "begun_utc": name}))
        (folder / "b.bin").write_bytes(b"b")
    assert stages.find_differences(tmp_path, "report", tmp_path / "found") == []

    (tmp_path / "found" / "a.json").write_text('{"value": 2}')
    (tmp_path / "found" / "b.bin").unlink()
    (tmp_path / "found" / "c.tmp").touch()
    found = stages.find_differences(tmp_path, "report", tmp_path / "found")
    assert found == ["a.json", "b.bin", "b.bin (missing)", "c.tmp (left over)"]


def test_a_canary_is_found_in_any_spelling(load: Any) -> None:
    find = load("canaries").find_canaries
    assert list(find(b"\0\1Canary12x3y\0", "manifest.csv")) == ["Canary12x3y in manifest.csv"]
    assert list(find(b"a canary", "manifest.csv")) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_short_form_does_a_few_cases_of_each_part_without_a_fault(tmp_path: Path) -> None:
    words = [sys.executable, str(SCRIPTS / "chaos"), "--short", "--folder", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split()[:5] for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == ["images", "kills", "flips", "disk", "canaries"]
    assert all(row[2:] == ["cases,", "0", "faults,"] for row in rows)


@pytest.mark.slow
def test_results_of_other_code_are_not_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "code.txt").write_text("another")
    words = [sys.executable, str(SCRIPTS / "chaos"), "--part", "images", "--folder", str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert "holds results of other code" in ended.stderr
