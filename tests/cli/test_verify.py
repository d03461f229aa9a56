"""`cxresnet verify`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cxresnet.cli.app import run_command_line
from cxresnet.core.config import DataConfig
from cxresnet.data.phantoms.plan import PhantomSettings
from cxresnet.data.prepare.prepare import run_prepare
from cxresnet.data.sources.phantom import PhantomSource

ANEW = "searching for near-duplicates again finds none in two splits"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset; only to be copied."""
    source = PhantomSource(PhantomSettings(images_per_class=10, side_px=48))
    config = DataConfig(side_px=32, common_side_px=48, workers=1)
    return run_prepare(source, config=config, out=tmp_path_factory.mktemp("prepared") / "d").path


@pytest.fixture
def dataset(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "d"))


@pytest.mark.slow
def test_copies_are_looked_for_anew_on_request(
    dataset: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["verify", str(dataset)]) == 0
    assert ANEW not in " ".join(capfd.readouterr().out.split())
    assert run_command_line(["verify", str(dataset), "--recheck-duplicates"]) == 0
    assert ANEW in " ".join(capfd.readouterr().out.split())


@pytest.mark.slow
def test_a_row_moved_by_hand_is_named(dataset: Path, capfd: pytest.CaptureFixture[str]) -> None:
    manifest = dataset / "manifest.csv"
    lines = manifest.read_text().splitlines()
    row = next(number for number, line in enumerate(lines) if ',"train",' in line)
    lines[row] = lines[row].replace(',"train",', ',"test",')
    manifest.write_text("\n".join(lines) + "\n")
    assert run_command_line(["verify", str(dataset)]) == 2
    shown = " ".join(capfd.readouterr().out.split())
    image_id = lines[row].split('"')[1]
    assert f"The row of the image '{image_id}' was altered" in shown
