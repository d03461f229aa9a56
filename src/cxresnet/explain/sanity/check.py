"""What a sanity check is: one function, registered where it is defined with its question.

A check stands in a file of this package that is listed in `_MODULES`:

    @register_check(SanityCheck(test="deletion", title="Deletion", question=..., passes=..., ...))
    def check_deletion(experiment: SanityExperiment, method: AbstractMethod) -> TestResult: ...
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxresnet.explain.methods.method import AbstractMethod
from cxresnet.explain.overlay import compute_drawn_map
from cxresnet.explain.sanity.map_similarity import (
    MEASURES,
    Measure,
    ReferenceMaps,
    build_reference_maps,
    compute_similarity_retained,
)
from cxresnet.explain.sanity.record import SanityMeasure, TestResult
from cxresnet.explain.workers import map_calls
from cxresnet.metrics.bootstrap import estimate_mean
from cxresnet.metrics.estimate import Estimate, format_estimate

_MODULES = (
    "weight_randomization",
    "deletion_insertion",
    "repeatability",
    "localization",
    "baseline_agreement",
)
"""Where checks are defined, in the order of the card."""

_NOTHING_MEASURED = (
    "Nothing could be measured: the maps are empty, or every noise sample changes the prediction."
)

_BATCH = 6
"""Images whose maps are computed at once: what is prepared once for a network serves them all."""

Maps = NDArray[np.float32]
Values = NDArray[np.float64]
SimilarityRetained = dict[Measure, Values]
"""For each measure, the similarity that each image's map retains, (image,)."""

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class SanityImages:
    """Images with their explained classes and masks; no two of one patient.

    Attributes:
        pixels: (image, row, column), uint8, as prepared.
        images: (image, 1, row, column), float32, normalised.
        targets: The class explained, which is the one decided for.
        truth: The labelled class.
        lung_masks: (image, row, column), above 0 in the lungs; empty where not known.
        lesion_masks: (image, row, column), above 0 in the lesions; empty where not known.
        grey_level: One grey level of 255, in the units of `images`.
    """

    pixels: NDArray[np.uint8]
    images: Tensor
    targets: tuple[int, ...]
    truth: tuple[int, ...]
    lung_masks: NDArray[np.uint8]
    lesion_masks: NDArray[np.uint8]
    grey_level: float

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: NDArray[np.intp]) -> SanityImages:
        """Take some of the images."""
        return SanityImages(
            pixels=self.pixels[rows],
            images=self.images[torch.from_numpy(rows).to(self.images.device)],
            targets=tuple(self.targets[row] for row in rows),
            truth=tuple(self.truth[row] for row in rows),
            lung_masks=self.lung_masks[rows],
            lesion_masks=self.lesion_masks[rows],
            grey_level=self.grey_level,
        )


@dataclass(frozen=True, eq=False)
class SanityExperiment:
    """One network, the methods under test, and the images that they are tested on.

    Attributes:
        network: From images to calibrated logits; in evaluation mode.
        methods: Under test.
        sample: Images of which no two are of one patient.
        class_names: In the order of the logits.
        seed: Of all random draws.
    """

    network: nn.Module
    methods: tuple[AbstractMethod, ...]
    sample: SanityImages
    class_names: tuple[str, ...]
    seed: int
    _results: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def maps(self) -> dict[str, Maps]:
        """The maps of every method, (image, row, column), by name of the method."""
        return {
            method.name: compute_maps(self.network, method, self.sample) for method in self.methods
        }

    @cached_property
    def reference(self) -> dict[str, ReferenceMaps]:
        """The same maps with the similarity between those of different images."""
        return {name: build_reference_maps(values) for name, values in self.maps.items()}

    def once(self, measure: Callable[[SanityExperiment], Result]) -> Result:
        """Measure only once what several methods or checks share."""
        if measure not in self._results:
            self._results[measure] = measure(self)
        result: Result = self._results[measure]
        return result


@dataclass(frozen=True, kw_only=True)
class SanityCheck:
    """One check, as readers see it.

    Attributes:
        test: Its name.
        title: A few words.
        question: The question that it answers.
        passes: The threshold.
        reason: Why the threshold lies there.
        source: The literature.
    """

    test: str
    title: str
    question: str
    passes: str
    reason: str
    source: str


CheckFunction = Callable[[SanityExperiment, AbstractMethod], TestResult]

_CHECKS: dict[SanityCheck, CheckFunction] = {}


def register_check(check: SanityCheck) -> Callable[[CheckFunction], CheckFunction]:
    """Make a check available; a decorator of the function that checks one method."""

    def register(run: CheckFunction) -> CheckFunction:
        _CHECKS[check] = run
        return run

    return register


def list_checks() -> tuple[SanityCheck, ...]:
    """List all checks in the order of the card; those registered elsewhere come last."""
    modules = [importlib.import_module(f"{__package__}.{name}") for name in _MODULES]
    order = {module.__name__: place for place, module in enumerate(modules)}
    last = len(order)
    return tuple(sorted(_CHECKS, key=lambda check: order.get(_CHECKS[check].__module__, last)))


def run_checks(experiment: SanityExperiment, method: AbstractMethod) -> tuple[TestResult, ...]:
    """Run all checks of one method, in the order of the card."""
    return tuple(_CHECKS[check](experiment, method) for check in list_checks())


def compute_maps(
    network: nn.Module,
    method: AbstractMethod,
    sample: SanityImages,
    *,
    images: Tensor | None = None,
    description: str = "Sanity checks",
) -> Maps:
    """Compute the maps as they are drawn, (image, row, column), a few images at a time.

    Args:
        network: From images to calibrated logits; in evaluation mode.
        method: Whose maps.
        sample: The images.
        images: Replace the images of the sample.
        description: For the progress bar.
    """
    shown = sample.images if images is None else images
    calls = [
        (network, method, shown[rows], sample.targets[rows], sample.lung_masks[rows])
        for rows in (slice(first, first + _BATCH) for first in range(0, len(sample), _BATCH))
    ]
    return np.concatenate(map_calls(_compute_some_maps, calls, f"{description}: {method.title}"))


def _compute_some_maps(
    network: nn.Module,
    method: AbstractMethod,
    images: Tensor,
    targets: tuple[int, ...],
    lung_masks: NDArray[np.uint8],
) -> Maps:
    found = method.attribute(
        network,
        images,
        targets=torch.tensor(targets, device=images.device),
        lung_masks=torch.from_numpy(lung_masks > 0).to(images.device),
    )
    return compute_drawn_map(found.cpu().numpy(), patch_px=method.drawn_patch_px)


def compute_all_retained(reference: ReferenceMaps, others: Maps) -> SimilarityRetained:
    """Compute by each measure how much of its similarity each map retains."""
    return {
        measure: compute_similarity_retained(reference, others, measure) for measure in MEASURES
    }


# Two looks: on a third of the images first, and on the rest only where the third does not decide.


FIRST_LOOK_NOTE = (
    "Measured on a third of the images, and on the others too unless its 99 % intervals decide."
)
_FIRST_LOOK_EVERY = 3
_FIRST_LOOK_LEAST = 8
_FIRST_LOOK_CONFIDENCE = 0.99


def list_looks(count: int) -> list[NDArray[np.intp]]:
    """List the rows of both looks: every third image, then the others; of few, all at once."""
    rows = np.arange(count)
    first = rows % _FIRST_LOOK_EVERY == 0
    return [rows[first], rows[~first]] if first.sum() >= _FIRST_LOOK_LEAST else [rows]


def is_decided(
    measured: Iterable[SimilarityRetained], *, limit: float, passes: Literal["below", "above"]
) -> bool:
    """Whether similarities lie clearly on one side of a limit: all that pass, or one that fails.

    Two looks would find an interval beyond the limit by chance more often than one does; the first
    one therefore uses intervals of 99 %.
    """
    sign = 1 if passes == "below" else -1
    estimates = [
        estimate_mean(sign * values, scale="agreement", confidence=_FIRST_LOOK_CONFIDENCE)
        for retained in measured
        for values in retained.values()
    ]
    return all(get_high(one) < sign * limit for one in estimates) or any(
        get_low(one) > sign * limit for one in estimates
    )


def join_looks(first: SimilarityRetained | None, second: SimilarityRetained) -> SimilarityRetained:
    """Join what both looks have measured; None stands for no first one."""
    if first is None:
        return second
    return {name: np.concatenate([values, second[name]]) for name, values in first.items()}


def grade_by_worst(
    test: str,
    measures: Sequence[SanityMeasure],
    *,
    margin: Callable[[SanityMeasure], float],
    sentence: str,
    signed: bool = False,
) -> TestResult:
    """Grade by the measure that is closest to failing, or fails by most.

    Args:
        test: Name of the check.
        measures: All numbers.
        margin: How far a measure is from failing; above 0 passes.
        sentence: With places for `estimate` and `name` of the deciding measure.
        signed: The numbers are differences.
    """
    ordered = sorted(measures, key=margin)
    if all(measure.estimate.value is None for measure in ordered):
        return TestResult(test=test, verdict="fail", sentence=_NOTHING_MEASURED)
    first = ordered[0]
    estimate = describe_estimate(first.estimate, signed=signed)
    return TestResult(
        test=test,
        verdict="pass" if margin(first) > 0 else "fail",
        sentence=sentence.format(estimate=estimate, name=first.name),
        measures=tuple(ordered),
    )


def report_untested(test: str, sentence: str) -> TestResult:
    """Report a check that could not be made, and why."""
    return TestResult(test=test, verdict="not tested", sentence=sentence)


def describe_estimate(estimate: Estimate, *, signed: bool = False) -> str:
    """Describe a number with its interval and how many images it rests on."""
    return format_estimate(estimate, digits=2, signed=signed, with_count=True)


def get_low(estimate: Estimate) -> float:
    """Get the lower end; the value where all images agree; the worst case with one image."""
    return _get_constant(estimate, worst=-1.0) if estimate.low is None else estimate.low


def get_high(estimate: Estimate) -> float:
    """Get the upper end; the value where all images agree; the worst case with one image."""
    return _get_constant(estimate, worst=1.0) if estimate.high is None else estimate.high


def _get_constant(estimate: Estimate, *, worst: float) -> float:
    return worst if estimate.value is None or estimate.n < 2 else estimate.value
