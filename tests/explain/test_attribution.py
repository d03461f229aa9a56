"""The stage: from predictions to maps, on a network and films made by hand."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cxresnet.core.config import DataConfig, EvaluateConfig, ExplainConfig, ModelConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset import FilmSet
from cxresnet.data.preprocess import build_preprocessing
from cxresnet.evaluate.evaluation import evaluate_predictions
from cxresnet.evaluate.record import OperatingPoint
from cxresnet.explain.attribution import compute_attributions
from cxresnet.explain.record import Attributions
from cxresnet.explain.stage import run_explain
from cxresnet.explain.trust.marks import find_card, mark_distrusted, remove_card
from cxresnet.explain.trust.record import CARD_NAME, TrustCard
from cxresnet.explain.trust.stage import ensure_card
from cxresnet.model.checkpoint import CheckpointRecord
from cxresnet.model.presets import build_model
from cxresnet.predict import Predictions, Predictor

SIDE = 32
COUNT = 6


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    preprocessing = build_preprocessing(DataConfig(side_px=SIDE)).model_copy(
        update={"mean": 0.5, "sd": 0.25}
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(ModelConfig(preset="nano"), class_count=2).eval()
        # A head with weights, so that places matter.
        torch.nn.init.normal_(model.head.weight, std=2.0)
    record = CheckpointRecord(
        model=ModelConfig(preset="nano"),
        class_names=("normal", "covid-19"),
        preprocessing=preprocessing.model_dump(mode="json"),
    )
    return Predictor(model=model, record=record, preprocessing=preprocessing)


@pytest.fixture(scope="module")
def sealed_films() -> FilmSet:
    random = np.random.default_rng(4)
    masks = np.zeros((1, SIDE, SIDE), np.uint8)
    masks[0, :, : SIDE // 2] = 255
    manifest = pd.DataFrame(
        {
            "image_id": [f"film-{row}" for row in range(COUNT)],
            "patient_id": [f"p{row}" for row in range(COUNT)],
            "group_id": range(COUNT),
            "source": "s",
            "class_name": ["normal", "covid-19"] * (COUNT // 2),
            "lung_mask_row": [0] + [-1] * (COUNT - 1),
            "lesion_mask_row": -1,
        }
    )
    return FilmSet(
        films=random.integers(0, 256, (COUNT, SIDE, SIDE), np.uint8),
        labels=np.array([0, 1] * (COUNT // 2)),
        manifest=manifest,
        _lung_masks=masks,
    )


@pytest.fixture(scope="module")
def predictions(predictor: Predictor, sealed_films: FilmSet) -> Predictions:
    return predictor.predict_film_set(sealed_films)


CONFIG = ExplainConfig(
    occlusion_covers=("mean", "blur", "noise"),
    films_per_class=COUNT,
    occlusion_window_share=0.5,
    occlusion_stride_share=0.5,
)


def _explain(
    predictor: Predictor,
    predictions: Predictions,
    films: FilmSet,
    *,
    weights: tuple[float, float] = (1.0, 1.0),
) -> Attributions:
    evaluation = evaluate_predictions(
        predictions,
        config=EvaluateConfig(bootstrap_resamples=100),
        operating_point=OperatingPoint(
            rule="argmax", temperature=2.0, weights=weights, chosen_on="nothing", scores={}
        ),
    )
    return compute_attributions(predictor, predictions, films, evaluation=evaluation, config=CONFIG)


def _calibrate(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits / 2.0).softmax(dim=-1).numpy()


def test_every_film_stands_once_with_its_own_picture_and_probability(
    predictor: Predictor, predictions: Predictions, sealed_films: FilmSet
) -> None:
    found = _explain(predictor, predictions, sealed_films)
    assert sorted(film.image_id for film in found.index.films) == sorted(predictions.image_ids)
    for row, film in enumerate(found.index.films):
        place = predictions.image_ids.index(film.image_id)
        np.testing.assert_array_equal(found.films[row], sealed_films.films[place])
        assert film.probability == pytest.approx(_calibrate(predictions.logits)[place].max())
        assert film.why.endswith("right") == (film.true_class == film.predicted_class)


def test_the_maps_explain_the_class_that_the_network_says(
    predictor: Predictor, predictions: Predictions, sealed_films: FilmSet
) -> None:
    found = _explain(predictor, predictions, sealed_films)
    film = found.index.films[0]
    covered = found.films[:1].copy()
    # Half the film is one patch here; 0.5 is the mean grey, so 127.5 is what covers.
    image = predictor.to_tensor(covered)
    image[..., : SIDE // 2, : SIDE // 2] = 0
    with torch.no_grad():
        left = _calibrate(predictor.model(image).numpy())[0]
    lost = film.probability - left[found.index.class_names.index(film.predicted_class)]
    assert found.maps["occlusion"][0, 0, 0] == pytest.approx(float(lost), abs=1e-5)


def test_the_class_that_is_decided_for_is_explained(
    predictor: Predictor, predictions: Predictions, sealed_films: FilmSet
) -> None:
    found = _explain(predictor, predictions, sealed_films, weights=(1e-6, 1.0))
    assert {film.predicted_class for film in found.index.films} == {"covid-19"}


def test_the_network_is_left_in_its_mode(
    predictor: Predictor, predictions: Predictions, sealed_films: FilmSet
) -> None:
    _explain(predictor, predictions, sealed_films)
    assert not any(module.training for module in predictor.model.modules())
    assert all(parameter.grad is None for parameter in predictor.model.parameters())


def test_only_a_film_with_a_lung_mask_has_a_share_in_the_lungs(
    predictor: Predictor, predictions: Predictions, sealed_films: FilmSet
) -> None:
    found = _explain(predictor, predictions, sealed_films)
    for row, film in enumerate(found.index.films):
        if film.image_id == "film-0":
            assert film.lung_area_share == 0.5
            assert set(film.lung_shares) == set(CONFIG.methods)
            assert found.lung_masks[row].any()
        else:
            assert film.lung_area_share is None
            assert film.lung_shares == {}
            assert not found.lung_masks[row].any()


def test_the_scale_holds_every_value_of_the_first_method(
    predictor: Predictor, predictions: Predictions, sealed_films: FilmSet
) -> None:
    found = _explain(predictor, predictions, sealed_films)
    largest = np.abs(found.maps[CONFIG.methods[0]]).max()
    assert 0 < largest <= found.index.scale_limit


def test_predictions_of_another_network_are_refused(
    predictor: Predictor, predictions: Predictions, sealed_films: FilmSet
) -> None:
    other = dataclasses.replace(predictions, logits=predictions.logits[:, ::-1] + 0)
    with pytest.raises(RunFolderError, match="not those of the network"):
        _explain(predictor, other, sealed_films)


def test_predictions_of_other_films_are_refused(
    predictor: Predictor, predictions: Predictions, sealed_films: FilmSet
) -> None:
    image_ids = tuple(f"other-{name}" for name in predictions.image_ids)
    other = dataclasses.replace(predictions, image_ids=image_ids)
    with pytest.raises(RunFolderError, match="'other-film-"):
        _explain(predictor, other, sealed_films)


def _card(
    folder: Path, predictor: Predictor, predictions: Predictions, films: FilmSet, *, seed: int = 0
) -> TrustCard:
    evaluation = evaluate_predictions(
        predictions,
        config=EvaluateConfig(bootstrap_resamples=100),
        operating_point=OperatingPoint(
            rule="argmax", temperature=2.0, weights=(1.0, 1.0), chosen_on="nothing", scores={}
        ),
    )
    config = ExplainConfig(methods=("grad_cam",), trust_films=6, seed=seed)
    return ensure_card(folder, predictor, predictions, films, evaluation=evaluation, config=config)


def test_the_card_is_kept_while_its_content_is_the_same(
    tmp_path: Path, predictor: Predictor, predictions: Predictions, sealed_films: FilmSet
) -> None:
    first = _card(tmp_path, predictor, predictions, sealed_films)
    written = (tmp_path / CARD_NAME).stat().st_mtime_ns
    assert _card(tmp_path, predictor, predictions, sealed_films) == first
    assert (tmp_path / CARD_NAME).stat().st_mtime_ns == written
    assert _card(tmp_path, predictor, predictions, sealed_films, seed=1) != first
    assert (tmp_path / CARD_NAME).stat().st_mtime_ns > written
    assert first.films == COUNT
    assert not any(module.training for module in predictor.model.modules())


def test_a_method_that_failed_is_marked_and_the_mark_is_taken_away_with_the_card(
    tmp_path: Path, predictor: Predictor, predictions: Predictions, sealed_films: FilmSet
) -> None:
    card = _card(tmp_path, predictor, predictions, sealed_films)
    # An untrained network: nothing can be trusted.
    found = mark_distrusted(_explain(predictor, predictions, sealed_films), card)
    marks = {method.name: method.distrusted for method in found.index.methods}
    assert marks == {name: name == "grad_cam" for name in marks}
    assert not any(method.distrusted for method in mark_distrusted(found, None).index.methods)
    remove_card(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_a_card_of_the_very_network_is_found(
    tmp_path: Path, predictor: Predictor, predictions: Predictions, sealed_films: FilmSet
) -> None:
    assert find_card(tmp_path, predictor) is None
    card = _card(tmp_path, predictor, predictions, sealed_films)
    assert find_card(tmp_path, predictor) == card
    other = copy.deepcopy(predictor.model)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert find_card(tmp_path, dataclasses.replace(predictor, model=other)) is None


def test_a_card_of_other_films_is_refused(
    tmp_path: Path, predictor: Predictor, predictions: Predictions, sealed_films: FilmSet
) -> None:
    image_ids = tuple(f"other-{name}" for name in predictions.image_ids)
    other = dataclasses.replace(predictions, image_ids=image_ids)
    with pytest.raises(RunFolderError, match="evaluate again"):
        _card(tmp_path, predictor, other, sealed_films)
    assert list(tmp_path.iterdir()) == []


def test_before_the_test_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cxresnet evaluate"):
        run_explain(RunFolder(tmp_path), config=CONFIG)
