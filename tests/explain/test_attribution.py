"""The stage: from predictions to maps, on a network and images made by hand."""

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
from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.data.prepare.preprocessing import build_preprocessing
from cxresnet.evaluate.from_predictions import evaluate_predictions
from cxresnet.explain.attribution import compute_attributions
from cxresnet.explain.context import ExplainContext
from cxresnet.explain.record import Attributions
from cxresnet.explain.sanity.card import mark_failed_methods
from cxresnet.explain.sanity.record import CARD_NAME, SanityCard
from cxresnet.explain.sanity.run import ensure_card, find_card, remove_card
from cxresnet.model.checkpoint import CheckpointRecord
from cxresnet.model.presets import build_model
from cxresnet.predict import Predictions, Predictor
from cxresnet.predict.decision import OperatingPoint

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
def sealed_images() -> ImageSet:
    random = np.random.default_rng(4)
    masks = np.zeros((1, SIDE, SIDE), np.uint8)
    masks[0, :, : SIDE // 2] = 255
    manifest = pd.DataFrame(
        {
            "image_id": [f"image-{row}" for row in range(COUNT)],
            "patient_id": [f"p{row}" for row in range(COUNT)],
            "group_id": range(COUNT),
            "source": "s",
            "class_name": ["normal", "covid-19"] * (COUNT // 2),
            "lung_mask_row": [0] + [-1] * (COUNT - 1),
            "lesion_mask_row": -1,
        }
    )
    return ImageSet(
        images=random.integers(0, 256, (COUNT, SIDE, SIDE), np.uint8),
        labels=np.array([0, 1] * (COUNT // 2)),
        manifest=manifest,
        _lung_masks=masks,
    )


@pytest.fixture(scope="module")
def predictions(predictor: Predictor, sealed_images: ImageSet) -> Predictions:
    return predictor.predict_image_set(sealed_images)


CONFIG = ExplainConfig(
    occlusion_baselines=("mean", "blur", "noise"),
    images_per_class=COUNT,
    occlusion_window_share=0.5,
    occlusion_stride_share=0.5,
)


def _build_context(
    predictor: Predictor,
    predictions: Predictions,
    images: ImageSet,
    *,
    config: ExplainConfig = CONFIG,
    weights: tuple[float, float] = (1.0, 1.0),
) -> ExplainContext:
    evaluation = evaluate_predictions(
        predictions,
        config=EvaluateConfig(bootstrap_resamples=100),
        operating_point=OperatingPoint(
            rule="argmax", temperature=2.0, weights=weights, chosen_on="nothing", scores={}
        ),
    )
    return ExplainContext(
        predictor=predictor,
        predictions=predictions,
        evaluation=evaluation,
        test=images,
        training=images,
        config=config,
    )


def _explain(
    predictor: Predictor,
    predictions: Predictions,
    images: ImageSet,
    *,
    weights: tuple[float, float] = (1.0, 1.0),
) -> Attributions:
    return compute_attributions(_build_context(predictor, predictions, images, weights=weights))


@pytest.fixture(scope="module")
def explained(
    predictor: Predictor, predictions: Predictions, sealed_images: ImageSet
) -> Attributions:
    """The images as explained; only to be read."""
    return _explain(predictor, predictions, sealed_images)


def _calibrate(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits / 2.0).softmax(dim=-1).numpy()


@pytest.mark.slow
def test_every_image_stands_once_with_its_own_picture_and_probability(
    explained: Attributions, predictions: Predictions, sealed_images: ImageSet
) -> None:
    assert sorted(image.image_id for image in explained.index.images) == sorted(
        predictions.image_ids
    )
    for row, image in enumerate(explained.index.images):
        place = predictions.image_ids.index(image.image_id)
        np.testing.assert_array_equal(explained.images[row], sealed_images.images[place])
        assert image.probability == pytest.approx(_calibrate(predictions.logits)[place].max())
        assert image.selection_reason.endswith(" correct") == (
            image.true_class == image.predicted_class
        )


def test_the_maps_explain_the_class_that_the_network_says(
    explained: Attributions, predictor: Predictor
) -> None:
    image = explained.index.images[0]
    covered = explained.images[:1].copy()
    # Half the image is one patch here; 0.5 is the mean grey, so 127.5 is what covers.
    inputs = predictor.to_tensor(covered)
    inputs[..., : SIDE // 2, : SIDE // 2] = 0
    with torch.no_grad():
        left = _calibrate(predictor.model(inputs).numpy())[0]
    lost = image.probability - left[explained.index.class_names.index(image.predicted_class)]
    assert explained.maps["occlusion"][0, 0, 0] == pytest.approx(float(lost), abs=1e-5)


@pytest.mark.slow
def test_the_class_that_is_decided_for_is_explained(
    predictor: Predictor, predictions: Predictions, sealed_images: ImageSet
) -> None:
    found = _explain(predictor, predictions, sealed_images, weights=(1e-6, 1.0))
    assert {image.predicted_class for image in found.index.images} == {"covid-19"}


def test_the_network_is_left_in_its_mode(explained: Attributions, predictor: Predictor) -> None:
    assert not any(module.training for module in predictor.model.modules())
    assert all(parameter.grad is None for parameter in predictor.model.parameters())


def test_only_an_image_with_a_lung_mask_has_a_share_in_the_lungs(explained: Attributions) -> None:
    for row, image in enumerate(explained.index.images):
        if image.image_id == "image-0":
            assert image.lung_area_share == 0.5
            assert set(image.lung_shares) == set(CONFIG.methods)
            assert explained.lung_masks[row].any()
        else:
            assert image.lung_area_share is None
            assert image.lung_shares == {}
            assert not explained.lung_masks[row].any()


def test_the_scale_is_the_same_whatever_the_maps_hold(explained: Attributions) -> None:
    louder = dataclasses.replace(
        explained, maps={name: 9 * maps for name, maps in explained.maps.items()}
    )
    for one in (explained, louder):
        assert {one.get_scale_limit(method) for method in one.index.methods} == {0.5}


def test_predictions_of_another_network_are_refused(
    predictor: Predictor, predictions: Predictions, sealed_images: ImageSet
) -> None:
    other = dataclasses.replace(predictions, logits=predictions.logits[:, ::-1] + 0)
    with pytest.raises(RunFolderError, match="not those of the network"):
        _explain(predictor, other, sealed_images)


def test_predictions_of_other_images_are_refused(
    predictor: Predictor, predictions: Predictions, sealed_images: ImageSet
) -> None:
    image_ids = tuple(f"other-{name}" for name in predictions.image_ids)
    other = dataclasses.replace(predictions, image_ids=image_ids)
    with pytest.raises(RunFolderError, match="'other-image-"):
        _explain(predictor, other, sealed_images)


def _card(
    folder: Path, predictor: Predictor, predictions: Predictions, images: ImageSet, *, seed: int = 0
) -> SanityCard:
    config = ExplainConfig(methods=("grad_cam",), sanity_check_images=6, seed=seed)
    return ensure_card(_build_context(predictor, predictions, images, config=config), folder)


@pytest.mark.slow
def test_the_card_is_kept_while_its_content_is_the_same(
    tmp_path: Path, predictor: Predictor, predictions: Predictions, sealed_images: ImageSet
) -> None:
    first = _card(tmp_path, predictor, predictions, sealed_images)
    written = (tmp_path / CARD_NAME).stat().st_mtime_ns
    assert _card(tmp_path, predictor, predictions, sealed_images) == first
    assert (tmp_path / CARD_NAME).stat().st_mtime_ns == written
    assert _card(tmp_path, predictor, predictions, sealed_images, seed=1) != first
    assert (tmp_path / CARD_NAME).stat().st_mtime_ns > written
    assert first.images == COUNT
    assert not any(module.training for module in predictor.model.modules())


@pytest.mark.slow
def test_a_method_that_failed_is_marked_and_the_mark_is_taken_away_with_the_card(
    tmp_path: Path, predictor: Predictor, predictions: Predictions, sealed_images: ImageSet
) -> None:
    card = _card(tmp_path, predictor, predictions, sealed_images)
    # An untrained network: nothing can be trusted.
    found = mark_failed_methods(_explain(predictor, predictions, sealed_images), card)
    marks = {method.name: method.failed_sanity for method in found.index.methods}
    assert marks == {name: name == "grad_cam" for name in marks}
    assert not any(
        method.failed_sanity for method in mark_failed_methods(found, None).index.methods
    )
    remove_card(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checksums.json"]


@pytest.mark.slow
def test_only_a_card_of_the_very_network_is_found(
    tmp_path: Path, predictor: Predictor, predictions: Predictions, sealed_images: ImageSet
) -> None:
    assert find_card(tmp_path, predictor) is None
    card = _card(tmp_path, predictor, predictions, sealed_images)
    assert find_card(tmp_path, predictor) == card
    other = copy.deepcopy(predictor.model)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert find_card(tmp_path, dataclasses.replace(predictor, model=other)) is None


def test_a_card_of_other_images_is_refused(
    tmp_path: Path, predictor: Predictor, predictions: Predictions, sealed_images: ImageSet
) -> None:
    image_ids = tuple(f"other-{name}" for name in predictions.image_ids)
    other = dataclasses.replace(predictions, image_ids=image_ids)
    with pytest.raises(RunFolderError, match="evaluate again"):
        _card(tmp_path, predictor, other, sealed_images)
    assert list(tmp_path.iterdir()) == []
