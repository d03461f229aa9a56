"""What the page is given beside the maps: the view, the training images, the scorecard."""

from __future__ import annotations

import base64
import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import cxresnet
from cxresnet.audit.scorecard import Scorecard, write_scorecard
from cxresnet.core.finding import Finding
from cxresnet.core.run_folder import RunFolder
from cxresnet.explain.neighbours import Gallery
from cxresnet.serve.description import describe_model, draw_example, list_examples, read_scorecard
from cxresnet.serve.engine import build_config
from cxresnet.serve.explaining import VIEW_SIDE_PX, Explainer, draw_view
from cxresnet.serve.settings import ServeSettings


def _encode(levels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "PNG")
    return stream.getvalue()


def _draw_halves(height: int, width: int) -> NDArray[np.uint8]:
    """Bright at the left, dark at the right."""
    levels = np.full((height, width), 60, np.uint8)
    levels[:, : width // 2] = 200
    return levels


@pytest.mark.parametrize(("height", "width"), [(300, 300), (200, 400), (2600, 1300)])
def test_the_view_lies_behind_the_map_and_keeps_its_proportions(
    model: cxresnet.Model, height: int, width: int
) -> None:
    view, aspect = draw_view(model, _encode(_draw_halves(height, width)))
    assert view.shape == (VIEW_SIDE_PX, VIEW_SIDE_PX)
    assert aspect == pytest.approx(width / height)  # the bundled network squashes
    assert view[:, :300].min() > 250
    assert view[:, -300:].max() < 5


def test_a_network_that_crops_has_a_view_that_is_cropped(model: cxresnet.Model) -> None:
    preprocessing = model.predictor.preprocessing.model_copy(update={"resize_mode": "crop"})
    predictor = dataclasses.replace(model.predictor, preprocessing=preprocessing)
    levels = _draw_halves(200, 400)
    levels[:, 100:300] = _draw_halves(200, 200).T
    view, aspect = draw_view(dataclasses.replace(model, predictor=predictor), _encode(levels))
    assert aspect == 1
    assert view[:300, 20:-20].min() > 250
    assert view[-300:, 20:-20].max() < 5


@pytest.mark.slow
def test_the_view_is_turned_back_as_the_image_is() -> None:
    model = cxresnet.load(fix=True)
    upright = draw_example(list_examples()[0])
    turned = np.rot90(np.asarray(Image.open(io.BytesIO(upright))))
    ours, _ = draw_view(model, _encode(np.ascontiguousarray(turned)))
    expected, _ = draw_view(model, upright)
    assert np.abs(ours.astype(int) - expected).mean() < 2


@pytest.mark.slow
def test_the_nearest_training_images_are_shown(model: cxresnet.Model, kit: Any) -> None:
    contents = [kit.build_image(seed) for seed in range(4)]
    images = np.stack([model.predictor.prepare(one) for one in contents])
    features = model.predictor.compute_features(images)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    gallery = Gallery(
        images=images,
        features=features,
        image_ids=tuple("abcd"),
        class_names=("normal", "normal", "pneumonia", "normal"),
        sources=("",) * 4,
        group_ids=np.array(["1", "2", "3", "4"]),
        similarity_threshold=0.5,
    )
    config = build_config(["grad_cam"])
    answer = Explainer(model, gallery).describe(
        model.explain(contents[2], "grad_cam"),
        contents[2],
        config=config,
        with_cards=False,
        request_id="x",
    )
    found = answer.card.neighbours
    assert found is not None
    assert (found.neighbours[0].image_id, found.neighbours[0].class_name) == ("c", "pneumonia")
    assert len(answer.neighbour_pngs) == len(found.neighbours) == config.neighbours
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer.neighbour_pngs[0]))))
    assert np.array_equal(shown, images[2])
    assert (answer.card_html, answer.card_png) == (None, None)


def test_the_scorecard_of_an_audit_is_read_where_there_is_one(
    model: cxresnet.Model, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path)
    assert read_scorecard(run) is None
    (tmp_path / "audit").mkdir()
    finding = Finding(question="q", title="Lungs?", verdict="red", sentence="No.")
    scorecard = Scorecard(
        model="m",
        dataset="d",
        dataset_hash="h",
        images=3,
        patients=3,
        verdict="red",
        headline="H.",
        reason="R.",
        findings=(finding,),
        seed=0,
        versions={},
    )
    path = write_scorecard(tmp_path / "audit", scorecard)
    found = read_scorecard(run)
    assert found is not None
    assert (found.verdict, found.headline, found.findings[0].title) == ("red", "H. R.", "Lungs?")
    described = describe_model(dataclasses.replace(model, run=run), ServeSettings())
    assert described.scorecard == found
    assert described.model_card == ""
    for damaged in ("", "[]", '{"verdict": 1}', "{"):
        path.write_text(damaged)
        assert read_scorecard(run) is None


@pytest.mark.slow
def test_every_class_has_an_example_that_passes_the_gate() -> None:
    assert set(list_examples()) == {"covid-19", "normal", "pneumonia"}
    found = cxresnet.load().predict([draw_example(name) for name in list_examples()])
    assert [one.gate for one in found] == ["passed"] * 3
