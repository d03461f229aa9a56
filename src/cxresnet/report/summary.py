"""The first screen: the question, the verdict, the main numbers, one map, the strongest doubt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxresnet.audit.scorecard import Scorecard
from cxresnet.evaluate.baseline_comparison import Baseline
from cxresnet.evaluate.record import Evaluation
from cxresnet.evaluate.red_flags import RedFlag, RedFlagRule, check_source_generalisation_gap
from cxresnet.evaluate.results import GeneralisationGap
from cxresnet.explain.overlay import draw_colour_bar, find_outline
from cxresnet.explain.record import Attributions, ExplainedImage, MethodRecord
from cxresnet.explain.text_summary import NO_METHOD_PASSED, choose_summary_method
from cxresnet.metrics.estimate import Estimate
from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.figures import build_map_uri, describe_map
from cxresnet.report.formatting import format_count, format_duration, format_percent
from cxresnet.report.page import build_data_uri
from cxresnet.report.section import (
    ReportWarning,
    Verdict,
    find_data_warnings,
    find_test_warnings,
    sort_warnings,
)

_PICTURE_SIDE_PX = 256
_SCORE_RULES: frozenset[RedFlagRule] = frozenset({"perfect_score", "test_above_validation"})
"""Red flags that a high score raises by itself: on drawn images they are expected."""


@dataclass(frozen=True)
class ExternalScore:
    """The same score in an external test: its name, and the number."""

    name: str
    estimate: Estimate


@dataclass(frozen=True)
class HeadlineCard:
    """One number with its interval, and what the best shortcut baseline reaches.

    Attributes:
        title: For people.
        note: What it means, a few words.
        estimate: The number.
        baseline: The same of the best shortcut baseline; None where there is none.
        in_percent: Shown in percent, else as a decimal.
        difference: Difference from the best baseline by this score; None where it was not computed.
        baseline_title: Title of that baseline.
        externals: The same score in external tests.
        large: Whether it is one of the main numbers.
    """

    title: str
    note: str
    estimate: Estimate
    baseline: float | None
    in_percent: bool
    difference: Estimate | None = None
    baseline_title: str = ""
    externals: tuple[ExternalScore, ...] = ()
    large: bool = False


@dataclass(frozen=True)
class KeyPicture:
    """One image and its map.

    Attributes:
        record: What is known of the image.
        method: Of the map.
        image_uri: The image.
        map_uri: The image with the map over it.
        bar_uri: The colour scale.
        scale_limit: The value at both ends of the scale.
        caption: The map's own largest value, or that no region matters.
    """

    record: ExplainedImage
    method: MethodRecord
    image_uri: str
    map_uri: str
    bar_uri: str
    scale_limit: float
    caption: str


@dataclass(frozen=True)
class FirstScreen:
    """What the template of the first screen shows.

    Attributes:
        verdict: How good the news is.
        sentence: The verdict in one sentence.
        red_flags: Why the numbers must not be relied on; empty where there is no reason.
        warnings: Further reasons for doubt, the strongest first.
        evaluation: The numbers; None where nothing is evaluated.
        cards: The main numbers.
        best: The best shortcut baseline.
        picture: One image and its map; None where nothing is explained, or where no method passed
            its sanity checks.
        picture_missing: Why there is no picture; "" where there is one, or nothing is explained.
        class_names: In order.
    """

    verdict: Verdict
    sentence: str
    red_flags: tuple[RedFlag, ...]
    warnings: tuple[ReportWarning, ...]
    evaluation: Evaluation | None
    cards: tuple[HeadlineCard, ...]
    best: Baseline | None
    picture: KeyPicture | None
    picture_missing: str
    class_names: tuple[str, ...]


def build_first_screen(artifacts: RunArtifacts) -> FirstScreen:
    """Build the first screen from what there is."""
    red_flags, expected = split_red_flags(artifacts)
    verdict, sentence = describe_verdict(artifacts, red_flags=red_flags)
    evaluation, maps = artifacts.evaluation, artifacts.attributions
    no_method = maps is not None and choose_summary_method(maps.index) is None
    return FirstScreen(
        verdict=verdict,
        sentence=sentence,
        red_flags=red_flags,
        warnings=sort_warnings((*_find_warnings(artifacts), *expected)),
        evaluation=evaluation,
        cards=build_headline_cards(evaluation, artifacts) if evaluation else (),
        best=evaluation.find_best_baseline() if evaluation else None,
        picture=choose_picture(maps) if maps else None,
        picture_missing=NO_METHOD_PASSED if no_method else "",
        class_names=artifacts.record.class_names if artifacts.record else (),
    )


# The verdict, and the reasons for doubt.


def describe_verdict(
    artifacts: RunArtifacts, *, red_flags: tuple[RedFlag, ...] = ()
) -> tuple[Verdict, str]:
    """Sum up the result in one sentence, with how good the news is."""
    evaluation = artifacts.evaluation
    if evaluation is None:
        return "grey", "There is no verdict yet: the model has not been evaluated on the test set."
    drawn = is_drawn(artifacts)
    verdict, result = _compare_with_baseline(evaluation, "drawn images" if drawn else "images")
    if red_flags:
        points = "point below is" if len(red_flags) == 1 else f"{len(red_flags)} points below are"
        return "red", f"{result}; do not rely on the model before the {points} explained."
    if _find_red_audit(artifacts):
        doubt = "do not rely on the model before its red answers are explained"
        return "red", f"{result}, but the audit is red: {doubt}."
    if drawn:
        verdict = "amber" if verdict == "green" else verdict
        return verdict, f"{result}; this says nothing about patients."
    if artifacts.left_out is None and not artifacts.externals:
        return verdict, f"{result}; no external test has been run."
    return verdict, f"{result}."


def _find_red_audit(artifacts: RunArtifacts) -> Scorecard | None:
    audit = artifacts.audit
    return audit if audit is not None and audit.verdict == "red" else None


def _compare_with_baseline(evaluation: Evaluation, images: str) -> tuple[Verdict, str]:
    """Compare the model with the best shortcut baseline in half a sentence."""
    ours = format_percent(evaluation.headline.balanced_accuracy)
    on = f"on {format_count(evaluation.images)} held-out {images}"
    best = evaluation.find_best_baseline()
    if best is None or best.headline is None:
        return "amber", (
            f"The model reaches a balanced accuracy of {ours} {on}, without a shortcut baseline "
            "to compare it with"
        )
    theirs = format_percent(best.headline.balanced_accuracy)
    difference = best.balanced_accuracy_difference
    verdict: Verdict = "amber"
    comparison = "is not shown to perform better than"
    if difference and difference.low is not None and difference.low > 0:
        verdict, comparison = "green", "performs better than"
    elif difference and difference.high is not None and difference.high < 0:
        verdict, comparison = "red", "performs worse than"
    return verdict, (
        f"The model {comparison} the best shortcut baseline {on} "
        f"(balanced accuracy {ours} against {theirs})"
    )


def is_drawn(artifacts: RunArtifacts) -> bool:
    """Decide whether all images are phantoms, from the dataset or else from the evaluation."""
    if artifacts.dataset_artifacts is not None:
        sources = [str(one) for one in artifacts.dataset_artifacts.manifest["source"].unique()]
    else:
        counts = artifacts.evaluation.counts if artifacts.evaluation else ()
        sources = [one.source for one in counts]
    return bool(sources) and all(source.startswith("phantom") for source in sources)


def split_red_flags(
    artifacts: RunArtifacts,
) -> tuple[tuple[RedFlag, ...], tuple[ReportWarning, ...]]:
    """List the red flags; on drawn images, those that a high score raises are caveats."""
    red_flags = _list_red_flags(artifacts)
    if not is_drawn(artifacts):
        return red_flags, ()
    expected = tuple(
        ReportWarning(
            "grey",
            f"{red_flag.title}: expected of drawings",
            "The phantoms are drawn by a program, and their classes are easier to separate than "
            f"those of X-rays. On X-rays, this would be a red flag: {red_flag.sentence}",
        )
        for red_flag in red_flags
        if red_flag.rule in _SCORE_RULES
    )
    return tuple(one for one in red_flags if one.rule not in _SCORE_RULES), expected


def _list_red_flags(artifacts: RunArtifacts) -> tuple[RedFlag, ...]:
    """List the red flags of the test, and that of sources that were left out since."""
    if artifacts.evaluation is None:
        return ()
    red_flags = artifacts.evaluation.red_flags
    found = check_source_generalisation_gap(
        artifacts.left_out.headline if artifacts.left_out else None
    )
    known = {red_flag.rule for red_flag in red_flags}
    return red_flags if found is None or found.rule in known else (found, *red_flags)


def _find_warnings(artifacts: RunArtifacts) -> tuple[ReportWarning, ...]:
    warnings = artifacts.damaged
    if artifacts.dataset_artifacts is not None:
        data = artifacts.dataset_artifacts
        warnings += find_data_warnings(data.manifest, findings=data.findings)
    if artifacts.evaluation is not None:
        warnings += find_test_warnings(artifacts.evaluation)
    if audit := _find_red_audit(artifacts):
        sentence = f"{audit.headline} {audit.reason}"
        warnings += (ReportWarning("red", "What the model goes by", sentence),)
    return warnings


# The main numbers.


def build_headline_cards(
    evaluation: Evaluation, artifacts: RunArtifacts | None = None
) -> tuple[HeadlineCard, ...]:
    """Build the cards, the fairest number first."""
    ours = evaluation.headline
    best = evaluation.find_best_baseline()
    theirs = best.headline if best else None
    ranking = _find_best_ranking(evaluation)
    return (
        HeadlineCard(
            "Balanced accuracy",
            "mean of the classes' sensitivities",
            ours.balanced_accuracy,
            theirs.balanced_accuracy.value if theirs else None,
            in_percent=True,
            difference=best.balanced_accuracy_difference if best else None,
            baseline_title=best.title if best else "",
            externals=_list_external_scores(artifacts, "balanced_accuracy"),
            large=True,
        ),
        HeadlineCard(
            "Accuracy",
            "share of images classified correctly",
            ours.accuracy,
            theirs.accuracy.value if theirs else None,
            in_percent=True,
        ),
        HeadlineCard(
            "Macro AUROC",
            "ranking of the classes; chance is 0.5",
            ours.macro_auroc,
            theirs.macro_auroc.value if theirs else None,
            in_percent=False,
            difference=ranking.macro_auroc_difference if ranking else None,
            baseline_title=ranking.title if ranking else "",
            externals=_list_external_scores(artifacts, "macro_auroc"),
            large=True,
        ),
        HeadlineCard(
            "Macro F1",
            "mean of the classes' F1",
            ours.macro_f1,
            theirs.macro_f1.value if theirs else None,
            in_percent=False,
        ),
    )


def _find_best_ranking(evaluation: Evaluation) -> Baseline | None:
    """Find the baseline with the best AUROC: the one that the model exceeds least."""
    tried = [
        (baseline.macro_auroc_difference.value, baseline)
        for baseline in evaluation.baselines
        if baseline.macro_auroc_difference is not None
        and baseline.macro_auroc_difference.value is not None
    ]
    return min(tried, key=lambda pair: pair[0])[1] if tried else None


def _list_external_scores(artifacts: RunArtifacts | None, name: str) -> tuple[ExternalScore, ...]:
    """List a score in the external tests that have it."""
    if artifacts is None:
        return ()
    tests = [(one.name, one.scores) for one in artifacts.externals]
    if artifacts.left_out is not None:
        tests.insert(0, ("sources left out, mean", artifacts.left_out.mean))
    return tuple(
        ExternalScore(title, score.external)
        for title, scores in tests
        for score in _find_score(scores, name)
    )


def _find_score(scores: tuple[GeneralisationGap, ...], name: str) -> tuple[GeneralisationGap, ...]:
    return tuple(score for score in scores if score.name == name)


def choose_picture(attributions: Attributions) -> KeyPicture | None:
    """Choose one image and draw its map: a correct one with a disease, if there is one.

    The map is that of the method that is put into words; None where no method passed.

    Among these the strongest map is taken: where no single place matters a map is pale, and a pale
    picture says nothing to a reader who does not know maps yet.
    """
    index = attributions.index
    method = choose_summary_method(index)
    if not index.images or method is None:
        return None
    strengths = [
        float(np.abs(attributions.compute_drawn(method, row)).max())
        for row in range(len(index.images))
    ]
    row = min(
        range(len(index.images)),
        key=lambda number: (*_rank_picture(index.images[number]), -strengths[number]),
    )
    outline = find_outline(attributions.lung_masks[row])
    return KeyPicture(
        record=index.images[row],
        method=method,
        image_uri=build_data_uri(attributions.images[row], largest_side_px=_PICTURE_SIDE_PX),
        map_uri=build_map_uri(attributions, method, row, side_px=_PICTURE_SIDE_PX, outline=outline),
        bar_uri=build_data_uri(draw_colour_bar(width_px=256, height_px=1), largest_side_px=256),
        scale_limit=attributions.get_scale_limit(method),
        caption=describe_map(attributions, method, row),
    )


def _rank_picture(image: ExplainedImage) -> tuple[bool, bool]:
    return image.true_class != image.predicted_class, image.true_class == "normal"


# The question.


def describe_run(artifacts: RunArtifacts) -> str:
    """Describe in a sentence or two what was done, as far as it was done."""
    sentences = []
    if artifacts.dataset_artifacts is not None:
        data = artifacts.dataset_artifacts
        *names, last = data.class_names
        sentences.append(
            f"Question: can a residual network distinguish {', '.join(names)} and {last} on chest "
            f"X-rays? {_count(len(data.manifest), 'image')} from "
            f"{_count(data.manifest['source'].nunique(), 'source')}."
        )
    if artifacts.model is not None and artifacts.record is not None:
        parameters = sum(parameter.numel() for parameter in artifacts.model.parameters())
        trained = ""
        if artifacts.history is not None:
            trained = f", trained from scratch for {_count(len(artifacts.history), 'epoch')}"
            if "seconds" in artifacts.history:
                trained += f" in {format_duration(float(artifacts.history['seconds'].sum()))}"
        sentences.append(
            f"Model: preset “{artifacts.record.model.preset}” with {format_count(parameters)} "
            f"parameters{trained}."
        )
    return " ".join(sentences)


def _count(number: int, word: str) -> str:
    return f"{format_count(number)} {word}{'' if number == 1 else 's'}"
