"""Do the sets of classes hold the true class as often as was asked, class by class?

Run: python benchmarks/set_coverage.py RUN/leave-sources-out/*/seed-0/predictions.csv
     [--coverage 0.9] [--splits 500]
Time: a few seconds

Every table holds images that its network never saw. 500 times each table is split by patient: one
half fits the thresholds, the other half is judged. Prints the mean coverage of each class in
Markdown, and fails where it is more than 3 points off. Images of one table are alike by design; of
images from elsewhere nothing is promised.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from cxresnet.metrics.conformal import build_prediction_sets, fit_set_thresholds
from cxresnet.predict.predictions import Predictions, read_predictions

MOST_OFF = 0.03


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--coverage", type=float, default=0.9)
    parser.add_argument("--splits", type=int, default=500)
    given = parser.parse_args()
    print("| table | class | images | asked | covered, mean | its standard error |")
    print("|---|---|---|---|---|---|")
    worst = 0.0
    for number, path in enumerate(given.tables):
        table = read_predictions(path)
        covered = repeat(table, coverage=given.coverage, splits=given.splits, seed=number)
        for index, name in enumerate(table.class_names):
            mean = np.nanmean(covered[:, index])
            error = np.nanstd(covered[:, index]) / np.sqrt(given.splits)
            images = int((table.truth == index).sum())
            cells = (f"{number}", name, f"{images}", f"{given.coverage:.3f}", f"{mean:.3f}")
            print(f"| {' | '.join(cells)} | {error:.3f} |")
            worst = max(worst, abs(mean - given.coverage))
    print(f"\nfurthest off: {worst:.3f}")
    sys.exit(0 if worst <= MOST_OFF else 1)


def repeat(table: Predictions, *, coverage: float, splits: int, seed: int) -> np.ndarray:
    """Split again and again; gives the coverage of each split and class, (splits, classes)."""
    generator = np.random.default_rng(seed)
    names, group = np.unique(np.array(table.group_ids), return_inverse=True)
    covered = np.full((splits, len(table.class_names)), np.nan)
    for row in range(splits):
        fits = generator.permutation(len(names))[group] < len(names) // 2
        thresholds = fit_set_thresholds(
            table.probabilities[fits], table.truth[fits], coverage=coverage
        )
        sets = build_prediction_sets(table.probabilities[~fits], thresholds)
        truth = table.truth[~fits]
        held = sets[np.arange(len(truth)), truth]
        for index in range(covered.shape[1]):
            if (truth == index).any():
                covered[row, index] = held[truth == index].mean()
    return covered


if __name__ == "__main__":
    main()
