"""The explanation summary, on a network that nobody trained and drawn images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cxresnet.core.config import DataConfig, EvaluateConfig, ExplainConfig, ModelConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.data.phantoms.draw import draw_phantom
from cxresnet.data.phantoms.plan import PhantomSettings, plan_phantoms
from cxresnet.data.prepare.preprocessing import build_preprocessing
from cxresnet.evaluate.from_predictions import evaluate_predictions
from cxresnet.explain import context as context_module
from cxresnet.explain import text_summary as text_summary_module
from cxresnet.explain.context import ExplainContext
from cxresnet.explain.lungs import ImageLungs, split_lungs
from cxresnet.explain.record import Attributions, ExplainedImage, ExplanationIndex, MethodRecord
from cxresnet.explain.summary import (
    ExplanationSummary,
    compute_explanation_summary,
    read_explanation_summary,
    write_explanation_summary,
)
from cxresnet.explain.text_summary import ImageTextSummary, write_sentences
from cxresnet.model.checkpoint import CheckpointRecord
from cxresnet.model.presets import build_model
from cxresnet.predict import Predictions, Predictor
from cxresnet.predict.decision import OperatingPoint

SIDE = 64
CLASSES = ("normal", "pneumonia", "covid-19")
CONFIG = ExplainConfig(
    neighbours=2,
    zone_mean_images=2,
    occlusion_window_share=0.25,
    occlusion_stride_share=0.25,
)


def _draw_image_set(seed: int) -> ImageSet:
    settings = PhantomSettings(images_per_class=2, side_px=SIDE, seed=seed)
    drawn = [draw_phantom(plan, settings) for plan in plan_phantoms(settings)]
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
    return ImageSet(
        images=np.stack([image.pixels for image in drawn]),
        labels=np.arange(count) % 3,
        manifest=manifest,
        _lung_masks=np.stack([image.lung_mask for image in drawn]),
    )


@pytest.fixture(scope="module")
def context() -> ExplainContext:
    preprocessing = build_preprocessing(DataConfig(side_px=SIDE)).model_copy(
        update={"mean": 0.5, "sd": 0.25}
    )
    config = ModelConfig(preset="nano")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(config, class_count=3).eval()
        torch.nn.init.normal_(model.head.weight, std=1.0)
    record = CheckpointRecord(
        model=config, class_names=CLASSES, preprocessing=preprocessing.model_dump(mode="json")
    )
    test = _draw_image_set(1)
    count = len(test)
    predictions = Predictions(
        image_ids=tuple(test.manifest["image_id"]),
        patient_ids=("",) * count,
        group_ids=tuple(test.manifest["group_id"].astype(str)),
        sources=("phantoms",) * count,
        truth=test.labels,
        # Two images are predicted to be of each class.
        logits=np.eye(3, dtype=np.float32)[np.arange(count) % 3],
        class_names=CLASSES,
    )
    point = OperatingPoint(
        rule="argmax", temperature=2.0, weights=(1.0,) * 3, chosen_on="nothing", scores={}
    )
    return ExplainContext(
        predictor=Predictor(model=model, record=record, preprocessing=preprocessing),
        predictions=predictions,
        evaluation=evaluate_predictions(
            predictions, config=EvaluateConfig(bootstrap_resamples=100), operating_point=point
        ),
        test=test,
        training=_draw_image_set(2),
        config=CONFIG,
    )


@pytest.fixture(scope="module")
def attributions(context: ExplainContext) -> Attributions:
    images = tuple(
        ExplainedImage(
            image_id=f"1-{row}",
            patient_id="",
            source="phantoms",
            true_class="normal",
            predicted_class="normal",
            probability=0.5,
            explained_class="covid-19",
            explained_probability=0.3,
            selection_reason="most confident correct",
            lung_source="dataset",
        )
        for row in range(2)
    )
    masks = [context.test.lung_mask(row) for row in range(2)]
    return Attributions(
        index=ExplanationIndex(
            scale_limit=0.2,
            class_names=CLASSES,
            methods=(
                MethodRecord(name="grad_cam", title="Grad-CAM", interpretation="."),
                MethodRecord(name="occlusion", title="Occlusion", interpretation="."),
            ),
            images=images,
        ),
        images=np.asarray(context.test.images[:2]),
        lung_masks=np.stack([mask for mask in masks if mask is not None]),
        maps={
            "grad_cam": np.ones((2, SIDE, SIDE), np.float32),
            "occlusion": np.random.default_rng(0).normal(size=(2, SIDE, SIDE)).astype(np.float32),
        },
    )


@pytest.fixture(scope="module")
def explanation_summary(context: ExplainContext, attributions: Attributions) -> ExplanationSummary:
    return compute_explanation_summary(context, attributions)


@pytest.mark.slow
def test_the_told_probability_is_the_networks_own(
    context: ExplainContext, attributions: Attributions, explanation_summary: ExplanationSummary
) -> None:
    images = context.predictor.to_tensor(attributions.images)
    with torch.inference_mode():
        expected = context.network(images).softmax(dim=1)[:, 2]
    for summary, probability in zip(
        explanation_summary.index.text_summaries, expected.tolist(), strict=True
    ):
        assert summary.class_name == "covid-19"
        assert summary.probability == pytest.approx(probability, abs=1e-5)
        assert summary.method == "occlusion"
        assert summary.sentences == write_sentences(summary)


def test_covering_a_third_is_what_the_network_says_of_that_image(
    context: ExplainContext, attributions: Attributions, explanation_summary: ExplanationSummary
) -> None:
    covered = context.predictor.to_tensor(attributions.images[:1]).clone()
    covered[0, 0, torch.from_numpy(attributions.lung_masks[0] > 0)] = 0
    with torch.inference_mode():
        expected = float(context.network(covered).softmax(dim=1)[0, 2])
    values = {
        one.name: one.probability for one in explanation_summary.index.text_summaries[0].occlusions
    }
    assert values["both lungs"] == pytest.approx(expected, abs=1e-5)


def test_images_alike_come_from_training_and_are_shown(
    context: ExplainContext, explanation_summary: ExplanationSummary
) -> None:
    known = list(context.training.manifest["image_id"])
    for row, image in enumerate(explanation_summary.index.neighbours):
        assert len(image.neighbours) == 2
        for place, one in enumerate(image.neighbours):
            number = known.index(one.image_id)
            np.testing.assert_array_equal(
                explanation_summary.neighbour_images[row, place], context.training.images[number]
            )
            assert one.class_name == CLASSES[int(context.training.labels[number])]


def test_every_class_has_its_zones(explanation_summary: ExplanationSummary) -> None:
    assert explanation_summary.index.zone_means is not None
    assert [one.class_name for one in explanation_summary.index.zone_means.classes] == list(CLASSES)
    for one in explanation_summary.index.zone_means.classes:
        assert one.images + one.without_evidence + one.without_lungs == 2


def test_what_the_config_does_not_ask_for_is_left_out(
    context: ExplainContext, attributions: Attributions
) -> None:
    config = CONFIG.model_copy(update={"neighbours": 0, "zone_mean_images": 0})
    explanation_summary = compute_explanation_summary(
        dataclasses.replace(context, config=config), attributions
    )
    assert explanation_summary.index.zone_means is None
    assert explanation_summary.index.neighbours == ()


def test_the_network_is_left_as_it_was(
    context: ExplainContext, explanation_summary: ExplanationSummary
) -> None:
    model = context.predictor.model
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.slow
def test_what_is_written_comes_back(
    tmp_path: Path, explanation_summary: ExplanationSummary
) -> None:
    write_explanation_summary(tmp_path, explanation_summary)
    again = read_explanation_summary(tmp_path)
    assert again.index == explanation_summary.index
    np.testing.assert_array_equal(again.neighbour_images, explanation_summary.neighbour_images)
    assert (tmp_path / "zone_means.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["summary.json", "summary.npz"])
def test_a_torn_file_is_refused_with_the_way_out(
    tmp_path: Path, explanation_summary: ExplanationSummary, name: str
) -> None:
    write_explanation_summary(tmp_path, explanation_summary)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(RunFolderError, match="cxresnet explain RUN"):
        read_explanation_summary(tmp_path)


@pytest.mark.slow
def test_files_that_do_not_belong_together_are_refused(
    tmp_path: Path, explanation_summary: ExplanationSummary
) -> None:
    write_explanation_summary(
        tmp_path,
        dataclasses.replace(
            explanation_summary, neighbour_images=explanation_summary.neighbour_images[:1]
        ),
    )
    with pytest.raises(RunFolderError, match="do not belong together"):
        read_explanation_summary(tmp_path)


def test_an_empty_folder_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"no .*summary\.json.*cxresnet explain RUN"):
        read_explanation_summary(tmp_path)


NOTHING = CONFIG.model_copy(update={"neighbours": 0, "zone_mean_images": 0})


def test_each_text_summary_is_of_its_own_map_and_its_own_lungs(
    context: ExplainContext, attributions: Attributions, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[ImageLungs, np.ndarray]] = []

    def note(
        _network: object, image: torch.Tensor, lungs: ImageLungs, *, attribution: np.ndarray,
        target: int, summary: ImageTextSummary,
    ) -> ImageTextSummary:  # fmt: skip
        assert torch.equal(image, inputs[len(given)])
        assert target == CLASSES.index("covid-19")
        given.append((lungs, attribution))
        return summary

    inputs = context.predictor.to_tensor(attributions.images)
    monkeypatch.setattr(text_summary_module, "compute_text_summary", note)
    monkeypatch.setattr(text_summary_module, "write_sentences", lambda _: ())
    compute_explanation_summary(dataclasses.replace(context, config=NOTHING), attributions)
    assert not np.array_equal(attributions.lung_masks[0], attributions.lung_masks[1])
    for row, (lungs, attribution) in enumerate(given):
        np.testing.assert_array_equal(attribution, attributions.maps["occlusion"][row])
        right, left = split_lungs(attributions.lung_masks[row])
        np.testing.assert_array_equal(lungs.right_lung, right)
        np.testing.assert_array_equal(lungs.left_lung, left)
    assert len(given) == 2


def test_training_images_of_the_same_patient_are_no_neighbours(
    context: ExplainContext, attributions: Attributions
) -> None:
    training = context.training.manifest
    groups = (str(training["group_id"].iloc[3]), *context.predictions.group_ids[1:])
    same = dataclasses.replace(
        context,
        predictions=dataclasses.replace(context.predictions, group_ids=groups),
        config=NOTHING.model_copy(update={"neighbours": len(training)}),
    )
    first, second = compute_explanation_summary(same, attributions).index.neighbours
    assert training["image_id"].iloc[3] not in {one.image_id for one in first.neighbours}
    assert len(first.neighbours) == first.compared == len(training) - 1
    assert len(second.neighbours) == len(training)


@pytest.mark.slow
def test_zone_means_are_of_the_chosen_images_and_of_each_class_in_turn(
    context: ExplainContext, attributions: Attributions, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained: list[tuple[int, int]] = []
    images = context.predictor.to_tensor(np.asarray(context.test.images))

    class Notes:
        title = "Notes"
        drawn_patch_px = None

        def attribute(
            self,
            _network: object,
            image: torch.Tensor,
            *,
            targets: torch.Tensor,
            lung_masks: torch.Tensor,
        ) -> torch.Tensor:
            assert lung_masks.shape == image[:, 0].shape
            (row,) = [row for row in range(len(images)) if torch.equal(images[row], image[0])]
            explained.append((row, int(targets[0])))
            return torch.zeros_like(image[:, 0])

    monkeypatch.setattr(context_module, "build_methods", lambda *_, **__: (Notes(),))
    # The test set is in another order than the predictions; the image IDs connect them.
    order = np.arange(len(images))[::-1]
    turned = ImageSet(
        images=context.test.images[order],
        labels=context.test.labels[order],
        manifest=context.test.manifest.iloc[order].reset_index(drop=True),
        _lung_masks=np.stack([context.test.lung_mask(row) for row in range(len(images))]),
    )
    config = NOTHING.model_copy(update={"zone_mean_images": 2})
    compute_explanation_summary(
        dataclasses.replace(context, test=turned, config=config), attributions
    )
    assert sorted(row for row, _ in explained) == list(range(6))
    assert [label for _, label in explained] == [0, 0, 1, 1, 2, 2]
    assert all(context.evaluated.predicted[row] == label for row, label in explained)
