"""Cascading weight randomisation: do the maps change when learned weights are destroyed?"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxresnet.explain.methods.method import AbstractMethod
from cxresnet.explain.sanity.check import (
    FIRST_LOOK_NOTE,
    SanityCheck,
    SanityExperiment,
    SanityImages,
    SimilarityRetained,
    compute_all_retained,
    compute_maps,
    get_high,
    grade_by_worst,
    is_decided,
    join_looks,
    list_looks,
    register_check,
)
from cxresnet.explain.sanity.map_similarity import MEASURE_TITLES, MEASURES, ReferenceMaps
from cxresnet.explain.sanity.record import CascadeStep, SanityMeasure, TestResult
from cxresnet.metrics.bootstrap import estimate_mean

MAX_SIMILARITY_WHEN_RANDOMIZED = 0.5

CascadeSteps = list[tuple[str, SimilarityRetained]]
"""The similarity retained after each step, by the part whose weights were randomised last."""

Network = TypeVar("Network", bound=nn.Module)

_BATCH = 64


@register_check(
    SanityCheck(
        test="weight_randomization",
        title="Weight randomisation",
        question="Do the maps change when the learned weights are randomised?",
        passes="Once the upper half of the network is randomised, and at every step further down, "
        "the maps retain a similarity below 0.5 (upper end of the interval, worst of three "
        "measures; 0 is the similarity between the maps of two different images). "
        + FIRST_LOOK_NOTE,
        reason="A map that retains more than half was drawn by the image's edges, not by what the "
        "network learned.",
        source="Adebayo 2018 (cascading randomisation); Arun 2021 (other images' maps as zero)",
    )
)
def check_weight_randomization(experiment: SanityExperiment, method: AbstractMethod) -> TestResult:
    """Check that the maps of a method change when the weights are randomised."""
    return grade_weight_randomization(experiment.once(measure_cascade)[method.name])


def measure_cascade(experiment: SanityExperiment) -> dict[str, CascadeSteps]:
    """Measure the cascade of every method of an experiment, by name of the method."""
    found: dict[str, CascadeSteps] = {}
    methods = experiment.methods
    for rows in list_looks(len(experiment.sample)):
        looked = measure_weight_randomization(
            experiment.network,
            methods,
            experiment.sample,
            reference=experiment.reference,
            seed=experiment.seed,
            rows=rows,
        )
        found |= {name: _join_steps(found.get(name), steps) for name, steps in looked.items()}
        methods = tuple(method for method in methods if not _is_decided(found[method.name]))
        if not methods:
            break
    return found


def _join_steps(first: CascadeSteps | None, second: CascadeSteps) -> CascadeSteps:
    if first is None:
        return second
    pairs = zip(first, second, strict=True)
    return [(part, join_looks(one, other)) for (part, one), (_, other) in pairs]


def _is_decided(steps: CascadeSteps) -> bool:
    late = (retained for _, retained in _list_graded(steps))
    return is_decided(late, limit=MAX_SIMILARITY_WHEN_RANDOMIZED, passes="below")


def measure_weight_randomization(
    network: nn.Module,
    methods: Sequence[AbstractMethod],
    sample: SanityImages,
    *,
    reference: dict[str, ReferenceMaps],
    seed: int,
    rows: NDArray[np.intp] | None = None,
) -> dict[str, CascadeSteps]:
    """Measure how similar maps stay while weights are randomised from the head down.

    Args:
        network: Stays as it is; a copy is randomised.
        methods: Whose maps.
        sample: The images.
        reference: Maps of the trained network, by method.
        seed: Of the randomisation.
        rows: Of the images whose maps are compared; None for all.

    Returns:
        By method, and by the part that was randomised last.
    """
    found: dict[str, CascadeSteps] = {method.name: [] for method in methods}
    compared = np.arange(len(sample)) if rows is None else rows
    shown = sample.take(compared)
    for part, randomized in randomize_cascading(network, sample.images, seed=seed):
        for method in methods:
            others = compute_maps(
                randomized, method, shown, description=f"Randomised down to {part}"
            )
            theirs = reference[method.name].take(compared)
            found[method.name].append((part, compute_all_retained(theirs, others)))
    return found


def grade_weight_randomization(steps: Sequence[tuple[str, SimilarityRetained]]) -> TestResult:
    """Grade by the worst step from the one on that randomises the upper half of the network."""
    measures = [
        SanityMeasure(
            name=f"{MEASURE_TITLES[measure]}, weights randomised down to {part}",
            estimate=estimate_mean(similarity_retained[measure], scale="agreement"),
        )
        for part, similarity_retained in _list_graded(steps)
        for measure in MEASURES
    ]
    return grade_by_worst(
        "weight_randomization",
        measures,
        margin=lambda measure: MAX_SIMILARITY_WHEN_RANDOMIZED - get_high(measure.estimate),
        sentence="Maps keep a similarity of {estimate} at the worst randomisation step ({name}).",
    )


def _list_graded(
    steps: Sequence[tuple[str, SimilarityRetained]],
) -> Sequence[tuple[str, SimilarityRetained]]:
    """List the steps from the one on that randomises the upper half of the network."""
    return steps[len(steps) // 2 - 1 :] if len(steps) > 1 else steps


def estimate_similarity_retained(
    steps: Sequence[tuple[str, SimilarityRetained]],
) -> tuple[CascadeStep, ...]:
    """Estimate the similarity retained at every step of the cascade."""
    return tuple(
        CascadeStep(
            part=part,
            similarity_retained={
                measure: estimate_mean(similarity_retained[measure], scale="agreement")
                for measure in MEASURES
            },
        )
        for part, similarity_retained in steps
    )


def list_parts(network: nn.Module) -> list[tuple[str, tuple[nn.Module, ...]]]:
    """List the parts that have weights, by name, from the head down to the stem.

    A container (a wrapper, or a sequence of stages) counts as its parts; the heads of the members
    of an ensemble are one part, and so on down.
    """
    parts: list[tuple[str, tuple[nn.Module, ...]]] = []
    for name, child in network.named_children():
        if not any(True for _ in child.parameters()):
            continue
        if name == "members":
            rows = zip(*(list_parts(member) for member in child.children()), strict=True)
            joined = [(row[0][0], tuple(m for _, one in row for m in one)) for row in rows]
            parts += reversed(joined)
        elif name in {"network", "stages"}:
            parts += reversed(list_parts(child))
        else:
            parts.append((name, (child,)))
    return parts[::-1]


def randomize_cascading(
    network: Network, images: Tensor, *, seed: int
) -> Iterator[tuple[str, Network]]:
    """Randomise the weights of a copy, part by part, from the head down.

    Each tensor is permuted: what was learned is destroyed, the scale of the weights is not. The
    running statistics of the norms in randomised parts are estimated again on the images, as in
    training; otherwise the activations would explode, and the maps would differ for that reason
    alone.

    Args:
        network: In evaluation mode; stays as it is.
        images: (image, 1, height, width), on which norms are measured.
        seed: Of the permutations.

    Yields:
        The part randomised last, and the copy: one object that keeps changing.

    References:
        Adebayo 2018, section 3.1, cascading randomisation. They draw new weights; permuted ones
        also work for networks whose branches start with a gain of zero, as ours do.
    """
    ours = copy.deepcopy(network)
    random = torch.Generator().manual_seed(seed)
    randomized: list[nn.Module] = []
    for name, modules in list_parts(ours):
        for module in modules:
            _randomize(module, random)
        randomized += modules
        _measure_norms(ours, randomized, images)
        yield name, ours


def randomize_all(network: Network, images: Tensor, *, seed: int) -> Network:
    """Randomise all weights of a copy; see `randomize_cascading`."""
    ours = copy.deepcopy(network)
    random = torch.Generator().manual_seed(seed)
    parts = [module for _, modules in list_parts(ours) for module in modules]
    for part in parts:
        _randomize(part, random)
    _measure_norms(ours, parts, images)
    return ours


def _randomize(part: nn.Module, random: torch.Generator) -> None:
    for parameter in part.parameters():
        places = torch.randperm(parameter.numel(), generator=random).to(parameter.device)
        values = parameter.data.flatten()[places]
        # Copied in place, so that the layout in memory stays (channels last).
        parameter.data.copy_(values.view(parameter.shape))


def _measure_norms(network: nn.Module, parts: list[nn.Module], images: Tensor) -> None:
    """Estimate the running statistics of the norms in `parts` again; ends in evaluation mode."""
    norms = [
        module
        for part in parts
        for module in part.modules()
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None
    ]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        for batch in torch.split(images, _BATCH):
            if len(batch) > 1 or len(images) == 1:
                network(batch)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
        norm.eval()
