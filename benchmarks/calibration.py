"""Does a calibration with more freedom than one temperature give better probabilities?

Run: python benchmarks/calibration.py RUN/evaluate/predictions_val.csv … [--repeats 10]
Time: a few seconds a table

Every table holds validation images of a network. Each image gets its probabilities from a fit to
the other patients (five parts, dealt anew ten times; logarithms are averaged over the deals). No
test image is looked at. Prints log loss and calibration error in Markdown, with the difference to
the temperature on the same resamples of patients; below 0 is better than it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from cxresnet.core.config import EvaluateConfig
from cxresnet.evaluate.topic import build_difference, estimate
from cxresnet.metrics.calibration import (
    build_calibration_statistics,
    compute_probabilities,
    fit_calibration,
    fit_temperature,
)
from cxresnet.metrics.estimate import Estimate
from cxresnet.predict.predictions import Predictions, read_predictions

_Array = NDArray[np.float64]
_Labels = NDArray[np.int64]
_Way = Callable[[_Array, _Labels, _Array], _Array]
"""From logits and truth of some images, and logits of others, to probabilities of these."""

PARTS = 5
SMALLEST = 1e-3
PENALTY = 1.0


def leave(_: _Array, __: _Labels, logits: _Array) -> _Array:
    return compute_probabilities(logits)


def scale_by_temperature(fit: _Array, truth: _Labels, logits: _Array) -> _Array:
    return compute_probabilities(logits, temperature=fit_temperature(fit, truth))


def scale_and_shift(fit: _Array, truth: _Labels, logits: _Array) -> _Array:
    """What `evaluate` does."""
    temperature, shifts = fit_calibration(fit, truth)
    return compute_probabilities(logits, temperature=temperature, shifts=shifts)


def scale_by_vector(fit: _Array, truth: _Labels, logits: _Array) -> _Array:
    """Vector scaling (Guo 2017): a factor and a shift a class, held lightly at 1 and 0."""
    classes = fit.shape[1]

    def measure(numbers: _Array) -> float:
        said = special.log_softmax(fit * numbers[:classes] + numbers[classes:], axis=1)
        held = ((numbers[:classes] - 1) ** 2).sum() + (numbers[classes:] ** 2).sum()
        return float(PENALTY * held / len(fit) - said[np.arange(len(fit)), truth].mean())

    start = np.concatenate([np.ones(classes), np.zeros(classes)])
    found = optimize.minimize(measure, start, method="L-BFGS-B").x
    return compute_probabilities(logits * found[:classes] + found[classes:])


def fit_each_class(fit: _Array, truth: _Labels, logits: _Array, *, isotonic: bool) -> _Array:
    """One class against the rest, by Platt's line or by a rising staircase; shares of the sum."""
    columns = []
    for index in range(fit.shape[1]):
        ours, theirs = (_compute_odds(table, index) for table in (fit, logits))
        shown = truth == index
        if isotonic:
            stairs = IsotonicRegression(y_min=SMALLEST, y_max=1 - SMALLEST, out_of_bounds="clip")
            columns.append(stairs.fit(ours, shown).predict(theirs))
        else:
            line = LogisticRegression(C=1.0).fit(ours[:, None], shown)
            columns.append(line.predict_proba(theirs[:, None])[:, 1])
    joined = np.maximum(np.stack(columns, axis=1), SMALLEST)
    shares: _Array = joined / joined.sum(axis=1, keepdims=True)
    return shares


def _compute_odds(logits: _Array, index: int) -> _Array:
    others = np.delete(logits, index, axis=1)
    odds: _Array = logits[:, index] - special.logsumexp(others, axis=1)
    return odds


WAYS: dict[str, _Way] = {
    "one temperature": scale_by_temperature,
    "as it is": leave,
    "temperature and a shift a class": scale_and_shift,
    "vector scaling": scale_by_vector,
    "Platt, class by class": lambda *tables: fit_each_class(*tables, isotonic=False),
    "isotonic, class by class": lambda *tables: fit_each_class(*tables, isotonic=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=10)
    given = parser.parse_args()
    print("| table | images | calibration | log loss | less that of the temperature | ECE | less |")
    print("|---|---|---|---|---|---|---|")
    better = set()
    for number, path in enumerate(given.tables):
        table = read_predictions(path)
        known = table.select(table.truth >= 0)
        found = compare(known, repeats=given.repeats)
        for name in WAYS:
            loss, error = (f"{name}/{score}" for score in ("loss", "error"))
            cells = (f"{number}", f"{len(known)}", name, describe(found[loss]),
                     describe(found[f"{loss}/less"]), describe(found[error]),
                     describe(found[f"{error}/less"]))  # fmt: skip
            print(f"| {' | '.join(cells)} |", flush=True)
            high = found[f"{loss}/less"].high
            if high is not None and high < 0:
                better.add((number, name))
    print(f"\nsurely better than one temperature, by log loss: {sorted(better) or 'none'}")


def compare(table: Predictions, *, repeats: int) -> dict[str, Estimate]:
    """Estimate log loss and calibration error of every way, and their differences."""
    statistics = []
    plain = None
    for name, way in WAYS.items():
        probabilities = cross_fit(table, way, repeats=repeats)
        error, _, loss = build_calibration_statistics(probabilities, table.truth)
        plain = plain or (loss, error)
        for score, ours, theirs in (("loss", loss, plain[0]), ("error", error, plain[1])):
            statistics += [
                replace(ours, name=f"{name}/{score}"),
                build_difference(f"{name}/{score}/less", ours=ours, theirs=theirs),
            ]
    return estimate(
        statistics, group_ids=table.group_ids, config=EvaluateConfig(), strata=table.truth
    )


def cross_fit(table: Predictions, way: _Way, *, repeats: int) -> _Array:
    """Give every image probabilities from a fit on other patients, (images, classes)."""
    names, group = np.unique(np.array(table.group_ids), return_inverse=True)
    logits = table.logits.astype(np.float64)
    total = np.zeros_like(logits)
    for seed in range(repeats):
        part = np.random.default_rng(seed).permutation(len(names))[group] % PARTS
        for index in range(PARTS):
            evaluated = part == index
            said = way(logits[~evaluated], table.truth[~evaluated], logits[evaluated])
            total[evaluated] += np.log(said)
    return compute_probabilities(total / repeats)


def describe(estimate: Estimate) -> str:
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


if __name__ == "__main__":
    main()
