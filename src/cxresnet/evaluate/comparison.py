"""Two runs judged on the same films: which is better, and is it more than luck?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.errors import DatasetError
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.groups import join_groups
from cxresnet.evaluate.comparison_record import AurocTest, Comparison, ScorePair
from cxresnet.evaluate.operating_point import judge
from cxresnet.evaluate.record import Evaluation, read_evaluation
from cxresnet.evaluate.scores import build_lift, estimate
from cxresnet.metrics.classification import (
    CLASS_SCORES,
    HEADLINE_SCORES,
    Judged,
    build_class_statistics,
    build_headline_statistics,
)
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.paired import compute_delong, compute_mcnemar
from cxresnet.metrics.statistic import Statistic
from cxresnet.predict.predictions import read_predictions

__all__ = ["compare_runs"]

_BY_CLASS = ("auroc", "sensitivity", "specificity")
_OTHERS = {"accuracy": "accuracy", "macro_f1": "macro F1", "macro_auroc": "macro AUROC"}
"""Numbers of the whole beside balanced accuracy, which the verdict is about."""


@dataclass(frozen=True)
class _JudgedRun:
    """A run's answers about films of a known class, (films,) everywhere."""

    name: str
    image_ids: tuple[str, ...]
    group_ids: tuple[str, ...]
    judged: Judged
    evaluation: Evaluation


def compare_runs(first: RunFolder, second: RunFolder, *, config: EvaluateConfig) -> Comparison:
    """Compare two evaluated runs film by film; no sealed test is opened.

    Args:
        first: Evaluated.
        second: Evaluated, on the same films.
        config: Of the intervals.

    Raises:
        RunFolderError: A run is not evaluated, or what it wrote cannot be read.
        DatasetError: They were judged on other films, other labels or other classes.
    """
    ours, theirs = _read_run(first), _read_run(second)
    theirs = _align(theirs, ours)
    groups = _join_groups(ours, theirs)
    estimates = estimate(
        _list_statistics(ours.judged, theirs.judged),
        group_ids=groups,
        config=config,
        strata=ours.judged.truth,
    )
    scores = tuple(_collect(estimates, name) for name in _list_scores(ours.judged))
    right = [run.judged.predicted == run.judged.truth for run in (ours, theirs)]
    mcnemar = compute_mcnemar(right[0], right[1])
    names = _tell_apart(first, second)
    return Comparison(
        first=names[0],
        second=names[1],
        class_names=ours.judged.class_names,
        films=len(groups),
        patients=len(set(groups)),
        scores=scores,
        only_first_right=mcnemar.only_first,
        only_second_right=mcnemar.only_second,
        mcnemar_p_value=mcnemar.p_value,
        auroc_tests=_test_areas(ours.judged, theirs.judged, groups=groups),
        verdict=_describe(scores, names=names) + _describe_others(scores, names=names),
        warnings=_find_warnings(ours, theirs),
    )


def _read_run(run: RunFolder) -> _JudgedRun:
    evaluation = read_evaluation(run.metrics)
    table = read_predictions(run.predictions)
    known = table.select(table.truth >= 0)
    judged = judge(known, evaluation.operating_point)
    return _JudgedRun(run.path.resolve().name, known.image_ids, known.group_ids, judged, evaluation)


def _align(run: _JudgedRun, other: _JudgedRun) -> _JudgedRun:
    """Bring films and classes of a run into the order of another one's.

    Raises:
        DatasetError: Films, labels or classes are not the same.
    """
    wanted, have = other.judged.class_names, run.judged.class_names
    if set(wanted) != set(have):
        raise DatasetError(
            f"The runs tell apart other classes: {', '.join(wanted)} and {', '.join(have)}. "
            "Only runs with the same classes can be compared."
        )
    places = {image_id: row for row, image_id in enumerate(run.image_ids)}
    missing = sum(image_id not in places for image_id in other.image_ids)
    more = len(places) + missing - len(other.image_ids)
    if missing or more:
        raise DatasetError(
            f"The runs were judged on other films: {missing} films of '{other.name}' are not among "
            f"those of '{run.name}', and {more} the other way round. Train and evaluate both on "
            "the same prepared dataset."
        )
    rows = np.array([places[image_id] for image_id in other.image_ids])
    columns = [have.index(name) for name in wanted]
    rank = np.array([wanted.index(name) for name in have])
    judged = Judged(
        class_names=wanted,
        truth=rank[run.judged.truth[rows]],
        predicted=rank[run.judged.predicted[rows]],
        probabilities=run.judged.probabilities[rows][:, columns],
    )
    differing = int((judged.truth != other.judged.truth).sum())
    if differing:
        raise DatasetError(
            f"The same films have other labels in the two runs ({differing} of {len(rows)}). "
            "Prepare once, and train and evaluate both on that dataset."
        )
    groups = tuple(run.group_ids[row] for row in rows)
    return _JudgedRun(run.name, other.image_ids, groups, judged, run.evaluation)


def _join_groups(first: _JudgedRun, second: _JudgedRun) -> tuple[str, ...]:
    """Join films that either run's dataset holds to be of one patient or copies."""
    _, numbers = np.unique(np.array(second.group_ids), return_inverse=True)
    joined = join_groups(first.group_ids, numbers.astype(np.int64))
    return tuple(str(group) for group in joined)


def _list_scores(judged: Judged) -> dict[str, Statistic]:
    scores = dict(zip(HEADLINE_SCORES, build_headline_statistics(judged), strict=True))
    for index, class_name in enumerate(judged.class_names):
        found = dict(zip(CLASS_SCORES, build_class_statistics(judged, index), strict=True))
        scores |= {f"{name}/{class_name}": found[name] for name in _BY_CLASS}
    return scores


def _list_statistics(first: Judged, second: Judged) -> list[Statistic]:
    """List every score of both, and the difference, named "part/score"."""
    ours, theirs = _list_scores(first), _list_scores(second)
    statistics: list[Statistic] = []
    for name in ours:
        parts = {
            "first": ours[name],
            "second": theirs[name],
            "difference": build_lift(name, ours=ours[name], theirs=theirs[name]),
        }
        statistics += [replace(one, name=f"{part}/{name}") for part, one in parts.items()]
    return statistics


def _collect(estimates: Mapping[str, Estimate], name: str) -> ScorePair:
    return ScorePair(
        name=name,
        first=estimates[f"first/{name}"],
        second=estimates[f"second/{name}"],
        difference=estimates[f"difference/{name}"],
    )


def _test_areas(first: Judged, second: Judged, *, groups: tuple[str, ...]) -> tuple[AurocTest, ...]:
    tests = []
    for index, class_name in enumerate(first.class_names):
        found = compute_delong(
            first.truth == index,
            first.probabilities[:, index],
            second.probabilities[:, index],
            groups=np.array(groups),
        )
        if found is not None:
            tests.append(
                AurocTest(
                    class_name=class_name,
                    difference=found.difference,
                    error=found.error,
                    p_value=found.p_value,
                )
            )
    return tuple(tests)


def _tell_apart(first: RunFolder, second: RunFolder) -> tuple[str, str]:
    """Name the runs by their folders, by their paths where these are alike."""
    ours, theirs = first.path.resolve(), second.path.resolve()
    if ours.name != theirs.name:
        return ours.name, theirs.name
    return f"{ours.parent.name}/{ours.name}", f"{theirs.parent.name}/{theirs.name}"


def _describe(scores: Sequence[ScorePair], *, names: tuple[str, str]) -> str:
    """Give the verdict on balanced accuracy, the first of the fair numbers."""
    pair = next(score for score in scores if score.name == "balanced_accuracy")
    found = pair.difference
    if found.value is None:
        return f"They cannot be compared by balanced accuracy. {pair.first.reason}".rstrip()
    if found.low is None or found.high is None:
        if found.value == 0:
            return "They cannot be told apart: the difference in balanced accuracy is zero."
        return "They cannot be told apart: the patients are too few for an interval."
    numbers = f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
    if found.low > 0 or found.high < 0:
        better, worse = names if found.low > 0 else names[::-1]
        return (
            f"{better} is better than {worse} on these films: difference in balanced accuracy "
            f"({names[0]} minus {names[1]}) {numbers}."
        )
    return (
        f"They cannot be told apart on these films: difference in balanced accuracy "
        f"({names[0]} minus {names[1]}) {numbers}; what is not ruled out is {names[0]} being "
        f"better by {max(found.high, 0.0):.3f} or worse by {max(-found.low, 0.0):.3f}."
    )


def _describe_others(scores: Sequence[ScorePair], *, names: tuple[str, str]) -> str:
    """Say which other numbers of the whole tell the runs apart; "" where none does."""
    higher: tuple[list[str], list[str]] = ([], [])
    for pair in scores:
        found = pair.difference
        if pair.name not in _OTHERS or found.low is None or found.high is None:
            continue
        if found.low > 0:
            higher[0].append(f"{_OTHERS[pair.name]} (by {found.low:.3f} to {found.high:.3f})")
        elif found.high < 0:
            higher[1].append(f"{_OTHERS[pair.name]} (by {-found.high:.3f} to {-found.low:.3f})")
    told = [
        f"{name} is higher in {', '.join(side)}."
        for name, side in zip(names, higher, strict=True)
        if side
    ]
    if not told:
        return ""
    return (
        f" Other numbers differ: {' '.join(told)} Of {len(_OTHERS) + 1} numbers one differs by "
        "chance more often than 1 time in 20."
    )


def _find_warnings(first: _JudgedRun, second: _JudgedRun) -> tuple[str, ...]:
    warnings = []
    learnt = {one.evaluation.provenance.trained_on for one in (first, second)}
    if len(learnt) > 1:
        warnings.append(
            "The runs were trained on datasets that were prepared differently: the difference is "
            "one of networks and films together, and films that one was tested on may have "
            "taught the other if the splits differ."
        )
    openings = [one.evaluation.provenance.openings or 0 for one in (first, second)]
    if max(openings) > 1:
        warnings.append(
            f"The sealed test was opened {max(openings)} times. If the better run was kept because "
            "of these films, its lead here is too large."
        )
    return tuple(warnings)
