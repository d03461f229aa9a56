"""What is left without the lungs: painting, the share above chance, and planted markers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cxresnet.audit.context import CannotBeTestedError
from cxresnet.audit.experiments.painting import (
    choose_border,
    fill_rows,
    find_common_chest,
    gather_lung_masks,
    keep_border,
    paint_lungs_out,
)
from cxresnet.audit.experiments.small_network import choose_small_config, reduce_images
from cxresnet.audit.questions import masked_lungs
from cxresnet.audit.questions.masked_lungs import (
    BORDER,
    WHOLE,
    WITHOUT_LUNGS,
    Remains,
    answer_masked_lungs,
    build_share_above_chance,
    build_statistics,
    grade_remains,
)
from cxresnet.data.phantoms.plan import PhantomSettings
from cxresnet.data.phantoms.shortcuts import draw_shortcut
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import Statistic, compute_value
from drawn_images import (
    CLASS_NAMES,
    UnaskedModel,
    build_context,
    build_set,
    draw_phantom_sets,
    split_in_three,
)

SIDE_PX = 32


def build_masks(count: int, *, first_row: int = 10, last_row: int = 22) -> np.ndarray:
    """Two lungs: rows 10 to 21, columns 9 to 13 and 18 to 22 of 32."""
    masks = np.zeros((count, SIDE_PX, SIDE_PX), dtype=bool)
    masks[:, first_row:last_row, 9:14] = True
    masks[:, first_row:last_row, 18:23] = True
    return masks


# Painting.


def test_between_the_lungs_is_painted_too_and_a_margin_around_them() -> None:
    images = np.full((1, SIDE_PX, SIDE_PX), 200, dtype=np.uint8)
    masks = build_masks(1)

    painted, where = paint_lungs_out(images, masks, chest=find_common_chest(masks), grey=7)

    # A twentieth of 32 px is 2 px.
    assert (painted[0, 8:24, 7:25] == 7).all()
    assert int((painted == 7).sum()) == 16 * 18 == int(where.sum())
    assert (images == 200).all()


def test_the_outline_of_the_lungs_is_not_seen_whatever_their_size() -> None:
    large, small = build_masks(60), build_masks(60, first_row=14)
    masks = np.concatenate([large, small])
    images = np.full(masks.shape, 200, dtype=np.uint8)

    painted, _ = paint_lungs_out(images, masks, chest=find_common_chest(masks), grey=7)

    assert (painted == painted[0]).all()


def test_lungs_beyond_the_common_shape_are_painted_as_well() -> None:
    masks = build_masks(100)
    masks[0, 26:30, 9:14] = True
    chest = find_common_chest(masks)
    images = np.full(masks.shape, 200, dtype=np.uint8)

    painted, _ = paint_lungs_out(images, masks, chest=chest, grey=7)

    assert not chest[28, 10]
    assert (painted[masks] == 7).all()
    assert painted[1, 28, 10] == 200


def test_an_image_whose_lungs_were_not_found_is_painted_like_the_others() -> None:
    masks = build_masks(3)
    masks[2] = False
    images = np.full(masks.shape, 200, dtype=np.uint8)

    painted, _ = paint_lungs_out(images, masks, chest=find_common_chest(masks), grey=7)

    assert (painted[2] == painted[0]).all()


def test_rows_are_filled_between_left_and_right_alone() -> None:
    mask = np.zeros((1, 3, 6), dtype=bool)
    mask[0, 1, [1, 4]] = True

    assert fill_rows(mask)[0].astype(int).tolist() == [[0] * 6, [0, 1, 1, 1, 1, 0], [0] * 6]


def test_the_border_is_an_eighth_wide_and_shows_no_lung() -> None:
    masks = build_masks(40)
    masks[:, 10:22, 0:5] = True  # an image that is cut close

    border = choose_border(masks)

    assert border[:, 28:].all()
    assert not border[4:28, 4:28].any()
    assert not border[masks[0]].any()
    assert border[0:8, 0:4].all()


@pytest.mark.parametrize("side_px", [64, 96, 128])
def test_the_marker_of_the_phantoms_is_seen_on_the_border(side_px: int) -> None:
    plain = np.full((224, 224), 0.3, dtype=np.float32)
    pair = np.stack([plain, draw_shortcut(plain, "marker")])
    images = reduce_images((pair * 255).astype(np.uint8), side_px)
    nothing = np.zeros((1, side_px, side_px), dtype=bool)

    kept = keep_border(images, choose_border(nothing), grey=76)

    difference = np.abs(kept[1].astype(int) - kept[0]).sum()
    assert difference > 0.9 * np.abs(images[1].astype(int) - images[0]).sum()


def test_masks_come_from_the_dataset_and_the_finder_runs_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    class Finder:
        def find_all(self, images: np.ndarray) -> list[Any]:
            asked.append(len(images))
            found = np.zeros(images.shape[1:], dtype=np.uint8)
            found[1, 1] = 255
            return [type("Found", (), {"mask": found})] * len(images)

    monkeypatch.setattr("cxresnet.audit.experiments.painting.load_lung_finder", Finder)
    lungs = build_masks(3).astype(np.uint8) * 255
    lungs[1] = 0
    images = build_set(lungs, np.zeros(3, int), [0, 1, 2], lungs=lungs)

    masks = gather_lung_masks(images, SIDE_PX)

    assert asked == [1]
    assert (masks[0] == (lungs[0] > 0)).all()
    assert masks[1].sum() == 1


# The share above chance.


def _build_constant(name: str, value: float, images: int = 4) -> Statistic:
    return Statistic(
        name=name,
        compute=lambda weights: np.full(len(weights), value),
        parts=(np.ones(images, dtype=bool),),
        undefined="",
    )


@pytest.mark.parametrize(
    ("altered", "whole", "share"),
    [(0.7, 0.9, 0.5), (0.9, 0.9, 1.0), (0.5, 0.8, 0.0), (0.4, 0.9, -0.25), (0.9, 0.51, None)],
)
def test_the_share_above_chance_is_what_it_is_by_hand(
    altered: float, whole: float, share: float | None
) -> None:
    found = build_share_above_chance(
        "share", _build_constant("a", altered), _build_constant("w", whole)
    )
    assert compute_value(found) == (None if share is None else pytest.approx(share))


def test_the_interval_of_the_share_is_that_of_the_ratio_on_the_same_resamples() -> None:
    generator = np.random.default_rng(3)
    truth = np.arange(240) % 3
    signal = np.eye(3)[truth]
    noise = generator.normal(0, 0.8, (240, 3))
    scores = {WHOLE: signal + noise, WITHOUT_LUNGS: signal + noise, BORDER: noise}
    tables = {name: np.exp(one) / np.exp(one).sum(axis=1)[:, None] for name, one in scores.items()}

    estimates = compute_estimates(
        build_statistics(truth, tables, class_names=CLASS_NAMES),
        groups=[str(number // 2) for number in range(240)],
        resamples=200,
        confidence=0.95,
        generator=generator,
    )

    same, none = estimates["share", WITHOUT_LUNGS], estimates["share", BORDER]
    assert same.value == pytest.approx(1)
    assert same.low is None  # a ratio to itself does not vary, though both AUROCs do
    assert none.low is not None
    assert none.low < 0 < none.high < 0.5
    assert {name[1] for name in estimates if name[0] == "border"} == set(CLASS_NAMES)


def _build_estimate(low: float, high: float) -> Estimate:
    return Estimate(value=(low + high) / 2, low=low, high=high, n=90, groups=60)


@pytest.mark.parametrize(
    ("border", "lungs", "class_low", "verdict"),
    [
        ((-0.1, 0.2), (0.0, 0.4), 0.45, "green"),
        ((-0.1, 0.35), (0.0, 0.4), 0.45, "amber"),
        ((-0.1, 0.2), (0.3, 0.6), 0.45, "amber"),
        ((0.31, 0.5), (0.0, 0.4), 0.45, "red"),
        ((-0.1, 0.2), (0.51, 0.9), 0.45, "red"),
        ((-0.1, 0.2), (0.0, 0.4), 0.66, "red"),
    ],
)
def test_the_lights(
    border: tuple[float, float], lungs: tuple[float, float], class_low: float, verdict: str
) -> None:
    estimates = {
        ("share", BORDER): _build_estimate(*border),
        ("share", WITHOUT_LUNGS): _build_estimate(*lungs),
    }
    best = ("covid-19", _build_estimate(class_low, 0.99))
    assert grade_remains(Remains(estimates, estimates, best)) == verdict


# The whole question.


class _Lines:
    """Stands for a small network: a logistic regression of the pixels."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self._fitted = LogisticRegression(C=1e-2, max_iter=200)
        self._fitted.fit(self._flatten(images), labels)

    def _flatten(self, images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1) / 64.0 - 1.5

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self._fitted.predict_proba(self._flatten(images))


@pytest.fixture
def _train_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        masked_lungs,
        "train_small_network",
        lambda context, name, learned, **_: _Lines(learned.images, learned.labels),
    )
    monkeypatch.setattr(
        masked_lungs, "predict_small", lambda network, images: network.predict(images)
    )


def _draw_sets(*, in_lungs: float, in_corner: float, count: int = 300) -> Any:
    generator = np.random.default_rng(5)
    labels = generator.integers(0, 3, count)
    masks = build_masks(count)
    images = generator.normal(90, 20, masks.shape)
    for image, label in zip(images, labels, strict=True):
        image[11 + 3 * label : 14 + 3 * label, 9:14] += in_lungs
        image[0:4, 4 * label : 4 * label + 4] += in_corner
    return split_in_three(
        images.clip(0, 255).astype(np.uint8),
        labels,
        np.arange(count),
        lungs=masks.astype(np.uint8) * 255,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("in_lungs", "in_corner", "verdict"), [(25.0, 0.0, "green"), (25.0, 25.0, "red")]
)
@pytest.mark.usefixtures("_train_lines")
def test_what_lies_in_the_lungs_is_green_and_what_lies_in_the_corner_red(
    in_lungs: float, in_corner: float, verdict: str, tmp_path: Path
) -> None:
    context = build_context(
        _draw_sets(in_lungs=in_lungs, in_corner=in_corner),
        tmp_path,
        audit__bootstrap_resamples=200,
    )

    answer = answer_masked_lungs(context)

    assert answer.verdict == verdict
    assert [name for name, _, _ in answer.pictures] == ["masked_lungs-views.png"]
    # The networks are scored on what they did not learn from, the forest on all: cross-validated.
    *of_networks, of_forest = answer.measures
    assert all(measure.n == 120 for measure in of_networks)
    assert of_forest.n > 120
    assert "heart" in answer.sentence


@pytest.mark.slow
@pytest.mark.usefixtures("_train_lines")
def test_a_shortcut_that_never_fails_is_red_though_nothing_varies(tmp_path: Path) -> None:
    # Every AUROC is 1 in each resample, and so is every share of one in another.
    sets = _draw_sets(in_lungs=0.0, in_corner=160.0, count=120)
    answer = answer_masked_lungs(build_context(sets, tmp_path, audit__bootstrap_resamples=100))

    assert answer.verdict == "red"
    *_, of_network, of_forest = answer.measures
    assert (of_network.value, of_forest.value) == (1, 1)
    assert of_network.low is not None
    assert of_forest.low is not None
    assert 0.55 < of_network.low < of_forest.low < 1


@pytest.mark.slow
@pytest.mark.usefixtures("_train_lines")
def test_networks_that_learn_nothing_answer_nothing(tmp_path: Path) -> None:
    context = build_context(
        _draw_sets(in_lungs=0, in_corner=0), tmp_path, audit__bootstrap_resamples=100
    )
    with pytest.raises(CannotBeTestedError, match="did not learn the classes from whole images"):
        answer_masked_lungs(context)


@pytest.mark.usefixtures("_train_lines")
def test_without_lungs_nothing_can_be_painted_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        masked_lungs,
        "gather_lung_masks",
        lambda images, side: np.zeros((len(images), side, side), dtype=bool),
    )
    context = build_context(_draw_sets(in_lungs=25, in_corner=0), tmp_path)
    with pytest.raises(CannotBeTestedError, match="found on 0 of 180 training images"):
        answer_masked_lungs(context)


def test_small_networks_are_trained_as_the_run_but_shorter_and_with_their_border(
    tmp_path: Path,
) -> None:
    context = build_context(
        _draw_sets(in_lungs=25, in_corner=0),
        tmp_path,
        model__preset="base",
        train__batch_size=128,
        train__learning_rate=0.004,
        train__weight_decay=0.2,
        train__mixup=0.4,
        train__augment={"border_erase_share": 0.1, "contrast": 0.3},
    )

    config = choose_small_config(context, images=6000, purpose="test")
    few = choose_small_config(context, images=80, purpose="test")
    foreign = UnaskedModel(predictor=None)
    others = build_context(_draw_sets(in_lungs=0, in_corner=0), tmp_path, model=foreign)

    assert (config.model.preset, config.train.weight_decay) == ("base", 0.2)
    assert (config.train.epochs, config.train.monitor) == (12, "last")
    assert (config.train.mixup, config.train.ema_decay) == (0, 0)
    assert config.train.batch_size == 32
    assert config.train.learning_rate == pytest.approx(0.002)
    assert config.train.augment.border_erase_share == 0
    assert config.train.augment.contrast == 0.3
    assert (few.train.epochs, few.train.batch_size) == (48, 10)
    assert choose_small_config(others, images=6000, purpose="test").model.preset == "small"


@pytest.mark.slow
def test_a_marker_in_phantoms_is_red_and_an_interrupted_audit_does_not_train_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = draw_phantom_sets(
        PhantomSettings(
            images_per_class=60, side_px=96, max_images_per_patient=1, shortcut="marker"
        )
    )
    context = build_context(
        sets, tmp_path, audit__small_epochs=3, audit__small_side_px=32, train__warmup_epochs=0
    )

    answer = answer_masked_lungs(context)

    assert answer.verdict == "red"
    *_, of_network, of_forest = answer.measures
    assert of_network.name == "AUROC of covid-19, border alone"
    assert of_forest.name == "AUROC of covid-19, random forest on the border alone"
    assert min(of_network.value or 0.0, of_forest.value or 0.0) >= 0.95
    kept = sorted(path.name for path in (tmp_path / "small").glob("*/train/*") if path.is_dir())
    assert kept == ["checkpoint"] * 3

    monkeypatch.setattr("cxresnet.audit.experiments.small_network.train_on", lambda *_, **__: 1 / 0)
    assert answer_masked_lungs(context).measures == answer.measures
