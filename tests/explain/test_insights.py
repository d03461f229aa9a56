"""The stage beyond the maps, on a network that nobody trained and films that are noise."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cxresnet.core.config import DataConfig, ExplainConfig, ModelConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.data.dataset import FilmSet
from cxresnet.data.phantoms.film import draw_film
from cxresnet.data.phantoms.plan import plan_films
from cxresnet.data.phantoms.settings import PhantomSettings
from cxresnet.data.preprocess import build_preprocessing
from cxresnet.explain.calibrated import CalibratedNetwork
from cxresnet.explain.insights import (
    Insights,
    JudgedMaterial,
    compute_insights,
    read_insights,
    write_insights,
)
from cxresnet.explain.record import Attributions, ExplainedFilm, ExplanationIndex, MethodRecord
from cxresnet.explain.story_words import write_story
from cxresnet.metrics.classification import Judged
from cxresnet.model.checkpoint import CheckpointRecord
from cxresnet.model.presets import build_model
from cxresnet.predict import Predictor

SIDE = 64
CLASSES = ("normal", "pneumonia", "covid-19")
CONFIG = ExplainConfig(
    neighbours=2,
    concept_films=2,
    occlusion_window_share=0.25,
    occlusion_stride_share=0.25,
)


def _draw_film_set(seed: int) -> FilmSet:
    settings = PhantomSettings(films_per_class=2, side_px=SIDE, seed=seed)
    drawn = [draw_film(plan, settings) for plan in plan_films(settings)]
    count = len(drawn)
    manifest = pd.DataFrame(
        {
            "image_id": [f"{seed}-{row}" for row in range(count)],
            "patient_id": "",
            "group_id": [100 * seed + row for row in range(count)],
            "source": "phantoms",
            "class_name": [CLASSES[row % 3] for row in range(count)],
            "lung_mask_row": range(count),
            "lesion_mask_row": -1,
        }
    )
    return FilmSet(
        films=np.stack([film.pixels for film in drawn]),
        labels=np.arange(count) % 3,
        manifest=manifest,
        _lung_masks=np.stack([film.lung_mask for film in drawn]),
    )


@pytest.fixture(scope="module")
def material() -> JudgedMaterial:
    road = build_preprocessing(DataConfig(side_px=SIDE)).model_copy(
        update={"mean": 0.5, "sd": 0.25}
    )
    config = ModelConfig(preset="nano")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(config, class_count=3).eval()
        torch.nn.init.normal_(model.head.weight, std=1.0)
    record = CheckpointRecord(
        model=config, class_names=CLASSES, preprocessing=road.model_dump(mode="json")
    )
    test = _draw_film_set(1)
    probabilities = np.full((len(test), 3), 1 / 3)
    return JudgedMaterial(
        predictor=Predictor(model=model, record=record, preprocessing=road),
        network=CalibratedNetwork(model, temperature=2.0),
        judged=Judged(
            class_names=CLASSES,
            truth=test.labels,
            predicted=np.arange(len(test)) % 3,
            probabilities=probabilities,
        ),
        image_ids=tuple(test.manifest["image_id"]),
        group_ids=tuple(test.manifest["group_id"].astype(str)),
        test=test,
        training=_draw_film_set(2),
    )


@pytest.fixture(scope="module")
def attributions(material: JudgedMaterial) -> Attributions:
    films = tuple(
        ExplainedFilm(
            image_id=f"1-{row}",
            patient_id="",
            source="phantoms",
            true_class="normal",
            predicted_class="normal",
            probability=0.5,
            explained_class="covid-19",
            explained_probability=0.3,
            why="most confident right",
            lung_source="dataset",
        )
        for row in range(2)
    )
    masks = [material.test.lung_mask(row) for row in range(2)]
    return Attributions(
        index=ExplanationIndex(
            scale_limit=0.2,
            class_names=CLASSES,
            methods=(
                MethodRecord(name="grad_cam", title="Grad-CAM", reading="."),
                MethodRecord(name="occlusion", title="Occlusion", reading="."),
            ),
            films=films,
        ),
        films=np.asarray(material.test.films[:2]),
        lung_masks=np.stack([mask for mask in masks if mask is not None]),
        maps={
            "grad_cam": np.ones((2, SIDE, SIDE), np.float32),
            "occlusion": np.random.default_rng(0).normal(size=(2, SIDE, SIDE)).astype(np.float32),
        },
    )


@pytest.fixture(scope="module")
def insights(material: JudgedMaterial, attributions: Attributions) -> Insights:
    return compute_insights(material, attributions, config=CONFIG)


def test_the_told_probability_is_the_networks_own(
    material: JudgedMaterial, attributions: Attributions, insights: Insights
) -> None:
    images = material.predictor.to_tensor(attributions.films)
    with torch.inference_mode():
        expected = material.network(images).softmax(dim=1)[:, 2]
    for story, probability in zip(insights.index.stories, expected.tolist(), strict=True):
        assert story.class_name == "covid-19"
        assert story.probability == pytest.approx(probability, abs=1e-5)
        assert story.method == "occlusion"
        assert story.words == write_story(story)


def test_covering_a_third_is_what_the_network_says_of_that_film(
    material: JudgedMaterial, attributions: Attributions, insights: Insights
) -> None:
    covered = material.predictor.to_tensor(attributions.films[:1]).clone()
    covered[0, 0, torch.from_numpy(attributions.lung_masks[0] > 0)] = 0
    with torch.inference_mode():
        expected = float(material.network(covered).softmax(dim=1)[0, 2])
    values = {one.name: one.probability for one in insights.index.stories[0].coverings}
    assert values["both lungs"] == pytest.approx(expected, abs=1e-5)


def test_films_alike_come_from_training_and_are_shown(
    material: JudgedMaterial, insights: Insights
) -> None:
    known = list(material.training.manifest["image_id"])
    for row, film in enumerate(insights.index.neighbours):
        assert len(film.neighbours) == 2
        for place, one in enumerate(film.neighbours):
            number = known.index(one.image_id)
            np.testing.assert_array_equal(
                insights.neighbour_films[row, place], material.training.films[number]
            )
            assert one.class_name == CLASSES[int(material.training.labels[number])]


def test_every_class_has_its_zones(insights: Insights) -> None:
    assert insights.index.concept is not None
    assert [one.class_name for one in insights.index.concept.classes] == list(CLASSES)
    for one in insights.index.concept.classes:
        assert one.films + one.without_evidence + one.without_lungs == 2


def test_nobody_is_asked_where_nothing_is_wanted(
    material: JudgedMaterial, attributions: Attributions
) -> None:
    config = CONFIG.model_copy(update={"neighbours": 0, "concept_films": 0})
    insights = compute_insights(material, attributions, config=config)
    assert insights.index.concept is None
    assert insights.index.neighbours == ()


def test_the_network_is_left_as_it_was(material: JudgedMaterial, insights: Insights) -> None:
    model = material.predictor.model
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_what_is_written_comes_back(tmp_path: Path, insights: Insights) -> None:
    write_insights(tmp_path, insights)
    again = read_insights(tmp_path)
    assert again.index == insights.index
    np.testing.assert_array_equal(again.neighbour_films, insights.neighbour_films)
    assert (tmp_path / "concept.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["insights.json", "insights.npz"])
def test_a_torn_file_is_refused_with_the_way_out(
    tmp_path: Path, insights: Insights, name: str
) -> None:
    write_insights(tmp_path, insights)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(RunFolderError, match="cxresnet explain RUN"):
        read_insights(tmp_path)


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path, insights: Insights) -> None:
    write_insights(
        tmp_path, dataclasses.replace(insights, neighbour_films=insights.neighbour_films[:1])
    )
    with pytest.raises(RunFolderError, match="do not belong together"):
        read_insights(tmp_path)


def test_an_empty_folder_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no films in words"):
        read_insights(tmp_path)
