"""Topic: red flags, which make good scores implausible, and caveats, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.finding import Finding
from cxresnet.core.record import Record
from cxresnet.evaluate.baseline_comparison import Baseline, build_baselines
from cxresnet.evaluate.results import ClassResult, GeneralisationGap, Headline
from cxresnet.evaluate.scores import build_class_results, build_headline
from cxresnet.evaluate.topic import Estimates, EvaluationInputs, Topic
from cxresnet.metrics.estimate import Estimate, format_estimate
from cxresnet.metrics.paired import compare_independent
from cxresnet.predict.predictions import Predictions
from cxresnet.shortcuts.confounding import find_single_source_classes

RedFlagRule = Literal[
    "source_predicts_class",
    "near_duplicates_across_splits",
    "baseline_as_good",
    "baseline_nearly_as_good",
    "perfect_score",
    "test_above_validation",
    "worse_on_left_out_sources",
]

_HEADINGS: dict[RedFlagRule, str] = {
    "near_duplicates_across_splits": "Too good to be true",
    "source_predicts_class": "Too good to be true",
    "perfect_score": "Too good to be true",
    "test_above_validation": "Too good to be true",
    "worse_on_left_out_sources": "Much worse on other sources",
    "baseline_as_good": "No better than a shortcut baseline",
    "baseline_nearly_as_good": "Hardly better than a shortcut baseline",
}
"""What each red flag says of the scores, in the order of the heading."""

_HIGH_AUROC = 0.95
_NEARLY_AS_GOOD = 0.05
_PERFECT = 0.9995
_LARGE_GENERALISATION_GAP = 0.1
_SOURCE_CONFOUNDING = "source_confounding"


class RedFlag(Record):
    """Why the scores should not be believed before somebody has looked.

    Attributes:
        rule: Stable short name.
        title: A few words.
        sentence: What was observed and what it means, in plain words.
    """

    rule: RedFlagRule
    title: str
    sentence: str


def name_red_flags(red_flags: Sequence[RedFlag]) -> str:
    """Summarise one or more red flags in a few words, for a heading: what they say, no more.

    A network below a shortcut baseline, or below itself on other sources, is not too good.
    """
    rules = {red_flag.rule for red_flag in red_flags}
    first, *rest = dict.fromkeys(heading for rule, heading in _HEADINGS.items() if rule in rules)
    rest = [heading[0].lower() + heading[1:] for heading in rest]
    if not rest:
        return first
    return f"{', '.join([first, *rest[:-1]])}, and {rest[-1]}"


@dataclass(frozen=True, kw_only=True)
class RedFlagInputs:
    """What the rules look at.

    Attributes:
        headline: Of the evaluated images.
        classes: Their results by class.
        baselines: Shortcut baselines on the same images.
        validation: The headline of the validation images; None if unknown.
        findings: Of the audit of the training data.
        leaked_images: Test images with a near-duplicate or their patient outside of the test set.
        source_generalisation_gap: Generalisation gap of networks to a source left out of training;
            None if no source was left out.
    """

    headline: Headline
    classes: Sequence[ClassResult]
    baselines: Sequence[Baseline] = ()
    validation: Headline | None = None
    findings: Sequence[Finding] = ()
    leaked_images: int = 0
    source_generalisation_gap: GeneralisationGap | None = None


def build_records(inputs: EvaluationInputs, estimates: Estimates) -> dict[str, Any]:
    """Build red flags and warnings."""
    background = inputs.background
    classes = build_class_results(inputs.evaluated, estimates, group_ids=inputs.group_ids)
    red_flags = find_red_flags(
        RedFlagInputs(
            headline=build_headline(estimates),
            classes=classes,
            baselines=build_baselines(background.baselines, estimates),
            validation=background.validation,
            findings=background.findings,
            leaked_images=background.leaked_images,
            source_generalisation_gap=background.source_generalisation_gap,
        )
    )
    caveats = find_caveats(
        inputs.images, classes=classes, config=inputs.config, accesses=background.accesses
    )
    return {"red_flags": red_flags, "warnings": (*caveats, *background.notes)}


TOPIC = Topic(lambda _: (), build_records)


def find_red_flags(inputs: RedFlagInputs) -> tuple[RedFlag, ...]:
    """Find what makes the scores too good to be true, the worst first."""
    found = (
        _check_near_duplicates_across_splits(inputs.leaked_images),
        _check_source_confounding(inputs),
        check_source_generalisation_gap(inputs.source_generalisation_gap),
        _check_baselines(inputs.baselines),
        _check_perfect_scores(inputs),
        _check_validation(inputs),
    )
    return tuple(red_flag for red_flag in found if red_flag is not None)


def _check_near_duplicates_across_splits(leaked_images: int) -> RedFlag | None:
    if not leaked_images:
        return None
    return RedFlag(
        rule="near_duplicates_across_splits",
        title="Test images leak into training",
        sentence=(
            f"{leaked_images} of the test images are near-duplicates of images outside of the test "
            "set, or show a patient who also has images there. The network may have memorised "
            "them. Prepare the dataset again."
        ),
    )


def _check_source_confounding(inputs: RedFlagInputs) -> RedFlag | None:
    red = any(
        finding.question == _SOURCE_CONFOUNDING and finding.verdict == "red"
        for finding in inputs.findings
    )
    high = [
        f"{result.class_name} {result.auroc.value:.3f}"
        for result in inputs.classes
        if result.auroc.value is not None and result.auroc.value > _HIGH_AUROC
    ]
    if not red or not high:
        return None
    return RedFlag(
        rule="source_predicts_class",
        title="The source alone predicts the class",
        sentence=(
            f"The AUROC is very high ({', '.join(high)}), and in these data the source of an image "
            "predicts its class. The network may distinguish hospitals instead of diseases; this "
            "evaluation cannot show which."
        ),
    )


def check_source_generalisation_gap(score: GeneralisationGap | None) -> RedFlag | None:
    """Doubt a test on images from the training sources if other sources score much worse.

    Args:
        score: On training sources and on sources left out; None if no source was left out.
    """
    if score is None:
        return None
    gap = score.generalisation_gap
    if gap.value is None or gap.low is None:
        return None
    if gap.low <= 0 or gap.value < _LARGE_GENERALISATION_GAP:
        return None
    return RedFlag(
        rule="worse_on_left_out_sources",
        title="Much worse on sources left out of training",
        sentence=(
            f"On a source that was left out of training, the {score.title} is lower by "
            f"{format_estimate(gap)} than on the training sources. This test is optimistic: its "
            "images come from the training sources."
        ),
    )


def _check_baselines(baselines: Sequence[Baseline]) -> RedFlag | None:
    """Doubt a network that is hardly better than the best shortcut baseline."""
    near = [
        (difference, baseline.title, score)
        for baseline in baselines
        for difference, score in (
            (baseline.balanced_accuracy_difference, "balanced accuracy"),
            (baseline.macro_auroc_difference, "macro AUROC"),
        )
        if difference is not None and difference.value is not None and _is_near(difference)
    ]
    if not near:
        return None
    difference, title, score = min(near, key=lambda item: item[0].value or 0.0)
    as_good = (difference.value or 0.0) <= 0
    return RedFlag(
        rule="baseline_as_good" if as_good else "baseline_nearly_as_good",
        title="A shortcut baseline performs "
        + ("as well or better" if as_good else "nearly as well"),
        sentence=(
            f"The baseline '{title}' cannot see disease, and on these images the network's {score} "
            f"is {'no' if as_good else 'hardly'} better: difference "
            f"{format_estimate(difference, signed=True)}. Whatever that baseline uses, the network "
            "may use too."
        ),
    )


def _is_near(difference: Estimate) -> bool:
    value = difference.value or 0.0
    return value < _NEARLY_AS_GOOD or (value if difference.low is None else difference.low) <= 0


def _check_perfect_scores(inputs: RedFlagInputs) -> RedFlag | None:
    numbers = [("accuracy", inputs.headline.accuracy)]
    numbers += [(f"AUROC of {result.class_name}", result.auroc) for result in inputs.classes]
    perfect = [
        f"{name} (n = {number.n})"
        for name, number in numbers
        if number.value is not None and number.value >= _PERFECT
    ]
    if not perfect:
        return None
    return RedFlag(
        rule="perfect_score",
        title="Perfect scores",
        sentence=(
            f"Exactly or nearly 1: {', '.join(perfect)}. No reader of chest X-rays is perfect, and "
            "no set of labels is. Look for something that leaks the label before you believe it."
        ),
    )


def _check_validation(inputs: RedFlagInputs) -> RedFlag | None:
    """Doubt a test score above that of the images on which the network was chosen."""
    if inputs.validation is None:
        return None
    ours, theirs = inputs.headline, inputs.validation
    for name, test, validation in (
        ("balanced accuracy", ours.balanced_accuracy, theirs.balanced_accuracy),
        ("macro AUROC", ours.macro_auroc, theirs.macro_auroc),
    ):
        difference = compare_independent(test, validation)
        if difference.value is not None and difference.low is not None and difference.low > 0:
            return RedFlag(
                rule="test_above_validation",
                title="The test score exceeds the validation score",
                sentence=(
                    f"The {name} of the test is {format_estimate(difference)} above that of the "
                    "validation images, on which everything was chosen and which are therefore "
                    "optimistic. The test images are easier, or leaked into training."
                ),
            )
    return None


# Caveats: sentences that must stand beside the scores, which alone would mislead.


def find_caveats(
    predictions: Predictions,
    *,
    classes: Sequence[ClassResult],
    config: EvaluateConfig,
    accesses: int | None,
) -> tuple[str, ...]:
    """Find what a reader of the scores must know.

    Args:
        predictions: The evaluated images, all with a known class.
        classes: Their results.
        config: Has the number of patients below which a class is warned of.
        accesses: How often the held-out test set was opened for scores; None without one.
    """
    found = [
        _describe_single_source_classes(predictions),
        _describe_missing_classes(classes),
        _describe_few_patients(classes, few_patients=config.min_patients_per_class),
        _describe_unknown_patients(predictions),
        _describe_accesses(accesses),
    ]
    return tuple(sentence for sentence in found if sentence)


def _describe_single_source_classes(predictions: Predictions) -> str:
    """Name the classes whose every image comes from sources that hold no other class."""
    truth = [predictions.class_names[label] for label in predictions.truth.tolist()]
    found = find_single_source_classes(predictions.sources, truth)
    single_source = [name for name in predictions.class_names if name in found]
    if not single_source:
        return ""
    return (
        f"Every image of {' and of '.join(single_source)} comes from a source that holds no other "
        "class: these scores cannot separate the disease from the source."
    )


def _describe_missing_classes(classes: Sequence[ClassResult]) -> str:
    """Name the classes that no image shows."""
    missing = [result.class_name for result in classes if not result.images]
    if not missing:
        return ""
    return (
        f"No image here shows {' or '.join(missing)}: the sensitivity is unknown there, and so is "
        "every mean over all classes."
    )


def _describe_few_patients(classes: Sequence[ClassResult], *, few_patients: int) -> str:
    few = [
        f"{result.class_name} ({result.patients})"
        for result in classes
        if 0 < result.patients < few_patients
    ]
    if not few:
        return ""
    return (
        f"Fewer than {few_patients} patients of {', '.join(few)}: "
        "rely on the intervals, not on the values."
    )


def _describe_unknown_patients(predictions: Predictions) -> str:
    unknown = predictions.patient_ids.count("") / max(len(predictions), 1)
    if unknown == 0:
        return ""
    return (
        f"{unknown:.0%} of the images have no patient ID; there, an image and its near-duplicates "
        "count as one patient, and the intervals may be too narrow."
    )


def _describe_accesses(accesses: int | None) -> str:
    if accesses is None or accesses < 2:
        return ""
    return (
        f"The held-out test set was opened {accesses} times for scores. If anything was changed "
        "after looking at them, they are optimistic."
    )
