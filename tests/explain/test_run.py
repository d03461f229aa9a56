"""The explain stage on a run folder: what it needs, what it writes, and what it removes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxresnet.core.config import ExplainConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.data.dataset.dataset_record import ACCESS_LOG_NAME
from cxresnet.data.dataset.held_out import read_access_log
from cxresnet.explain.cache import MapCache
from cxresnet.explain.context import CACHE_FOLDER, read_decisions
from cxresnet.explain.record import read_attributions
from cxresnet.explain.run import (
    REQUESTED_FOLDER,
    _remove_earlier_files,
    run_explain,
    run_explain_requested,
)
from cxresnet.explain.sanity.record import CARD_NAME, read_sanity_card
from cxresnet.explain.summary import read_explanation_summary
from cxresnet.predict.decision import apply_operating_point


def test_before_the_evaluation_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cxresnet evaluate"):
        run_explain(RunFolder(tmp_path), config=ExplainConfig())
    with pytest.raises(RunFolderError, match="cxresnet evaluate"):
        run_explain_requested(RunFolder(tmp_path), config=ExplainConfig())


def test_files_of_earlier_versions_are_removed_and_no_others(tmp_path: Path) -> None:
    old = ("film-01-a-right.png", "trust_card.json", "trust_card.md", "insights.json",
           "insights.npz", "concept.png")  # fmt: skip
    kept = ("image-01-a-correct.png", "sanity_card.json", "summary.npz", "index.json", "notes.md")
    for name in (*old, *kept):
        (tmp_path / name).touch()
    _remove_earlier_files(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
    _remove_earlier_files(tmp_path / "not there")


def _read_manifest(run: RunFolder) -> pd.DataFrame:
    return open_dataset(run.read_dataset_path()).manifest.set_index("image_id")


@pytest.mark.slow
def test_maps_and_figures_are_of_the_test_split_and_at_the_operating_point(
    unkind_maps: RunFolder, unkind_config: ExplainConfig
) -> None:
    images = read_attributions(unkind_maps.explain).index.images
    assert len(list(unkind_maps.explain.glob("image-*.png"))) == len(images) > 4
    manifest = _read_manifest(unkind_maps)
    assert {manifest.loc[one.image_id, "split"] for one in images} == {"test"}
    predictions, evaluation = read_decisions(unkind_maps)
    evaluated = apply_operating_point(predictions, evaluation.operating_point)
    for one in images:
        row = predictions.image_ids.index(one.image_id)
        assert one.true_class == manifest.loc[one.image_id, "class_name"]
        assert one.predicted_class == predictions.class_names[evaluated.predicted[row]]
        assert one.probability == pytest.approx(
            evaluated.probabilities[row, evaluated.predicted[row]], abs=1e-4
        )
    assert {one.true_class for one in images} == set(predictions.class_names)
    assert "most confident correct" in {one.selection_reason for one in images}
    for class_name in predictions.class_names:
        most_confident = [
            manifest.loc[one.image_id, "patient_id"]
            for one in images
            if (one.true_class, one.selection_reason) == (class_name, "most confident correct")
        ]
        assert len(most_confident) == len(set(most_confident)) <= unkind_config.images_per_class


@pytest.mark.slow
def test_the_summary_is_of_the_same_images_and_its_neighbours_of_the_training_split(
    unkind_maps: RunFolder, unkind_config: ExplainConfig
) -> None:
    images = read_attributions(unkind_maps.explain).index.images
    index = read_explanation_summary(unkind_maps.explain).index
    manifest = _read_manifest(unkind_maps)
    assert [one.image_id for one in index.text_summaries] == [one.image_id for one in images]
    for image, summary, neighbours in zip(
        images, index.text_summaries, index.neighbours, strict=True
    ):
        # Both are calibrated: map and sentences are about the same probability.
        assert summary.probability == pytest.approx(image.explained_probability, abs=1e-4)
        assert neighbours.image_id == image.image_id
        assert len(neighbours.neighbours) == unkind_config.neighbours
        found = [one.image_id for one in neighbours.neighbours]
        assert set(manifest.loc[found, "split"]) == {"train"}
        assert list(manifest.loc[found, "class_name"]) == [
            one.class_name for one in neighbours.neighbours
        ]
        assert list(manifest.loc[found, "source"]) == [one.source for one in neighbours.neighbours]
    assert index.zone_means is not None
    assert tuple(one.class_name for one in index.zone_means.classes) == (
        read_decisions(unkind_maps)[0].class_names
    )


@pytest.mark.slow
def test_the_access_to_the_test_set_is_logged_with_reason_and_config(
    unkind_maps: RunFolder, unkind_config: ExplainConfig
) -> None:
    *_, last = read_access_log(unkind_maps.read_dataset_path() / ACCESS_LOG_NAME)
    assert (last.reason, last.run) == ("explain", "run")
    assert last.config == unkind_config.compute_hash()


@pytest.fixture
def run_with_maps(unkind_maps: RunFolder, unkind_run: RunFolder) -> RunFolder:
    """The irregular run with its maps; a test may write into it."""
    shutil.copytree(unkind_maps.explain, unkind_run.explain)
    return unkind_run


@pytest.mark.slow
def test_a_second_time_every_map_comes_from_the_cache(
    run_with_maps: RunFolder, unkind_config: ExplainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read_attributions(run_with_maps.explain)
    cached = list((run_with_maps.explain / CACHE_FOLDER).glob("*.npz"))
    assert len(cached) == len(first.index.methods) * len(first.index.images)

    def fail(*_: object) -> None:
        pytest.fail("a map was computed again")

    monkeypatch.setattr(MapCache, "store", fail)
    result = run_explain(run_with_maps, config=unkind_config, outputs="maps")
    assert result.path == run_with_maps.explain
    assert [path.is_file() for path in result.figures] == [True] * len(first.index.images)
    again = read_attributions(run_with_maps.explain)
    for name in first.maps:
        np.testing.assert_array_equal(again.maps[name], first.maps[name])


def _read_marks(run: RunFolder) -> dict[str, bool]:
    index = read_attributions(run.explain).index
    return {method.name: method.failed_sanity for method in index.methods}


NO_MARKS = {"occlusion": False, "grad_cam": False}
# The network is untrained, so every method fails.
ALL_MARKS = {"occlusion": True, "grad_cam": True}


@pytest.mark.slow
def test_the_card_alone_makes_no_maps(unkind_card: Path, unkind_config: ExplainConfig) -> None:
    card = read_sanity_card(unkind_card)
    assert card.images == unkind_config.sanity_check_images
    assert [method.name for method in card.methods] == ["occlusion", "grad_cam"]
    assert {path.name for path in unkind_card.iterdir()} == {
        CARD_NAME, "sanity_card.md", "checksums.json",
    }  # fmt: skip


@pytest.mark.slow
def test_a_new_card_marks_the_existing_maps(
    run_with_maps: RunFolder, unkind_config: ExplainConfig, unkind_card: Path
) -> None:
    assert _read_marks(run_with_maps) == NO_MARKS
    before = read_attributions(run_with_maps.explain)
    # A card of the same content is kept, so that it is not computed again.
    shutil.copy(unkind_card / CARD_NAME, run_with_maps.explain)
    result = run_explain(run_with_maps, config=unkind_config, outputs="sanity")
    assert result.card == read_sanity_card(unkind_card)
    assert _read_marks(run_with_maps) == ALL_MARKS
    assert len(result.figures) == len(before.index.images)
    after = read_attributions(run_with_maps.explain)
    np.testing.assert_array_equal(after.maps["occlusion"], before.maps["occlusion"])


@pytest.mark.slow
def test_maps_with_a_card_are_marked(
    run_with_maps: RunFolder, unkind_config: ExplainConfig, unkind_card: Path
) -> None:
    shutil.copy(unkind_card / CARD_NAME, run_with_maps.explain)
    result = run_explain(run_with_maps, config=unkind_config)
    assert result.card == read_sanity_card(unkind_card)
    assert _read_marks(run_with_maps) == ALL_MARKS


@pytest.mark.slow
def test_maps_that_are_made_without_a_card_remove_an_existing_one(
    run_with_maps: RunFolder, unkind_config: ExplainConfig, unkind_card: Path
) -> None:
    for path in unkind_card.iterdir():
        shutil.copy(path, run_with_maps.explain)
    result = run_explain(run_with_maps, config=unkind_config, outputs="maps")
    assert result.card is None
    assert not (run_with_maps.explain / CARD_NAME).exists()
    assert _read_marks(run_with_maps) == NO_MARKS


@pytest.mark.slow
def test_requested_images_and_class_are_written_beside_those_of_the_report(
    unkind_run: RunFolder, unkind_config: ExplainConfig
) -> None:
    predictions, _ = read_decisions(unkind_run)
    wanted = [predictions.image_ids[row] for row in (9, 2)]
    result = run_explain_requested(
        unkind_run,
        config=unkind_config,
        image_ids=[wanted[0], Path(wanted[1]).name],
        class_name="covid",
    )
    assert result.path == unkind_run.explain / REQUESTED_FOLDER
    assert len(result.figures) == 2
    found = read_attributions(result.path).index.images
    assert [one.image_id for one in found] == wanted
    assert {(one.explained_class, one.selection_reason) for one in found} == {
        ("covid-19", "requested")
    }
    assert {path.name for path in unkind_run.explain.iterdir()} == {REQUESTED_FOLDER, CACHE_FOLDER}


@pytest.mark.slow
def test_without_images_those_of_the_report_are_explained_for_another_class_and_marked(
    run_with_maps: RunFolder, unkind_config: ExplainConfig, unkind_card: Path
) -> None:
    shutil.copy(unkind_card / CARD_NAME, run_with_maps.explain)
    shown = read_attributions(run_with_maps.explain).index
    run_explain_requested(run_with_maps, config=unkind_config, class_name="pneumonia")
    found = read_attributions(run_with_maps.explain / REQUESTED_FOLDER).index
    assert [one.image_id for one in found.images] == [one.image_id for one in shown.images]
    assert {one.explained_class for one in found.images} == {"pneumonia"}
    # The card of the run marks the methods here, too.
    assert [method.failed_sanity for method in found.methods] == [True, True]
    assert read_attributions(run_with_maps.explain).index == shown
