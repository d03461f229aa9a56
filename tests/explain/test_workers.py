"""Worker processes give what this process gives, and whatever prevents them prevents nothing."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cxresnet.core.config import ExplainConfig, ModelConfig
from cxresnet.explain.methods.method import build_methods
from cxresnet.explain.sanity.check import SanityImages, compute_maps
from cxresnet.explain.workers import map_calls, working_on_all_cores
from cxresnet.model.presets import build_model


def test_without_workers_it_is_a_loop() -> None:
    assert map_calls(divmod, [(7, 2), (9, 4)], "Dividing") == [(3, 1), (2, 1)]
    with pytest.raises(ZeroDivisionError):
        map_calls(divmod, [(7, 0)], "Dividing")


def test_short_work_starts_no_process() -> None:
    with working_on_all_cores(count=2, start_after_s=60):
        assert map_calls(os.getpid, [(), ()], "Asking") == [os.getpid()] * 2


@pytest.mark.slow
def test_other_processes_compute_the_same_maps(caplog: pytest.LogCaptureFixture) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = build_model(ModelConfig(preset="nano"), class_count=3).eval()
        nn.init.normal_(network.head.weight)
        network = network.to(memory_format=torch.channels_last)
        images = torch.randn(8, 1, 32, 32)
    nothing = np.zeros((8, 32, 32), np.uint8)
    sample = SanityImages(nothing, images, (0, 1) * 4, (0, 1) * 4, nothing, nothing, 0.02)
    config = ExplainConfig(methods=("occlusion", "grad_cam"), integrated_gradients_steps=4)
    methods = build_methods((*config.methods, "integrated_gradients"), config, side_px=32)
    expected = [compute_maps(network, method, sample) for method in methods]
    with working_on_all_cores(count=2, start_after_s=0):
        assert os.getpid() not in map_calls(os.getpid, [(), ()], "Asking")
        found = [compute_maps(network, method, sample) for method in methods]
        assert not caplog.records
        # What cannot be sent is computed here.
        lock = threading.Lock()
        assert map_calls(lambda _: os.getpid(), [(lock,)] * 2, "Asking") == [os.getpid()] * 2
        assert map_calls(os.getpid, [(), ()], "Asking") == [os.getpid()] * 2
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    for ours, theirs in zip(found, expected, strict=True):
        assert np.abs(theirs).max() > 1e-4
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


SCRIPT = """
import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell runs behind
from cxresnet.explain.workers import map_calls, working_on_all_cores
print("the script runs", flush=True)
with working_on_all_cores(count=2, start_after_s=0):
    print(os.getpid() in map_calls(os.getpid, [(), ()], "Asking"), flush=True)
    map_calls(time.sleep, [(600,), (600,)], "Sleeping")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent otherwise there")
def test_a_script_without_a_main_guard_runs_once_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert [run.stdout.readline(), run.stdout.readline()] == ["the script runs\n", "False\n"]
        time.sleep(0.5)
        run.send_signal(signal.SIGINT)
        assert run.stdout.read() == ""
        run.wait(timeout=60)
    assert run.returncode != 0
