"""The wheel as a stranger gets it: built, installed into a fresh environment, and used there."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from cxresnet.data.phantoms.draw import draw_phantom
from cxresnet.data.phantoms.plan import PhantomSettings, plan_phantoms

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("hatchling") is None,
        reason="hatchling is not installed: wheel and source archive are NOT tested (make test)",
    ),
]


def _run(*words: str | Path, cwd: Path) -> str:
    """Run a command that finds neither our source tree nor a network; returns what it said."""
    places = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [place for place in places if place and Path(place).resolve() != ROOT / "src"]
    own = os.environ | {"PYTHONPATH": os.pathsep.join(kept)}
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, env=own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (archive,) = folder.glob("*.tar.gz")
    options = ("--no-build-isolation", "--no-deps", "--no-index", "-q", "-w", folder)
    _run(sys.executable, "-m", "pip", "wheel", *options, archive, cwd=folder)
    return folder


def test_the_wheel_holds_what_the_program_needs_and_no_picture(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "py.typed",
        "core/config/ready/small.toml",
        "predict/bundled_network/train/checkpoint/weights.safetensors",
        "predict/bundled_network/README.md",
        "predict/bundled_network/atlas_model.json",
        "predict/bundled_network/WEIGHTS_LICENSE.md",
        "report/templates/abstention.html.j2",
    ):
        assert f"cxresnet/{name}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.endswith((".png", ".jpg", ".dcm", ".pyc"))]
    assert not [name for name in names if name.startswith("tests/")]


def test_the_source_archive_holds_what_the_tests_need(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"pyproject.toml", "CHANGELOG.md", "LICENSE", "scripts/check"} <= names
    assert "tests/journey/test_wheel.py" in names


def test_a_fresh_environment_predicts_and_shows_a_config(dist: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    _run(sys.executable, "-m", "venv", fresh, cwd=tmp_path)
    python = fresh / ("Scripts" if os.name == "nt" else "bin") / "python"
    (wheel,) = dist.glob("*.whl")
    _run(python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", wheel, cwd=tmp_path)
    installed = Path(
        _run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path)
        .strip()
    )  # fmt: skip
    # The heavy dependencies are borrowed from this environment; our own package is not, because
    # its editable install is a .pth file, and those of an added folder are not read.
    (installed / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = _run(python, "-c", "import cxresnet; print(cxresnet.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed)

    settings = PhantomSettings(images_per_class=1, side_px=160, seed=99)
    drawn = draw_phantom(plan_phantoms(settings)[0], settings)
    Image.fromarray(drawn.pixels).save(tmp_path / "drawn.png")
    command = python.with_name("cxresnet")
    assert "epochs = 60" in _run(command, "config", "show", "small", cwd=tmp_path)
    said = _run(command, "predict", "drawn.png", "--no-gate", "--format", "csv", cwd=tmp_path)
    assert said.splitlines()[0].startswith('"file","decision"')
    assert "drawn.png" in said
