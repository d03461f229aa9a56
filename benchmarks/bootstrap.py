"""How long the intervals of an evaluation take: 2,000 resamples, and how that grows with films.

Run: python benchmarks/bootstrap.py [--films 1000 10000] [--resamples 2000]

Everything that `cxresnet evaluate` estimates at once is estimated: the network's numbers, those of
five baselines and of what the network has above them, thresholds, and net benefit, for three
classes and 3 films a patient. One thread does the work unless the mathematics library takes more.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from scipy import special

from cxresnet.core.config import EvaluateConfig
from cxresnet.evaluate.baselines import BASELINES, BaselineAnswer
from cxresnet.evaluate.clinical import list_clinical_statistics
from cxresnet.evaluate.lift import list_baseline_statistics
from cxresnet.evaluate.scores import estimate, list_statistics
from cxresnet.evaluate.thresholds import (
    ChosenThreshold,
    build_binary_scores,
    list_binary_statistics,
)
from cxresnet.metrics.classification import Judged
from cxresnet.metrics.statistic import Statistic


def draw(films: int, generator: np.random.Generator) -> tuple[Judged, list[str]]:
    """Draw films of three classes and patients."""
    patient = np.arange(films) // 3
    truth = patient % 3
    probabilities = special.softmax(
        generator.normal(size=(films, 3)) + 1.5 * np.eye(3)[truth], axis=1
    )
    judged = Judged(
        class_names=("normal", "pneumonia", "covid-19"),
        truth=truth,
        predicted=probabilities.argmax(axis=1),
        probabilities=probabilities,
    )
    return judged, patient.astype(str).tolist()


def list_all(judged: Judged, generator: np.random.Generator) -> list[Statistic]:
    """List every statistic that an evaluation estimates together."""
    answers = [
        BaselineAnswer(rule, special.softmax(generator.normal(size=judged.probabilities.shape), 1))
        for rule in BASELINES
    ]
    plain = EvaluateConfig(bootstrap_resamples=100)
    thresholds = []
    for index in range(3):
        for aim in ("sensitivity", "youden", "cost"):
            statistics = list_binary_statistics(judged, index, 0.3, name="x")
            groups = [str(number) for number in range(len(judged.truth))]
            scores = build_binary_scores(
                estimate(statistics, group_ids=groups, config=plain), name="x"
            )
            thresholds.append(
                ChosenThreshold(
                    class_index=index,
                    aim=aim,
                    goal="",
                    threshold=0.3,
                    chosen_on="",
                    on_validation=scores,
                )
            )
    return [
        *list_statistics(judged, before=judged.probabilities),
        *list_baseline_statistics(judged, answers),
        *list_clinical_statistics(judged, thresholds),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--films", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--resamples", type=int, default=2_000)
    options = parser.parse_args()
    print("| films | numbers | resamples | seconds | processor seconds | peak MiB |")
    print("|---|---|---|---|---|---|")
    for films in options.films:
        generator = np.random.default_rng(0)
        judged, groups = draw(films, generator)
        statistics = list_all(judged, generator)
        started, busy = time.perf_counter(), time.process_time()
        estimate(
            statistics,
            group_ids=groups,
            strata=judged.truth,
            config=EvaluateConfig(bootstrap_resamples=options.resamples),
        )
        seconds, busy = time.perf_counter() - started, time.process_time() - busy
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        row = (f"{films:,}", len(statistics), f"{options.resamples:,}", f"{seconds:.1f}")
        print("|", " | ".join(map(str, row)), f"| {busy:.1f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
