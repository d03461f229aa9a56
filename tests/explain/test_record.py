"""What is written is what is read, and what is torn is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from cxresnet.core.checksums import record_checksums
from cxresnet.core.errors import RunFolderError
from cxresnet.explain.record import (
    Attributions,
    ExplainedImage,
    ExplanationIndex,
    MethodRecord,
    read_attributions,
    write_attributions,
)


def build_attributions(count: int = 2) -> Attributions:
    image = ExplainedImage(
        image_id="a/<b>.png",
        patient_id="",
        source="here",
        true_class="normal",
        predicted_class="covid-19",
        probability=0.75,
        explained_class="covid-19",
        explained_probability=0.75,
        selection_reason="most confident incorrect",
        lung_area_share=0.4,
        lung_shares={"occlusion": 0.6},
    )
    index = ExplanationIndex(
        scale_limit=0.2,
        class_names=("normal", "covid-19"),
        methods=(MethodRecord(name="occlusion", title="Occlusion", interpretation="It says so."),),
        images=(image,) * count,
    )
    return Attributions(
        index=index,
        images=np.arange(count * 64, dtype=np.uint8).reshape(count, 8, 8),
        lung_masks=np.zeros((count, 8, 8), np.uint8),
        maps={"occlusion": np.linspace(-1, 1, count * 64, dtype=np.float32).reshape(count, 8, 8)},
    )


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    written = build_attributions()
    write_attributions(tmp_path, written)
    read = read_attributions(tmp_path)
    assert read.index == written.index
    np.testing.assert_array_equal(read.images, written.images)
    np.testing.assert_array_equal(read.lung_masks, written.lung_masks)
    np.testing.assert_array_equal(read.maps["occlusion"], written.maps["occlusion"])


def test_what_comes_apart_is_written_too(tmp_path: Path) -> None:
    written = build_attributions()
    baseline_ranges = {"occlusion": np.full(written.images.shape, 0.1, np.float32)}
    write_attributions(tmp_path, dataclasses.replace(written, baseline_ranges=baseline_ranges))
    read = read_attributions(tmp_path)
    assert set(read.baseline_ranges) == {"occlusion"}
    np.testing.assert_array_equal(read.baseline_ranges["occlusion"], baseline_ranges["occlusion"])


def test_the_index_says_what_it_must_not_be_used_for(tmp_path: Path) -> None:
    write_attributions(tmp_path, build_attributions())
    index = json.loads((tmp_path / "index.json").read_text())
    assert "not a medical device" in index["disclaimer"]
    assert index["unit"] == "change of probability"


def test_where_there_is_nothing_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="Make it with 'cxresnet explain RUN'"):
        read_attributions(tmp_path)


@pytest.mark.parametrize("name", ["attributions.npz", "index.json"])
def test_a_torn_file_is_refused(tmp_path: Path, name: str) -> None:
    write_attributions(tmp_path, build_attributions())
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    record_checksums(tmp_path / name)
    with pytest.raises(RunFolderError, match=r"Make (it|them again) with 'cxresnet explain RUN'"):
        read_attributions(tmp_path)


def test_an_index_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    write_attributions(tmp_path, build_attributions())
    index = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(index | {"format": 2}))
    record_checksums(tmp_path / "index.json")
    with pytest.raises(RunFolderError, match=r"another version .format 2; this one reads 3"):
        read_attributions(tmp_path)


def test_an_index_of_other_maps_is_refused(tmp_path: Path) -> None:
    write_attributions(tmp_path, build_attributions(count=3))
    index = (tmp_path / "index.json").read_bytes()
    write_attributions(tmp_path, build_attributions(count=2))
    (tmp_path / "index.json").write_bytes(index)
    record_checksums(tmp_path / "index.json")
    with pytest.raises(RunFolderError, match="do not belong together"):
        read_attributions(tmp_path)


def test_maps_that_hold_python_objects_are_refused_unread(tmp_path: Path) -> None:
    write_attributions(tmp_path, build_attributions())
    with (tmp_path / "attributions.npz").open("wb") as stream:
        np.savez(stream, images=np.array([object()]), lung_masks=0, map_occlusion=0)
    record_checksums(tmp_path / "attributions.npz")
    with pytest.raises(RunFolderError, match=r"Make (it|them again) with 'cxresnet explain RUN'"):
        read_attributions(tmp_path)
