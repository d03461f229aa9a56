"""Images from elsewhere, prepared to judge a network on that has never seen them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxresnet.cli.app import run_command_line
from cxresnet.core.config import DataConfig
from cxresnet.core.errors import ClassMapError, DatasetError, HeldOutTestError
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.data.dataset.held_out import AccessRequest
from cxresnet.data.dataset.verify import verify_dataset
from cxresnet.data.manifest import read_manifest
from cxresnet.data.prepare.prepare import run_prepare
from cxresnet.data.sources.open import SourceOptions, open_source
from cxresnet.report.report import render_data_report
from cxresnet.shortcuts.data_checks import run_data_checks

CONFIG = DataConfig(side_px=32, common_side_px=48, workers=1, external_test=True)
EXTERNAL_TEST = SourceOptions(external_test=True)


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    """Six images of one class, and of a second one in another folder."""
    for number in range(6):
        coarse = np.random.default_rng(number).integers(0, 256, (6, 6)).astype(np.uint8)
        image = Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)
        for folder in ("hospital/COVID", *(["both/COVID"] if number < 3 else ["both/Normal"])):
            place = tmp_path / folder / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            image.save(place)
    return tmp_path / "hospital"


@pytest.mark.slow
def test_one_class_is_enough_and_all_images_are_sealed(hospital: Path, tmp_path: Path) -> None:
    out = tmp_path / "external"
    result = run_prepare(open_source(str(hospital), EXTERNAL_TEST), config=CONFIG, out=out)
    assert result.record.class_names == ("covid-19",)
    assert read_manifest(out / "manifest.csv")["split"].tolist() == ["test"] * 6
    assert result.record.preprocessing.mean is None
    assert any("external test set" in warning for warning in result.warnings)
    assert not verify_dataset(out).problems
    dataset = open_dataset(out)
    with pytest.raises(HeldOutTestError):
        dataset.select("test")
    access_request = AccessRequest(reason="judge a network", run="r", network="n", config="c")
    assert len(dataset.open_held_out_test(access_request)) == 6


@pytest.mark.slow
def test_nothing_can_be_trained_on_it(hospital: Path, tmp_path: Path) -> None:
    out = tmp_path / "external"
    run_prepare(open_source(str(hospital), EXTERNAL_TEST), config=CONFIG, out=out)
    with pytest.raises(DatasetError, match="is an external test set"):
        open_dataset(out).select("train")


def test_without_it_one_class_is_refused_with_the_way_out(hospital: Path, tmp_path: Path) -> None:
    with pytest.raises(ClassMapError, match="--external-test"):
        run_prepare(
            open_source(str(hospital)),
            config=CONFIG.model_copy(update={"external_test": False}),
            out=tmp_path / "d",
        )


@pytest.mark.slow
@pytest.mark.usefixtures("few_trees")
def test_its_data_are_asked_from_the_rows_alone_and_its_page_shows_no_image(
    hospital: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    run_prepare(open_source(str(hospital), EXTERNAL_TEST), config=CONFIG, out=one)
    run_prepare(open_source(str(hospital.with_name("both")), EXTERNAL_TEST), config=CONFIG, out=two)
    assert run_data_checks(one) == ()
    assert [finding.question for finding in run_data_checks(two)] == [
        "source_confounding",
        "image_processing",
        "file_header",
        "prepared_header",
    ]
    for path in (one, two):
        page = render_data_report(open_dataset(path))
        assert "this is an external test set" in page
        assert "<img" not in page
        assert (path / "test_access_log.csv").read_text().count("\n") == 1


@pytest.mark.slow
def test_several_sources_of_one_class_are_joined(hospital: Path, tmp_path: Path) -> None:
    source = open_source([str(hospital), str(hospital)], EXTERNAL_TEST)
    result = run_prepare(source, config=CONFIG, out=tmp_path / "d")
    assert result.record.images.kept == 12
    with pytest.raises(ClassMapError, match="one class only"):
        open_source([str(hospital), str(hospital)]).scan()


@pytest.mark.parametrize("setting", ["folds=3", "keep_given_split=true"])
def test_it_is_not_split_in_any_other_way(
    setting: str, hospital: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["prepare", str(hospital), "--out", str(tmp_path / "d"), "--external-test"]
    assert run_command_line([*words, "--set", f"data.{setting}"]) == 2
    assert "external_test puts all images into the test set" in " ".join(
        capfd.readouterr().err.split()
    )


@pytest.mark.slow
@pytest.mark.usefixtures("few_trees")
def test_the_command_prepares_it(hospital: Path, tmp_path: Path) -> None:
    out = tmp_path / "d"
    assert run_command_line(["prepare", str(hospital), "--out", str(out), "--external-test"]) == 0
    assert (out / "data_report.html").is_file()
