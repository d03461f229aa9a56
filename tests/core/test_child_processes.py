"""Processes that we start: from nowhere but the installation, and with one thread each."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cxresnet.core.child_processes import CHILD_VARIABLES, starting_safely

_PRINT = "import os; print([os.environ.get(name) for name in {names!r}])"


def test_a_process_started_meanwhile_has_one_thread_and_passes_over_the_current_folder() -> None:
    command = [sys.executable, "-S", "-c", _PRINT.format(names=list(CHILD_VARIABLES))]
    with starting_safely():
        told = subprocess.check_output(command, text=True)

    assert told.strip() == "['1', '1', '1']"


def test_what_was_set_before_is_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with starting_safely():
        assert os.environ["OMP_NUM_THREADS"] == "1"

    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "OPENBLAS_NUM_THREADS" not in os.environ
