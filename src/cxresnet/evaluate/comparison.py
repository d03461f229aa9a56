"""Compare two runs on the same images (paired bootstrap over patients)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cxresnet import DISCLAIMER
from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.errors import DatasetError
from cxresnet.core.record import Record
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.split.groups import join_groups
from cxresnet.evaluate.checks import require_headline
from cxresnet.evaluate.record import Evaluation, read_evaluation
from cxresnet.evaluate.results import join_key, name_score
from cxresnet.evaluate.topic import Estimates, add_prefix, build_difference, estimate
from cxresnet.metrics.classification import (
    CLASS_SCORES,
    HEADLINE_SCORES,
    ClassifiedImages,
    build_class_statistics,
    build_headline_statistics,
)
from cxresnet.metrics.estimate import Estimate, format_estimate
from cxresnet.metrics.paired import DeLong, compute_delong, compute_mcnemar
from cxresnet.metrics.statistic import Key, Statistic
from cxresnet.predict.decision import apply_operating_point
from cxresnet.predict.predictions import read_predictions


class ScorePair(Record):
    """One score of two runs on the same images.

    Attributes:
        name: For example "macro_auroc" or "sensitivity/covid-19".
        first: Of the first run.
        second: Of the second run.
        difference: First minus second, on the same resamples of patients.
    """

    name: str
    first: Estimate
    second: Estimate
    difference: Estimate

    @property
    def title(self) -> str:
        """The name of the score for people, for example "sensitivity of covid-19"."""
        return name_score(self.name)


class AurocTest(Record):
    """DeLong's test of one class against the rest, with patients as clusters.

    Attributes:
        class_name: The class.
        difference: Area of the first run minus that of the second.
        error: Standard error of the difference.
        p_value: Two-sided; None where the test cannot give one.
        reason: Why there is none, one sentence; "" where there is.
    """

    class_name: str
    difference: float
    error: float
    p_value: float | None
    reason: str = ""


class Comparison(Record):
    """The result of `compare`.

    Attributes:
        format: Version of this record.
        disclaimer: Part of every output.
        first: Name of the first run.
        second: Name of the second run.
        class_names: In the order of the first run.
        images: Evaluated by both.
        patients: Independent groups among them.
        scores: Scores of both, the headline first.
        only_first_correct: Images that only the first run classifies correctly.
        only_second_correct: Images that only the second run classifies correctly.
        mcnemar_p_value: Exact and two-sided; counts each image as a patient of its own.
        auroc_tests: One a class; those without two patients on each side are left out.
        verdict: In plain words.
        warnings: Caveats.
    """

    format: Literal[2] = 2
    disclaimer: str = DISCLAIMER
    first: str
    second: str
    class_names: tuple[str, ...]
    images: int
    patients: int
    scores: tuple[ScorePair, ...]
    only_first_correct: int
    only_second_correct: int
    mcnemar_p_value: float
    auroc_tests: tuple[AurocTest, ...]
    verdict: str
    warnings: tuple[str, ...]


_FEWEST_PATIENTS = 10
"""With and without the class, for a p-value of DeLong's test: its normal distribution holds for
many patients, and with few it finds differences where there are none."""

_BY_CLASS = ("auroc", "sensitivity", "specificity")
_OTHERS = ("accuracy", "macro_f1", "macro_auroc")
"""Overall scores beside balanced accuracy, which the verdict is about."""


@dataclass(frozen=True)
class _EvaluatedRun:
    """A run's predictions for images of a known class, (images,) everywhere."""

    name: str
    image_ids: tuple[str, ...]
    group_ids: tuple[str, ...]
    evaluated: ClassifiedImages
    evaluation: Evaluation


def compare_runs(first: RunFolder, second: RunFolder, *, config: EvaluateConfig) -> Comparison:
    """Compare two evaluated runs image by image; no held-out test set is opened.

    Args:
        first: Evaluated.
        second: Evaluated, on the same images.
        config: Of the intervals.

    Raises:
        RunFolderError: A run is not evaluated, or its results cannot be read.
        DatasetError: They were evaluated on other images, other labels or other classes.
    """
    ours, theirs = _read_run(first), _read_run(second)
    theirs = _align(theirs, ours)
    groups = _join_groups(ours, theirs)
    estimates = estimate(
        _list_statistics(ours.evaluated, theirs.evaluated),
        group_ids=groups,
        config=config,
        strata=ours.evaluated.truth,
    )
    scores = tuple(_collect(estimates, key) for key in _list_scores(ours.evaluated))
    right = [run.evaluated.predicted == run.evaluated.truth for run in (ours, theirs)]
    mcnemar = compute_mcnemar(right[0], right[1])
    names = _name_runs(first, second)
    return Comparison(
        first=names[0],
        second=names[1],
        class_names=ours.evaluated.class_names,
        images=len(groups),
        patients=len(set(groups)),
        scores=scores,
        only_first_correct=mcnemar.only_first,
        only_second_correct=mcnemar.only_second,
        mcnemar_p_value=mcnemar.p_value,
        auroc_tests=_test_areas(ours.evaluated, theirs.evaluated, groups=groups),
        verdict=_describe(scores, names=names) + _describe_others(scores, names=names),
        warnings=_find_warnings(ours, theirs),
    )


def _read_run(run: RunFolder) -> _EvaluatedRun:
    evaluation = read_evaluation(run.metrics)
    table = read_predictions(run.predictions)
    require_headline(evaluation, table)
    known = table.select(table.truth >= 0)
    evaluated = apply_operating_point(known, evaluation.operating_point)
    return _EvaluatedRun(
        run.path.resolve().name, known.image_ids, known.group_ids, evaluated, evaluation
    )


def _align(run: _EvaluatedRun, other: _EvaluatedRun) -> _EvaluatedRun:
    """Bring images and classes of a run into the order of another one's.

    Raises:
        DatasetError: Images, labels or classes are not the same.
    """
    wanted, have = other.evaluated.class_names, run.evaluated.class_names
    if set(wanted) != set(have):
        raise DatasetError(
            f"The runs have different classes: {', '.join(wanted)} and {', '.join(have)}. "
            "Only runs with the same classes can be compared."
        )
    places = {image_id: row for row, image_id in enumerate(run.image_ids)}
    missing = sum(image_id not in places for image_id in other.image_ids)
    more = len(places) + missing - len(other.image_ids)
    if missing or more:
        raise DatasetError(
            f"The runs were evaluated on different images: {missing} images of '{other.name}' are "
            f"not among those of '{run.name}', and {more} the other way round. Train and evaluate "
            "both on the same prepared dataset."
        )
    rows = np.array([places[image_id] for image_id in other.image_ids])
    columns = [have.index(name) for name in wanted]
    rank = np.array([wanted.index(name) for name in have])
    evaluated = ClassifiedImages(
        class_names=wanted,
        truth=rank[run.evaluated.truth[rows]],
        predicted=rank[run.evaluated.predicted[rows]],
        probabilities=run.evaluated.probabilities[rows][:, columns],
    )
    differing = int((evaluated.truth != other.evaluated.truth).sum())
    if differing:
        raise DatasetError(
            f"The same images have different labels in the two runs ({differing} of {len(rows)}). "
            "Prepare once, and train and evaluate both on that dataset."
        )
    groups = tuple(run.group_ids[row] for row in rows)
    return _EvaluatedRun(run.name, other.image_ids, groups, evaluated, run.evaluation)


def _join_groups(first: _EvaluatedRun, second: _EvaluatedRun) -> tuple[str, ...]:
    """Join images that belong to one patient or duplicate cluster in either run's dataset."""
    _, numbers = np.unique(np.array(second.group_ids), return_inverse=True)
    joined = join_groups(first.group_ids, numbers.astype(np.int64))
    if len(set(joined.tolist())) == len(set(first.group_ids)):
        # Nothing was joined: the names of `evaluate`, and therefore its resamples and intervals.
        return first.group_ids
    return tuple(str(group) for group in joined)


def _list_scores(evaluated: ClassifiedImages) -> dict[Key, Statistic]:
    scores: dict[Key, Statistic] = dict(
        zip(HEADLINE_SCORES, build_headline_statistics(evaluated), strict=True)
    )
    for index, class_name in enumerate(evaluated.class_names):
        found = dict(zip(CLASS_SCORES, build_class_statistics(evaluated, index), strict=True))
        scores |= {(name, class_name): found[name] for name in _BY_CLASS}
    return scores


def _list_statistics(first: ClassifiedImages, second: ClassifiedImages) -> list[Statistic]:
    """List every score of both, and the difference, keyed (part, *score)."""
    ours, theirs = _list_scores(first), _list_scores(second)
    statistics: list[Statistic] = []
    for key in ours:
        parts = {
            "first": ours[key],
            "second": theirs[key],
            "difference": build_difference(key, ours=ours[key], theirs=theirs[key]),
        }
        statistics += [replace(one, name=add_prefix(part, key)) for part, one in parts.items()]
    return statistics


def _collect(estimates: Estimates, key: Key) -> ScorePair:
    return ScorePair(
        name=join_key(key),
        first=estimates[add_prefix("first", key)],
        second=estimates[add_prefix("second", key)],
        difference=estimates[add_prefix("difference", key)],
    )


def _test_areas(
    first: ClassifiedImages, second: ClassifiedImages, *, groups: tuple[str, ...]
) -> tuple[AurocTest, ...]:
    tests = []
    for index, class_name in enumerate(first.class_names):
        found = compute_delong(
            first.truth == index,
            first.probabilities[:, index],
            second.probabilities[:, index],
            groups=np.array(groups),
        )
        if found is not None:
            reason = _explain_no_p_value(found, class_name)
            tests.append(
                AurocTest(
                    class_name=class_name,
                    difference=found.difference,
                    error=found.error,
                    p_value=None if reason else found.p_value,
                    reason=reason,
                )
            )
    return tuple(tests)


def _explain_no_p_value(found: DeLong, class_name: str) -> str:
    """Say why a test gives no p-value, one sentence; "" where it gives one."""
    if min(found.positive_groups, found.negative_groups) < _FEWEST_PATIENTS:
        return (
            f"No p-value is given: the test needs at least {_FEWEST_PATIENTS} patients with "
            f"{class_name} and {_FEWEST_PATIENTS} without, and there are {found.positive_groups} "
            f"and {found.negative_groups}."
        )
    if found.p_value is None:
        return "No p-value is given: there is no error to compare the difference with."
    return ""


def _name_runs(first: RunFolder, second: RunFolder) -> tuple[str, str]:
    """Name the runs by their folders, or by their paths where the folders have the same name."""
    ours, theirs = first.path.resolve(), second.path.resolve()
    if ours.name != theirs.name:
        return ours.name, theirs.name
    return f"{ours.parent.name}/{ours.name}", f"{theirs.parent.name}/{theirs.name}"


def _describe(scores: Sequence[ScorePair], *, names: tuple[str, str]) -> str:
    """Give the verdict on balanced accuracy."""
    pair = next(score for score in scores if score.name == "balanced_accuracy")
    found = pair.difference
    if found.value is None:
        return f"The runs cannot be compared by balanced accuracy. {pair.first.reason}".rstrip()
    if found.low is None or found.high is None:
        if found.value == 0:
            return "No difference is shown: both runs have the same balanced accuracy."
        return "No difference is shown: there are too few patients for an interval."
    numbers = format_estimate(found, signed=True)
    if found.low > 0 or found.high < 0:
        better, worse = names if found.low > 0 else names[::-1]
        return (
            f"{better} is better than {worse} on these images: difference in balanced accuracy "
            f"({names[0]} minus {names[1]}) {numbers}."
        )
    return (
        f"No difference is shown on these images: difference in balanced accuracy ({names[0]} "
        f"minus {names[1]}) {numbers}. It is not ruled out that {names[0]} is better by "
        f"{max(found.high, 0.0):.3f} or worse by {max(-found.low, 0.0):.3f}."
    )


def _describe_others(scores: Sequence[ScorePair], *, names: tuple[str, str]) -> str:
    """Name the other overall scores in which the runs clearly differ; "" where there is none."""
    higher: tuple[list[str], list[str]] = ([], [])
    for pair in scores:
        found = pair.difference
        if pair.name not in _OTHERS or found.low is None or found.high is None:
            continue
        if found.low > 0:
            higher[0].append(f"{pair.title} (by {found.low:.3f} to {found.high:.3f})")
        elif found.high < 0:
            higher[1].append(f"{pair.title} (by {-found.high:.3f} to {-found.low:.3f})")
    differing = [
        f"{name} is higher in {', '.join(side)}."
        for name, side in zip(names, higher, strict=True)
        if side
    ]
    if not differing:
        return ""
    return (
        f" Other scores differ: {' '.join(differing)} Of {len(_OTHERS) + 1} scores, at least one "
        "differs by chance more often than 1 time in 20."
    )


def _find_warnings(first: _EvaluatedRun, second: _EvaluatedRun) -> tuple[str, ...]:
    warnings = []
    dataset_hashes = {one.evaluation.provenance.trained_on for one in (first, second)}
    if len(dataset_hashes) > 1:
        warnings.append(
            "The runs were trained on datasets that were prepared differently: the difference is "
            "one of networks and images together, and if the splits differ, test images of one run "
            "may be training images of the other."
        )
    accesses = [one.evaluation.provenance.accesses or 0 for one in (first, second)]
    if max(accesses) > 1:
        warnings.append(
            f"The held-out test set was opened {max(accesses)} times. If the better run was kept "
            "because of these images, its advantage here is optimistic."
        )
    return tuple(warnings)
