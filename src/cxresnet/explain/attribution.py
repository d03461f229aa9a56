"""From chosen images to attributions: every map of every image, with what is measured on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxresnet.core.errors import RunFolderError
from cxresnet.explain.cache import CachedMap, MapCache, open_map_cache
from cxresnet.explain.choice import Choice, choose_images
from cxresnet.explain.context import ExplainContext, list_versions
from cxresnet.explain.lungs import (
    ImageLungs,
    choose_lungs,
    compute_lung_area_share,
    compute_lung_share,
)
from cxresnet.explain.methods.method import AbstractMethod, compute_target_probabilities
from cxresnet.explain.overlay import compute_own_scale_limit
from cxresnet.explain.record import Attributions, ExplainedImage, ExplanationIndex, MethodRecord
from cxresnet.explain.workers import map_calls

_SHARED_UNITS = {"change of probability", "probability per pixel"}

_LOGIT_TOLERANCE = 0.05
"""Between the table and the network now: wider than any difference between two machines."""


@dataclass(frozen=True, eq=False)
class ImageMaps:
    """Maps of images, with baseline probabilities and completeness errors of complete methods.

    Attributes:
        maps: For each method (image, row, column), float32, signed, in the method's unit.
        baseline_ranges: For each method with several baselines, the same shape, at least 0.
        baseline_probabilities: For each complete method, (image,).
        completeness_errors: For each complete method, (image,): p(image) - p(baseline) - sum of
            the map.
    """

    maps: Mapping[str, NDArray[np.float32]]
    baseline_ranges: Mapping[str, NDArray[np.float32]]
    baseline_probabilities: Mapping[str, NDArray[np.float64]]
    completeness_errors: Mapping[str, NDArray[np.float64]]


def explain_images(
    network: nn.Module,
    images: Tensor,
    *,
    methods: Sequence[AbstractMethod],
    targets: Sequence[int],
    lung_masks: NDArray[np.uint8],
    cache: MapCache | None = None,
) -> ImageMaps:
    """Compute every map of every image.

    Args:
        network: From images to calibrated logits; in evaluation mode.
        images: (image, 1, height, width), float32, normalised.
        methods: What to compute.
        targets: The class explained, for each image.
        lung_masks: (image, height, width), above 0 in the lungs; empty where not known.
        cache: Of maps that were computed before; every new one is stored at once, so that an
            interrupted run loses only the map it was computing.
    """
    count, shape = len(images), (len(images), *images.shape[-2:])
    maps = {method.name: np.zeros(shape, np.float32) for method in methods}
    baseline_ranges: dict[str, NDArray[np.float32]] = {}
    starts = {method.name: np.zeros(count) for method in methods if method.satisfies_completeness}
    completeness_errors = {name: np.zeros(count) for name in starts}
    steps = [(row, method) for row in range(count) for method in methods]
    tensors = [
        (
            images[row : row + 1],
            torch.tensor([targets[row]], device=images.device),
            torch.from_numpy(lung_masks[row : row + 1] > 0).to(images.device),
        )
        for row in range(count)
    ]
    calls = [(network, *tensors[row], method, cache) for row, method in steps]
    found = map_calls(_explain_image, calls, "Explaining images")
    for (row, method), cached in zip(steps, found, strict=True):
        maps[method.name][row] = cached.values
        if cached.baseline_range is not None:
            baseline_ranges.setdefault(method.name, np.zeros(shape, np.float32))[row] = (
                cached.baseline_range
            )
        if method.satisfies_completeness:
            start, rest = _measure_completeness(
                network, *tensors[row][:2], method=method, values=cached.values
            )
            starts[method.name][row], completeness_errors[method.name][row] = start, rest
    return ImageMaps(
        maps,
        baseline_ranges,
        baseline_probabilities=starts,
        completeness_errors=completeness_errors,
    )


def _explain_image(
    network: nn.Module,
    image: Tensor,
    target: Tensor,
    lungs: Tensor,
    method: AbstractMethod,
    cache: MapCache | None,
) -> CachedMap:
    """Compute one map of one image, unless it is cached."""
    inputs = (image, target, lungs)
    if cache is not None and (cached := cache.find(method, inputs)):
        return cached
    values = method.attribute(network, image, targets=target, lung_masks=lungs)
    baseline_range = method.compute_baseline_range(network, image, targets=target, values=values)
    found = CachedMap(
        values=values[0].cpu().numpy(),
        baseline_range=None if baseline_range is None else baseline_range[0].cpu().numpy(),
    )
    if cache is not None:
        cache.store(method, inputs, found)
    return found


def _measure_completeness(
    network: nn.Module,
    image: Tensor,
    target: Tensor,
    *,
    method: AbstractMethod,
    values: NDArray[np.float32],
) -> tuple[float, float]:
    """Measure the baseline probability, and the completeness error of a map."""
    with torch.no_grad():
        end = compute_target_probabilities(network, image, target)
    start = method.compute_baseline_probabilities(network, image, targets=target)
    rest = float(end) - float(start) - float(values.sum(dtype=np.float64))
    return float(start), rest


def describe_method(method: AbstractMethod, maps: NDArray[np.float32]) -> MethodRecord:
    """Describe a method, and the scale of its maps, (image, row, column)."""
    shared = method.unit in _SHARED_UNITS
    return MethodRecord(
        name=method.name,
        title=method.title,
        interpretation=method.interpretation,
        caption=method.caption,
        unit=method.unit,
        parameters=method.parameters,
        baseline=method.baseline,
        layer=method.layer,
        drawn_patch_px=method.drawn_patch_px,
        own_scale_limit=None if shared else compute_own_scale_limit(maps),
    )


def compute_attributions(context: ExplainContext) -> Attributions:
    """Choose images and compute their maps.

    The explained class is the one that the operating point decides for, and the unit is the change
    of its calibrated probability: the same probability that the test reports. Where the test uses
    test-time augmentation, the image itself is explained.

    Raises:
        RunFolderError: The predictions are of another network or of other images, or there are
            none.
    """
    choices = choose_images(
        context.evaluated,
        image_ids=context.predictions.image_ids,
        group_ids=context.predictions.group_ids,
        images_per_class=context.config.images_per_class,
    )
    return explain_choices(context, choices)


def explain_choices(context: ExplainContext, choices: Sequence[Choice]) -> Attributions:
    """Compute the maps of images that were chosen.

    Raises:
        RunFolderError: The predictions are of another network or of other images, or there are
            none.
    """
    if not choices:
        raise RunFolderError(
            "No image of the test set has a known class, so there is nothing to explain."
        )
    rows = context.find_test_rows([choice.row for choice in choices])
    images = np.stack([context.test.images[row] for row in rows])
    _require_same_logits(context, images, choices)
    lungs = [
        choose_lungs(image, context.test.lung_mask(row))
        for image, row in zip(images, rows, strict=True)
    ]
    lung_masks = np.stack([one.mask for one in lungs])
    methods = context.build_methods()
    found = explain_images(
        context.network,
        context.predictor.to_tensor(images),
        methods=methods,
        targets=[choice.target for choice in choices],
        lung_masks=lung_masks,
        cache=_open_cache(context),
    )
    described = tuple(
        _describe(context, choice, lungs=lungs[row], found=found, row=row)
        for row, choice in enumerate(choices)
    )
    return Attributions(
        index=build_index(
            tuple(describe_method(method, found.maps[method.name]) for method in methods),
            images=described,
            class_names=context.evaluation.class_names,
            data_verdict=context.evaluation.data_verdict,
        ),
        images=images,
        lung_masks=lung_masks,
        maps=found.maps,
        baseline_ranges=found.baseline_ranges,
    )


def _open_cache(context: ExplainContext) -> MapCache | None:
    if context.cache_folder is None:
        return None
    return open_map_cache(context.cache_folder, context.network, versions=list_versions())


def _require_same_logits(
    context: ExplainContext, images: NDArray[np.uint8], choices: Sequence[Choice]
) -> None:
    """Refuse to explain a network with another one's predictions."""
    augmented = context.evaluation.provenance.test_time_augmentation > 1
    now = context.predictor.predict_images(images, test_time_augmentation=augmented)
    before = context.predictions.logits[[choice.row for choice in choices]]
    if now.shape != before.shape or np.abs(now - before).max() > _LOGIT_TOLERANCE:
        raise RunFolderError(
            "The predictions are not those of the network in this run: it was trained again, or "
            "the images have changed. Evaluate again."
        )


def build_index(
    records: tuple[MethodRecord, ...],
    *,
    images: tuple[ExplainedImage, ...],
    class_names: tuple[str, ...],
    data_verdict: str = "",
) -> ExplanationIndex:
    """Build the index of maps.

    Args:
        records: The methods, in order.
        images: What was decided and measured, one per image.
        class_names: In the order of the logits.
        data_verdict: What the audit found in the training data; "" if it was not run.
    """
    return ExplanationIndex(
        class_names=class_names,
        data_verdict=data_verdict,
        versions=list_versions(),
        methods=records,
        images=images,
    )


def _describe(
    context: ExplainContext, choice: Choice, *, lungs: ImageLungs, found: ImageMaps, row: int
) -> ExplainedImage:
    """Describe image `row` of the maps: what was decided and what was measured on it."""
    predictions, names = context.predictions, context.predictions.class_names
    probabilities = context.evaluated.probabilities[choice.row]
    maps = {name: values[row] for name, values in found.maps.items()}
    area, shares = measure_lungs(lungs.mask, maps)
    return ExplainedImage(
        image_id=predictions.image_ids[choice.row],
        patient_id=predictions.patient_ids[choice.row],
        source=predictions.sources[choice.row],
        true_class=names[predictions.truth[choice.row]],
        predicted_class=names[choice.predicted],
        probability=float(probabilities[choice.predicted]),
        explained_class=names[choice.target],
        explained_probability=float(probabilities[choice.target]),
        selection_reason=choice.selection_reason,
        lung_source=lungs.source,
        lung_note=lungs.note,
        lung_area_share=area,
        lung_shares=shares,
        baseline_probabilities=_take(found.baseline_probabilities, row),
        completeness_errors=_take(found.completeness_errors, row),
    )


def _take(values: Mapping[str, NDArray[np.float64]], row: int) -> dict[str, float]:
    return {name: float(each[row]) for name, each in values.items()}


def measure_lungs(
    lung_mask: NDArray[np.uint8], maps: Mapping[str, NDArray[np.float32]]
) -> tuple[float | None, dict[str, float]]:
    """Measure the lungs' share of the image and of each map; nothing where there is no mask."""
    if not lung_mask.any():
        return None, {}
    shares = {name: compute_lung_share(values, lung_mask) for name, values in maps.items()}
    known = {name: share for name, share in shares.items() if share is not None}
    return compute_lung_area_share(lung_mask), known
