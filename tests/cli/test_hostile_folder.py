"""A folder of images that holds Python code: no command runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from cxresnet.core.run_folder import RunFolder

COMMAND = ("-P", "-m", "cxresnet")
"""As the command `cxresnet` starts: without the current folder."""


def start(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture
def image(hostile_folder: Path) -> Path:
    """An image in JPEG-LS, which another process decodes."""
    dataset = pydicom.dcmread(get_testdata_file("MR_small_jpeg_ls_lossless.dcm"))
    dataset.Modality, dataset.BodyPartExamined = "DX", "CHEST"
    path = hostile_folder / "image.dcm"
    dataset.save_as(path)
    return path


COMMANDS = (
    ("predict", "image.dcm", "--run", "RUN"),
    ("lungs", "image.dcm", "--out", "lungs"),
    ("explain", "image.dcm", "--run", "RUN", "--out", "explained"),
    ("prepare", ".", "--out", "dataset"),
)


@pytest.mark.slow
def test_no_command_runs_code_of_the_current_folder(image: Path, run: RunFolder) -> None:
    """One process for all commands: whatever any of them imports first would be found here."""
    code = (
        "import sys; from pathlib import Path; from cxresnet.cli.app import run_command_line;"
        "[(run_command_line(words.split()), print(words.split()[0], Path('ran.txt').exists()))"
        " for words in sys.argv[1:]]"
    )
    words = [" ".join(one).replace("RUN", str(run.path)) for one in COMMANDS]
    done = start("-P", "-c", code, *words, folder=image.parent)
    assert "No module" not in done.stderr
    said = [line for line in done.stdout.splitlines() if line.endswith((" True", " False"))]
    assert said == [f"{one[0]} False" for one in COMMANDS], done.stderr
    assert not (image.parent / "ran.txt").exists()


@pytest.mark.slow
def test_the_command_starts_without_the_current_folder(hostile_folder: Path) -> None:
    done = start(*COMMAND, "--version", folder=hostile_folder)
    assert done.returncode == 0, done.stderr
    assert not (hostile_folder / "ran.txt").exists()


@pytest.mark.slow
def test_starting_as_a_module_imports_nothing_else_from_the_current_folder(
    hostile_folder: Path,
) -> None:
    """A folder `cxresnet` in it would be what was asked for; no other module is."""
    (hostile_folder / "cxresnet").rename(hostile_folder / "other")
    done = start("-m", "cxresnet", "--version", folder=hostile_folder)
    assert done.returncode == 0, done.stderr
    assert not (hostile_folder / "ran.txt").exists()
