"""A cache larger than the memory that a process may use is gone through all the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SIDE_PX = 256
CACHE_MB = 160
LIMIT_MB = 64

SCRIPT = """
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxresnet.train.loaders import EpochSampler, build_loader


@dataclass
class Images:
    images: np.ndarray
    labels: np.ndarray


lines = Path("/proc/self/status").read_text().splitlines()
used_kb = int(next(line for line in lines if line.startswith("VmData")).split()[1])
limit = used_kb * 1024 + int(sys.argv[2]) * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
images = np.load(sys.argv[1], mmap_mode="r")
if sys.argv[3] == "copied":
    images = np.array(images)
loader = build_loader(
    Images(images, np.zeros(len(images), dtype=np.int64)),
    sampler=EpochSampler(len(images), batch_size=32, seed=0),
)
print(sum(len(batch.labels) for batch in loader))
"""


def _go_through(cache: Path, how: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, str(cache), str(LIMIT_MB), how]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")
def test_an_epoch_keeps_to_a_limit_that_the_images_do_not_fit_in(tmp_path: Path) -> None:
    count = CACHE_MB * 2**20 // SIDE_PX**2
    cache = tmp_path / "images.npy"
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, SIDE_PX, SIDE_PX)}
    with cache.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        stream.truncate(stream.tell() + count * SIDE_PX**2)
    mapped = _go_through(cache, "mapped")
    assert (mapped.returncode, mapped.stdout.strip()) == (0, str(count)), mapped.stderr
    # The limit is a real one: a copy of the images in memory breaks it.
    copied = _go_through(cache, "copied")
    assert copied.returncode == 1
    assert "allocate" in copied.stderr
