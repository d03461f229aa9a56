"""Repeatability: do the maps stay the same under imperceptible noise and under another seed?"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxresnet.core.seeding import derive_seed
from cxresnet.explain.methods.method import AbstractMethod
from cxresnet.explain.sanity.check import (
    FIRST_LOOK_NOTE,
    SanityCheck,
    SanityExperiment,
    SanityImages,
    SimilarityRetained,
    Values,
    compute_all_retained,
    compute_maps,
    get_low,
    grade_by_worst,
    is_decided,
    join_looks,
    list_looks,
    register_check,
)
from cxresnet.explain.sanity.map_similarity import MEASURE_TITLES, MEASURES, ReferenceMaps
from cxresnet.explain.sanity.record import SanityMeasure, TestResult
from cxresnet.metrics.bootstrap import estimate_mean

MIN_SIMILARITY_WHEN_REPEATED = 0.5

NOISE_GREY_LEVELS = 2.0
"""Standard deviation of the noise, of 255 grey levels: imperceptible on an X-ray."""

_NOISE_RESAMPLES = 2
_MOST_PROBABILITY_MOVED = 0.05


@register_check(
    SanityCheck(
        test="repeatability",
        title="Repeatability",
        question="Do the maps stay the same under imperceptible noise, and under another seed?",
        passes="The maps retain a similarity above 0.5 (lower end of the interval, worst of three "
        "measures). " + FIRST_LOOK_NOTE,
        reason="The counterpart of weight randomisation: a change that counts as large there "
        "must not occur here.",
        source="Arun 2021 (repeatability)",
    )
)
def check_repeatability(experiment: SanityExperiment, method: AbstractMethod) -> TestResult:
    """Check that the maps of a method are reproducible."""
    noise: SimilarityRetained | None = None
    seeds: SimilarityRetained | None = None
    for rows in list_looks(len(experiment.sample)):
        network, sample = experiment.network, experiment.sample.take(rows)
        reference = experiment.reference[method.name].take(rows)
        noise = join_looks(
            noise,
            measure_noise(network, method, sample, reference=reference, seed=experiment.seed),
        )
        repeated = measure_seeds(network, method, sample, reference=reference)
        seeds = None if repeated is None else join_looks(seeds, repeated)
        measured = [one for one in (noise, seeds) if one is not None]
        if is_decided(measured, limit=MIN_SIMILARITY_WHEN_REPEATED, passes="above"):
            break
    return grade_repeatability(noise or {}, seeds)


def grade_repeatability(noise: SimilarityRetained, seeds: SimilarityRetained | None) -> TestResult:
    """Grade the similarity retained under slight noise, and under another seed if there is one."""
    measures = [
        SanityMeasure(
            name=f"{MEASURE_TITLES[measure]}, {cause}",
            estimate=estimate_mean(similarity_retained[measure], scale="agreement"),
        )
        for cause, similarity_retained in (("slight noise", noise), ("another seed", seeds))
        if similarity_retained is not None
        for measure in MEASURES
    ]
    return grade_by_worst(
        "repeatability",
        measures,
        margin=lambda measure: get_low(measure.estimate) - MIN_SIMILARITY_WHEN_REPEATED,
        sentence="Maps keep a similarity of {estimate} in the worst case ({name}).",
    )


def measure_noise(
    network: nn.Module,
    method: AbstractMethod,
    sample: SanityImages,
    *,
    reference: ReferenceMaps,
    seed: int,
) -> SimilarityRetained:
    """Measure how similar maps stay under noise that leaves the prediction unchanged.

    Noise that changes the decision, or the probability by more than 0.05, does not count.

    Returns:
        Means over the noise samples that count; NaN where none does.
    """
    draws: list[SimilarityRetained] = []
    for number in range(_NOISE_RESAMPLES):
        random = torch.Generator().manual_seed(derive_seed(seed, "trust noise", number))
        noise = torch.randn(sample.images.shape, generator=random).to(sample.images)
        noisy = sample.images + NOISE_GREY_LEVELS * sample.grey_level * noise
        others = compute_maps(network, method, sample, images=noisy, description="Slight noise")
        same = _find_unchanged(network, sample, noisy)
        similarity_retained = compute_all_retained(reference, others)
        draws.append(
            {name: np.where(same, values, np.nan) for name, values in similarity_retained.items()}
        )
    return {name: _mean_known([draw[name] for draw in draws]) for name in MEASURES}


def measure_seeds(
    network: nn.Module, method: AbstractMethod, sample: SanityImages, *, reference: ReferenceMaps
) -> SimilarityRetained | None:
    """Measure how similar maps stay under another seed; None for a deterministic method."""
    if "seed" not in method.parameters:
        return None
    other = dataclasses.replace(method, seed=int(method.parameters["seed"]) + 1)  # type: ignore[call-arg]
    return compute_all_retained(
        reference, compute_maps(network, other, sample, description="Another seed")
    )


def _find_unchanged(network: nn.Module, sample: SanityImages, noisy: Tensor) -> NDArray[np.bool_]:
    with torch.no_grad():
        before, after = (network(images).softmax(dim=1) for images in (sample.images, noisy))
    targets = torch.tensor(sample.targets, device=before.device)[:, None]
    moved = (after - before).gather(1, targets).abs()[:, 0]
    same = (before.argmax(dim=1) == after.argmax(dim=1)) & (moved < _MOST_PROBABILITY_MOVED)
    unchanged: NDArray[np.bool_] = same.cpu().numpy()
    return unchanged


def _mean_known(draws: list[Values]) -> Values:
    table = np.stack(draws)
    counts = (~np.isnan(table)).sum(axis=0)
    sums = np.nansum(table, axis=0)
    means: Values = np.full(len(sums), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
