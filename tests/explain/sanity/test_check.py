"""Thresholds: just on either side, and where nothing is known."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxresnet.core.config import ExplainConfig
from cxresnet.explain.methods.method import AbstractMethod, AttributionInputs, build_methods
from cxresnet.explain.sanity import above_chance, check, weight_randomization
from cxresnet.explain.sanity.card import CardContext, measure_card
from cxresnet.explain.sanity.check import (
    SanityCheck,
    SanityExperiment,
    SanityImages,
    SimilarityRetained,
    compute_maps,
    get_high,
    get_low,
    list_checks,
    register_check,
)
from cxresnet.explain.sanity.deletion_insertion import grade_deletion_insertion
from cxresnet.explain.sanity.localization import grade_lungs, grade_pointing
from cxresnet.explain.sanity.map_similarity import MEASURES
from cxresnet.explain.sanity.record import TestResult
from cxresnet.explain.sanity.repeatability import grade_repeatability
from cxresnet.explain.sanity.weight_randomization import (
    estimate_similarity_retained,
    grade_weight_randomization,
)
from cxresnet.metrics.estimate import Estimate

NEAR = np.array([-0.01, 0.0, 0.01])
TIGHT = np.array([-0.001, 0.0, 0.001])
"""The half-width of the interval is 0.0025: small enough to stand close to a threshold."""

NOTHING = np.full(3, np.nan)


def _keep(value: float, **others: float) -> SimilarityRetained:
    return {measure: others.get(measure, value) + NEAR for measure in MEASURES}


def test_every_rule_has_its_reason_and_source() -> None:
    checks = list_checks()
    assert all(one.passes and one.reason and one.source for one in checks)
    assert [one.test for one in checks] == [
        "weight_randomization",
        "deletion",
        "insertion",
        "repeatability",
        "lungs",
        "pointing",
        "baselines",
    ]


def test_a_check_that_is_registered_is_run_last(
    monkeypatch: pytest.MonkeyPatch, sample: SanityImages
) -> None:
    known = list_checks()
    monkeypatch.setattr(check, "_CHECKS", dict(check._CHECKS))
    toy = SanityCheck(test="toy", title="Toy", question="?", passes="Always.", reason="", source="")

    @register_check(toy)
    def check_toy(experiment: SanityExperiment, method: AbstractMethod) -> TestResult:
        sentence = f"{method.title} on {len(experiment.sample)} images."
        return TestResult(test="toy", verdict="pass", sentence=sentence)

    assert list_checks() == (*known, toy)
    experiment = SanityExperiment(Indifferent().eval(), (), sample, class_names=("a", "b"), seed=0)
    assert check_toy(experiment, QuestionMap()).sentence == "Question on 3 images."


def test_what_several_checks_share_is_measured_once(sample: SanityImages) -> None:
    experiment = SanityExperiment(
        Indifferent().eval(), (QuestionMap(),), sample, class_names=("a", "b"), seed=0
    )
    calls = []

    def measure(given: SanityExperiment) -> int:
        calls.append(given)
        return len(given.maps["question"])

    assert [experiment.once(measure), experiment.once(measure)] == [3, 3]
    assert calls == [experiment]


def test_maps_that_lose_their_similarity_pass() -> None:
    steps = [("head", _keep(0.9)), ("stage", _keep(0.1)), ("stem", _keep(0.0))]
    assert (
        grade_weight_randomization([steps[0], ("upper", _keep(0.2)), *steps[1:]]).verdict == "pass"
    )


def test_one_measure_at_one_late_step_is_enough_to_fail() -> None:
    steps = [("head", _keep(0.1)), ("stage", _keep(0.1, ssim=0.8)), ("stem", _keep(0.0))]
    result = grade_weight_randomization([steps[0], ("upper", _keep(0.1)), *steps[1:]])
    assert result.verdict == "fail"
    assert "SSIM" in result.measures[0].name
    assert "stage" in result.measures[0].name
    assert "0.80" in result.sentence


def test_what_is_kept_while_the_lower_half_is_whole_decides_nothing() -> None:
    steps = [("head", _keep(0.9)), ("upper", _keep(0.1)), ("lower", _keep(0)), ("stem", _keep(0))]
    assert grade_weight_randomization(steps).verdict == "pass"


def test_the_interval_must_lie_on_the_right_side_not_the_mean_alone() -> None:
    wide = {measure: np.array([-0.4, 0.4, 0.9]) for measure in MEASURES}
    assert grade_weight_randomization([("head", wide)]).verdict == "fail"
    assert grade_repeatability({m: np.array([0.2, 0.9, 0.9]) for m in MEASURES}, None).verdict == (
        "fail"
    )


def test_steady_maps_pass_and_another_seed_can_fail_them() -> None:
    assert grade_repeatability(_keep(0.9), None).verdict == "pass"
    result = grade_repeatability(_keep(0.9), _keep(0.3))
    assert result.verdict == "fail"
    assert "seed" in result.measures[0].name


def test_both_rivals_must_be_beaten() -> None:
    better, worse = 0.2 + NEAR, -0.1 + NEAR
    assert (
        grade_deletion_insertion("deletion", {"random": better, "edges": better}).verdict == "pass"
    )
    result = grade_deletion_insertion("deletion", {"random": better, "edges": worse})
    assert result.verdict == "fail"
    assert "edges" in result.sentence


def test_empty_maps_fail_because_nothing_can_be_measured() -> None:
    result = grade_weight_randomization([("head", dict.fromkeys(MEASURES, NOTHING))])
    assert result.verdict == "fail"
    assert "Nothing could be measured" in result.sentence


def test_the_lungs_must_hold_more_than_their_share() -> None:
    areas = np.full(3, 0.3)
    more = grade_lungs(0.6 + NEAR, areas, targets=[0, 1, 1], class_names=("a", "b"))
    less = grade_lungs(0.2 + NEAR, areas, targets=[0, 1, 1], class_names=("a", "b"))
    assert (more.verdict, less.verdict) == ("pass", "fail")
    assert "60% of the weight" in more.sentence


def test_a_class_that_looks_elsewhere_fails_although_the_mean_is_fine() -> None:
    shares, areas = np.array([0.7, 0.72, 0.7, 0.71, 0.1]), np.full(5, 0.3)
    result = grade_lungs(shares, areas, targets=[0, 0, 0, 0, 1], class_names=("a", "b"))
    assert result.verdict == "fail"
    assert result.measures[0].name == "b"


def test_without_masks_there_is_no_verdict() -> None:
    assert grade_lungs(NOTHING, NOTHING, targets=[0] * 3, class_names=("a",)).verdict == (
        "not tested"
    )
    assert grade_pointing(NOTHING, NOTHING).verdict == "not tested"


@pytest.mark.parametrize(
    ("hits", "verdict"),
    [([1.0] * 10, "pass"), ([1.0] * 4 + [0.0] * 6, "fail"), ([0.0] * 10, "fail")],
)
def test_the_lesion_must_be_hit_more_often_than_not(hits: list[float], verdict: str) -> None:
    assert grade_pointing(np.array(hits), np.full(10, 0.05)).verdict == verdict


def test_hits_that_chance_would_give_do_not_pass() -> None:
    assert grade_pointing(np.array([1.0] * 6 + [0.0] * 4), np.full(10, 0.5)).verdict == "fail"


@pytest.mark.parametrize(
    ("similarity", "weights", "repeatability"), [(0.49, "pass", "fail"), (0.51, "fail", "pass")]
)
def test_the_threshold_of_similarity_is_one_half(
    similarity: float, weights: str, repeatability: str
) -> None:
    kept = dict.fromkeys(MEASURES, similarity + TIGHT)
    assert grade_weight_randomization([("head", kept)]).verdict == weights
    assert grade_repeatability(kept, None).verdict == repeatability


@pytest.mark.parametrize("measure", MEASURES)
def test_each_measure_alone_can_fail_the_maps(measure: str) -> None:
    assert grade_weight_randomization([("head", _keep(0.1, **{measure: 0.51}))]).verdict == "fail"
    assert grade_repeatability(_keep(0.9, **{measure: 0.49}), None).verdict == "fail"
    seeds = _keep(0.9, **{measure: 0.49})
    assert grade_repeatability(_keep(0.9), seeds).verdict == "fail"


@pytest.mark.parametrize(
    ("bad_step", "verdict"), [(0, "pass"), (1, "pass"), (2, "fail"), (3, "fail"), (5, "fail")]
)
def test_every_step_from_half_of_the_network_on_counts(bad_step: int, verdict: str) -> None:
    steps = [(f"part {step}", _keep(0.9 if step == bad_step else 0.1)) for step in range(6)]
    assert grade_weight_randomization(steps).verdict == verdict


def test_a_mean_above_zero_does_not_pass_where_the_interval_reaches_below() -> None:
    uncertain = np.array([-0.1, 0.2, 0.4])
    sure = 0.2 + TIGHT
    for rival in ("random", "edges"):
        advantages = {"random": sure, "edges": sure} | {rival: uncertain}
        assert grade_deletion_insertion("insertion", advantages).verdict == "fail"
    areas = np.full(3, 0.3)
    assert grade_lungs(areas + uncertain, areas, targets=[0] * 3, class_names=("a",)).verdict == (
        "fail"
    )
    hits = np.array([1.0] * 6 + [0.0] * 4)
    assert grade_pointing(hits, np.full(10, 0.55)).verdict == "fail"


def test_a_small_class_that_looks_elsewhere_fails_although_the_interval_is_fine() -> None:
    areas = np.full(31, 0.3)
    shares = np.append(0.7 + np.linspace(-0.01, 0.01, 30), 0.1)
    targets = [0] * 30 + [1]
    result = grade_lungs(shares, areas, targets=targets, class_names=("a", "b"))
    low = next(one.estimate.low for one in result.measures if one.name == "all images")
    assert low is not None
    assert low > 0
    assert (result.verdict, result.measures[0].name) == ("fail", "b")
    # Exactly the share of the lungs is no more than it.
    shares[-1] = areas[-1]
    assert grade_lungs(shares, areas, targets=targets, class_names=("a", "b")).verdict == "fail"
    # Of an image without known lungs nothing is said.
    shares[-1] = areas[-1] = np.nan
    result = grade_lungs(shares, areas, targets=targets, class_names=("a", "b"))
    assert result.verdict == "pass"
    assert {one.name for one in result.measures} == {"all images", "a"}


@pytest.mark.parametrize(("hits", "verdict"), [(49, "fail"), (50, "pass"), (51, "pass")])
def test_half_of_the_images_must_be_hit(hits: int, verdict: str) -> None:
    values = np.array([1.0] * hits + [0.0] * (100 - hits))
    assert grade_pointing(values, np.full(100, 0.05)).verdict == verdict


def test_the_chance_of_a_hit_is_that_of_all_images() -> None:
    chance = np.array([0.0, 0.6, 0.6, np.nan])
    result = grade_pointing(np.array([1.0, 1.0, 0.0, np.nan]), chance)
    assert result.measures[0].chance == pytest.approx(0.4)


def test_one_image_is_not_enough_to_pass() -> None:
    assert (
        grade_weight_randomization([("head", {m: np.array([0.1]) for m in MEASURES})]).verdict
        == "fail"
    )
    assert grade_repeatability({m: np.array([0.9]) for m in MEASURES}, None).verdict == "fail"
    one = np.array([0.3])
    assert grade_deletion_insertion("deletion", {"random": one, "edges": one}).verdict == "fail"
    assert grade_lungs(one + 0.4, one, targets=[0], class_names=("a",)).verdict == "fail"
    assert grade_pointing(np.array([1.0]), np.array([0.1])).verdict == "fail"


def test_two_images_with_the_same_value_are_enough() -> None:
    assert (
        grade_weight_randomization([("head", {m: np.full(2, 0.1) for m in MEASURES})]).verdict
        == "pass"
    )
    assert grade_repeatability({m: np.full(2, 0.9) for m in MEASURES}, None).verdict == "pass"
    assert (
        grade_weight_randomization([("head", {m: np.full(2, 0.9) for m in MEASURES})]).verdict
        == "fail"
    )
    assert grade_repeatability({m: np.full(2, 0.1) for m in MEASURES}, None).verdict == "fail"


def test_every_step_is_estimated_measure_by_measure() -> None:
    values = dict(zip(MEASURES, (0.2, 0.4, 0.6), strict=True))
    (step,) = estimate_similarity_retained([("head", _keep(0.0, **values))])
    assert step.part == "head"
    assert {name: one.value for name, one in step.similarity_retained.items()} == pytest.approx(
        values
    )


class Indifferent(nn.Module):
    """Says the same of every image."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), 2) + torch.tensor([0.0, 1.0])


@dataclass(frozen=True)
class QuestionMap(AbstractMethod):
    """Target, share of the lungs and brightness of the corner, pixel by pixel."""

    name: ClassVar[str] = "question"
    title: ClassVar[str] = "Question"

    @property
    def interpretation(self) -> str:
        return "What was asked."

    def _compute(self, inputs: AttributionInputs) -> Tensor:
        assert inputs.lung_masks is not None
        values = torch.zeros_like(inputs.images[:, 0])
        values[:, 0, 0] = inputs.targets
        values[:, 0, 1] = inputs.lung_masks.float().mean(dim=(1, 2))
        values[:, 0, 2] = inputs.images[:, 0, 0, 0]
        return values


@dataclass(frozen=True)
class SummedMap(QuestionMap):
    """The same, drawn as sums over patches of 3 px."""

    @property
    def drawn_patch_px(self) -> int:
        return 3


def test_each_image_is_explained_with_its_own_class_and_lungs(sample: SanityImages) -> None:
    network = Indifferent().eval()
    maps = compute_maps(network, QuestionMap(), sample)
    assert maps[:, 0, 0].tolist() == list(sample.targets)
    assert maps[:, 0, 1].tolist() == [0.5, 0.5, 0.0]
    np.testing.assert_allclose(maps[:, 0, 2], sample.images[:, 0, 0, 0])
    others = compute_maps(network, QuestionMap(), sample, images=sample.images + 1)
    np.testing.assert_allclose(others[:, 0, 2], sample.images[:, 0, 0, 0] + 1)


def test_maps_are_compared_as_they_are_drawn(sample: SanityImages) -> None:
    network = Indifferent().eval()
    plain, drawn = (compute_maps(network, one, sample) for one in (QuestionMap(), SummedMap()))
    np.testing.assert_allclose(drawn[:, 1, 1], plain[:, :3, :3].sum(axis=(1, 2)), atol=1e-5)


@pytest.mark.parametrize(
    ("value", "low", "high", "images", "ends"),
    [
        (0.3, 0.1, 0.5, 4, (0.1, 0.5)),
        (0.3, None, None, 2, (0.3, 0.3)),
        (0.3, None, None, 1, (-1, 1)),
        (None, None, None, 3, (-1, 1)),
    ],
)
def test_without_an_interval_only_images_that_agree_count(
    value: float | None, low: float | None, high: float | None, images: int, ends: tuple[float, ...]
) -> None:
    found = Estimate(value=value, low=low, high=high, n=images, groups=images)
    assert (get_low(found), get_high(found)) == ends


@pytest.mark.parametrize("count", [1, 12, 21, 22, 36, 40])
def test_both_looks_together_see_every_image_once(count: int) -> None:
    looks = check.list_looks(count)
    assert sorted(np.concatenate(looks).tolist()) == list(range(count))
    assert len(looks) == (2 if count >= 22 else 1)
    if len(looks) == 2:
        assert len(looks[0]) == -(-count // 3)


@pytest.mark.parametrize(
    ("values", "below", "above"),
    [
        # 99 % of eight images with standard error 0.1 / √8 reach 3.5 errors far: 0.12.
        ([0.2, 0.2], True, True),
        ([0.2, 0.45], False, True),
        ([0.2, 0.8], True, True),
        ([0.45, 0.55], False, False),
        ([0.8, 0.8], True, True),
        ([0.55, 0.8], True, False),
    ],
)
def test_a_first_look_decides_where_all_lie_clearly_on_the_side_that_passes_or_one_does_not(
    values: list[float], *, below: bool, above: bool
) -> None:
    spread = np.tile([-0.0935, 0.0935], 4)  # its standard deviation is 0.1
    measured = [{"signed": value + spread} for value in values]
    assert check.is_decided(measured, limit=0.5, passes="below") is below
    assert check.is_decided(measured, limit=0.5, passes="above") is above


def test_nothing_known_decides_nothing() -> None:
    measured = [{"signed": np.full(8, np.nan)}, {"signed": np.array([0.1])}]
    assert not check.is_decided(measured, limit=0.5, passes="below")
    assert not check.is_decided(measured, limit=0.5, passes="above")


@pytest.mark.parametrize(("retained", "seen"), [(0.0, 12), (0.45, 36)])
def test_the_second_look_is_taken_only_where_the_first_does_not_decide(
    retained: float, seen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []

    def measure(
        *_: object, rows: np.ndarray, **__: object
    ) -> dict[str, list[tuple[str, SimilarityRetained]]]:
        looked.append(len(rows))
        values = retained + np.resize([-0.1, 0.1], len(rows))
        return {"question": [("stem", dict.fromkeys(MEASURES, values))]}

    monkeypatch.setattr(weight_randomization, "measure_weight_randomization", measure)
    nothing = np.zeros((36, 4, 4), np.uint8)
    sample = SanityImages(
        nothing, torch.zeros(36, 1, 4, 4), (0,) * 36, (0,) * 36, nothing, nothing, 0.1
    )
    experiment = SanityExperiment(nn.Identity(), (QuestionMap(),), sample, ("a", "b"), seed=0)
    experiment.__dict__["reference"] = {}
    ((_, values),) = weight_randomization.measure_cascade(experiment)["question"]
    assert sum(looked) == len(values["signed"]) == seen


@pytest.mark.slow
def test_the_card_of_a_network_that_learned_nothing_has_every_check_and_fails_it(
    random_network: nn.Module, lesion_images: SanityImages
) -> None:
    few = lesion_images.take(np.arange(4))
    config = ExplainConfig(
        occlusion_window_share=0.25, occlusion_stride_share=0.25, occlusion_baselines=("mean",)
    )
    methods = build_methods(("occlusion",), config, side_px=few.images.shape[-1])
    chance = above_chance.measure_above_chance(
        random_network,
        few.images,
        truth=np.array(few.truth),
        groups=np.arange(4).astype(str),
        class_names=("normal", "ill"),
        seed=0,
    )
    context = CardContext(class_names=("normal", "ill"), above_chance=chance)
    measured = measure_card(random_network, methods, few, context=context)

    assert not chance.passed
    (card,) = measured.methods
    assert [test.test for test in card.tests] == [one.test for one in list_checks()]
    assert [test.verdict for test in card.tests] == ["fail"] * 6 + ["not tested"]
    assert all(
        test.sentence.startswith("The model does not beat chance. (") for test in card.tests[:6]
    )
    assert [one.part for one in card.steps] == ["head", "stage3", "stage2", "stage1", "stem"]
    passing = dataclasses.replace(context, above_chance=chance.model_copy(update={"passed": True}))
    (again,) = measure_card(random_network, methods, few, context=passing).methods
    assert not any("beat chance" in test.sentence for test in again.tests)


@pytest.mark.parametrize(("best", "passed"), [(0.6, True), (0.99, False)])
def test_a_network_must_beat_the_best_of_those_with_random_weights(
    best: float,
    *,
    passed: bool,
    lesion_images: SanityImages,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Bright(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            brightest = nn.functional.avg_pool2d(images, 6, 2).amax(dim=(1, 2, 3))
            return torch.stack([-brightest, brightest], dim=1)

    others = iter([0.5, best, *[0.4] * 17])
    monkeypatch.setattr(above_chance, "_measure_randomized", lambda *_: next(others))
    found = above_chance.measure_above_chance(
        Bright(),
        lesion_images.images,
        truth=np.array(lesion_images.truth),
        groups=np.arange(len(lesion_images)).astype(str),
        class_names=("normal", "ill"),
        seed=0,
    )
    assert found.randomized_best == best
    assert found.macro_auroc.value is not None
    assert 0.6 < found.macro_auroc.value < 0.99
    assert found.passed is passed


def test_nothing_beats_chance_where_a_class_is_missing() -> None:
    estimate = Estimate(value=None, low=None, high=None, n=0, groups=0, reason="why")
    graded = above_chance._grade(estimate, 0.5)
    assert not graded.passed
    assert "a class is missing" in graded.sentence


def test_only_a_difference_has_a_sign() -> None:
    steps = [("stem", _keep(0.1))]
    assert "similarity of 0.1" in grade_weight_randomization(steps).sentence
