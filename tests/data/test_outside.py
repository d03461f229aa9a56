"""Films from elsewhere, prepared to judge a network on that has never seen them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxresnet.audit.data_audit import run_data_audit
from cxresnet.cli.app import run_command_line
from cxresnet.core.config import DataConfig
from cxresnet.core.errors import ClassMapError, DatasetError, SealedTestError
from cxresnet.data.dataset import open_dataset
from cxresnet.data.manifest import read_manifest
from cxresnet.data.prepare import run_prepare
from cxresnet.data.sealed_test import Opener
from cxresnet.data.sources.open import SourceOptions, open_source
from cxresnet.data.verify import verify_dataset
from cxresnet.report.data_report import render_data_report

CONFIG = DataConfig(side_px=32, common_side_px=48, workers=1, outside=True)
OUTSIDE = SourceOptions(outside=True)


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    """Six films of one class, and of a second one in another folder."""
    for number in range(6):
        coarse = np.random.default_rng(number).integers(0, 256, (6, 6)).astype(np.uint8)
        film = Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)
        for folder in ("hospital/COVID", *(["both/COVID"] if number < 3 else ["both/Normal"])):
            place = tmp_path / folder / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            film.save(place)
    return tmp_path / "hospital"


def test_one_class_is_enough_and_all_films_are_sealed(hospital: Path, tmp_path: Path) -> None:
    out = tmp_path / "outside"
    result = run_prepare(open_source(str(hospital), OUTSIDE), config=CONFIG, out=out)
    assert result.record.class_names == ("covid-19",)
    assert read_manifest(out / "manifest.csv")["split"].tolist() == ["test"] * 6
    assert result.record.preprocessing.mean is None
    assert any("outside set" in notice for notice in result.notices)
    assert not verify_dataset(out).problems
    dataset = open_dataset(out)
    with pytest.raises(SealedTestError):
        dataset.select("test")
    opener = Opener(reason="judge a network", run="r", network="n", config="c")
    assert len(dataset.open_sealed_test(opener)) == 6


def test_nothing_can_be_trained_on_it(hospital: Path, tmp_path: Path) -> None:
    out = tmp_path / "outside"
    run_prepare(open_source(str(hospital), OUTSIDE), config=CONFIG, out=out)
    with pytest.raises(DatasetError, match="is an outside set"):
        open_dataset(out).select("train")


def test_without_it_one_class_is_refused_with_the_way_out(hospital: Path, tmp_path: Path) -> None:
    with pytest.raises(ClassMapError, match="--outside"):
        run_prepare(
            open_source(str(hospital)),
            config=CONFIG.model_copy(update={"outside": False}),
            out=tmp_path / "d",
        )


def test_its_data_are_asked_from_the_rows_alone_and_its_page_shows_no_film(
    hospital: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    run_prepare(open_source(str(hospital), OUTSIDE), config=CONFIG, out=one)
    run_prepare(open_source(str(hospital.with_name("both")), OUTSIDE), config=CONFIG, out=two)
    assert run_data_audit(one) == ()
    assert [finding.question for finding in run_data_audit(two)] == [
        "source_oracle",
        "file_header",
        "prepared_header",
    ]
    for path in (one, two):
        page = render_data_report(open_dataset(path))
        assert "this is an outside set" in page
        assert "<img" not in page
        assert (path / "test_openings.csv").read_text().count("\n") == 1


def test_several_sources_of_one_class_are_joined(hospital: Path, tmp_path: Path) -> None:
    source = open_source([str(hospital), str(hospital)], OUTSIDE)
    result = run_prepare(source, config=CONFIG, out=tmp_path / "d")
    assert result.record.films.kept == 12
    with pytest.raises(ClassMapError, match="one class only"):
        open_source([str(hospital), str(hospital)]).scan()


@pytest.mark.parametrize("setting", ["folds=3", "keep_given_split=true"])
def test_it_is_not_split_in_any_other_way(
    setting: str, hospital: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["prepare", str(hospital), "--out", str(tmp_path / "d"), "--outside"]
    assert run_command_line([*words, "--set", f"data.{setting}"]) == 2
    assert "outside puts all films into the test split" in " ".join(capfd.readouterr().err.split())


@pytest.mark.slow
def test_the_command_prepares_it(hospital: Path, tmp_path: Path) -> None:
    out = tmp_path / "d"
    assert run_command_line(["prepare", str(hospital), "--out", str(out), "--outside"]) == 0
    assert (out / "data_report.html").is_file()
