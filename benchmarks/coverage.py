"""How often a 95 % interval holds the truth, in drawn data whose truth is known.

Run: python benchmarks/coverage.py [--data-sets 1000] [--resamples 300]

Each data set has a fixed number of patients with and without the disease, as a test split has that
was dealt by class. A patient has one image, or one to six images that are alike (correlation 0.6).
Scores are normal in both classes, probabilities are the true ones. The truth of each number is
computed from a population of half a million images. Prints one table for `docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from cxresnet.metrics.agreement import build_kappa
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.calibration import build_calibration_statistics
from cxresnet.metrics.classification import (
    ClassifiedImages,
    build_class_statistics,
    build_headline_statistics,
)
from cxresnet.metrics.recalibration import build_recalibration_statistics
from cxresnet.metrics.statistic import Statistic, compute_value

_POPULATION = 500_000
_LIKENESS = 0.6


@dataclass(frozen=True)
class Scenario:
    """One kind of data set.

    Attributes:
        auroc: Area under the ROC curve in the population.
        sick: Patients with the disease.
        healthy: Patients without.
        most_images: A patient has one image, or 1 to so many.
        uneven: Most patients have one image and a few have many (Zipf's law, exponent 2), instead
            of each number of images being as common.
    """

    auroc: float
    sick: int
    healthy: int
    most_images: int
    uneven: bool = False


SCENARIOS = (
    Scenario(0.80, 75, 75, 1),
    Scenario(0.80, 30, 120, 6),
    Scenario(0.90, 100, 100, 6),
    Scenario(0.90, 20, 130, 6),
    Scenario(0.95, 50, 50, 1),
    Scenario(0.95, 60, 240, 6),
    Scenario(0.99, 50, 50, 6),
    Scenario(0.99, 100, 200, 1),
    Scenario(0.97, 40, 160, 6),
    Scenario(0.99, 50, 50, 1),
    Scenario(0.95, 115, 370, 30, uneven=True),
)


def draw(scenario: Scenario, patients: tuple[int, int], generator: np.random.Generator) -> tuple:
    """Draw a data set: images as judged, and the patient of each."""
    healthy, sick = patients
    shown = np.repeat([0, 1], [healthy, sick])
    if scenario.uneven:
        sizes = np.minimum(generator.zipf(2.0, size=len(shown)), scenario.most_images)
    else:
        sizes = generator.integers(1, scenario.most_images + 1, size=len(shown))
    patient = np.repeat(np.arange(len(shown)), sizes)
    truth = shown[patient]
    own = generator.normal(size=len(shown))[patient]
    noise = generator.normal(size=len(patient))
    distance = np.sqrt(2) * stats.norm.ppf(scenario.auroc)
    score = distance * truth + np.sqrt(_LIKENESS) * own + np.sqrt(1 - _LIKENESS) * noise
    odds = distance * score - distance**2 / 2 + np.log(scenario.sick / scenario.healthy)
    second = special.expit(odds)
    evaluated = ClassifiedImages(
        class_names=("healthy", "sick"),
        truth=truth,
        predicted=(second > 0.5).astype(np.int64),
        probabilities=np.stack([1 - second, second], axis=1),
    )
    return evaluated, patient.astype(str)


def build_statistics(evaluated: ClassifiedImages) -> list[Statistic]:
    """Build every kind of number that an evaluation has."""
    return [
        *build_headline_statistics(evaluated),
        build_kappa(evaluated),
        *build_class_statistics(evaluated, 1),
        *build_calibration_statistics(evaluated.probabilities, evaluated.truth),
        *build_recalibration_statistics(evaluated, 1),
    ]


def measure(scenario: Scenario, *, data_sets: int, resamples: int, seed: int) -> dict[str, float]:
    """Measure the coverage of each number in one scenario, where there is an interval."""
    generator = np.random.default_rng(seed)
    images = _POPULATION // (2 if scenario.uneven else (1 + scenario.most_images) // 2)
    share = scenario.sick / (scenario.sick + scenario.healthy)
    many = (round(images * (1 - share)), round(images * share))
    truth = {
        item.name: compute_value(item)
        for item in build_statistics(draw(scenario, many, generator)[0])
    }
    # A perfect probability has no error at all; what is seen of it is noise.
    truth["expected_calibration_error"] = 0.0
    held: dict[str, list[bool]] = {name: [] for name in truth}
    for _ in range(data_sets):
        evaluated, groups = draw(scenario, (scenario.healthy, scenario.sick), generator)
        found = compute_estimates(
            build_statistics(evaluated),
            groups=groups,
            strata=evaluated.truth,
            resamples=resamples,
            confidence=0.95,
            generator=generator,
        )
        for name, estimate in found.items():
            if estimate.low is not None and estimate.high is not None:
                held[name].append(estimate.low <= truth[name] <= estimate.high)
    return {name: float(np.mean(hits)) if hits else np.nan for name, hits in held.items()}


def name_images(scenario: Scenario) -> str:
    """Say how many images a patient has."""
    if scenario.most_images == 1:
        return "1"
    return f"1-{scenario.most_images}{', uneven' if scenario.uneven else ''}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-sets", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    columns = []
    for number, scenario in enumerate(SCENARIOS):
        started = time.perf_counter()
        columns.append(
            measure(
                scenario,
                data_sets=options.data_sets,
                resamples=options.resamples,
                seed=options.seed + number,
            )
        )
        print(f"{scenario}: {time.perf_counter() - started:.0f} s", flush=True)
    heads = [f"{one.auroc:.2f}; {one.sick}+{one.healthy}; {name_images(one)}" for one in SCENARIOS]
    print("\n| AUROC; patients with + without; images each |", " | ".join(heads), "|")
    print("|---|" + "---|" * len(heads))
    for name in columns[0]:
        cells = " | ".join(f"{column[name]:.3f}" for column in columns)
        print(f"| {name.removesuffix('/sick').replace('_', ' ')} | {cells} |")


if __name__ == "__main__":
    main()
