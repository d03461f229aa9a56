"""How long the intervals of an evaluation take: 2,000 resamples, and how that grows with images.

Run: python benchmarks/bootstrap.py [--images 1000 10000] [--resamples 2000]

Everything that `cxresnet evaluate` estimates at once is estimated: the network's scores, those of
the shortcut baselines and the differences from them, thresholds, and net benefit, for three classes
and 3 images a patient. One thread does the work unless the mathematics library takes more.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from scipy import special

from cxresnet.core.config import EvaluateConfig
from cxresnet.evaluate.clinical import choose_thresholds
from cxresnet.evaluate.from_predictions import TOPICS
from cxresnet.evaluate.topic import Background, EvaluationInputs, estimate
from cxresnet.metrics.statistic import Statistic
from cxresnet.predict.decision import build_plain_operating_point
from cxresnet.predict.predictions import Predictions
from cxresnet.shortcuts.baseline import BASELINES, BaselinePredictions


def draw(images: int, generator: np.random.Generator) -> Predictions:
    """Draw images of three classes and patients."""
    patient = np.arange(images) // 3
    truth = patient % 3
    names = tuple(map(str, range(images)))
    groups = tuple(patient.astype(str).tolist())
    return Predictions(
        image_ids=names,
        patient_ids=groups,
        group_ids=groups,
        sources=("drawn",) * images,
        truth=truth.astype(np.int64),
        logits=(generator.normal(size=(images, 3)) + 1.5 * np.eye(3)[truth]).astype(np.float32),
        class_names=("normal", "pneumonia", "covid-19"),
    )


def list_all(inputs: EvaluationInputs) -> list[Statistic]:
    """List every statistic that an evaluation estimates together."""
    return [statistic for topic in TOPICS for statistic in topic.list_statistics(inputs)]


def build_inputs(images: Predictions, generator: np.random.Generator) -> EvaluationInputs:
    """Build the inputs of the topics, with baselines and thresholds."""
    plain = EvaluateConfig(bootstrap_resamples=100)
    point = build_plain_operating_point(3)
    baselines = tuple(
        BaselinePredictions(rule, special.softmax(generator.normal(size=(len(images), 3)), 1))
        for rule in BASELINES
    )
    thresholds = choose_thresholds(
        images.select(np.arange(len(images)) < 300), point=point, config=plain
    )
    background = Background(baselines=baselines, thresholds=thresholds)
    return EvaluationInputs(images=images, point=point, background=background, config=plain)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--resamples", type=int, default=2_000)
    options = parser.parse_args()
    print("| images | numbers | resamples | seconds | processor seconds | peak MiB |")
    print("|---|---|---|---|---|---|")
    for images in options.images:
        generator = np.random.default_rng(0)
        inputs = build_inputs(draw(images, generator), generator)
        statistics = list_all(inputs)
        started, busy = time.perf_counter(), time.process_time()
        estimate(
            statistics,
            group_ids=inputs.group_ids,
            strata=inputs.evaluated.truth,
            config=EvaluateConfig(bootstrap_resamples=options.resamples),
        )
        seconds, busy = time.perf_counter() - started, time.process_time() - busy
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        row = (f"{images:,}", len(statistics), f"{options.resamples:,}", f"{seconds:.1f}")
        print("|", " | ".join(map(str, row)), f"| {busy:.1f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
