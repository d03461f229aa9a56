"""The above-chance check: attribution maps of a model that does not beat chance are meaningless."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxresnet.core.seeding import derive_seed
from cxresnet.explain.sanity.record import AboveChance
from cxresnet.explain.sanity.weight_randomization import randomize_all
from cxresnet.explain.workers import map_calls
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.classification import ClassifiedImages, build_headline_statistics
from cxresnet.metrics.estimate import Estimate, format_estimate
from cxresnet.metrics.statistic import Statistic, compute_value
from cxresnet.predict.decision import fold_for_inference

_RANDOMIZED_MODELS = 19
"""A model that has learned nothing is the best of 20 such models by chance in one case of 20."""

_RESAMPLES = 500
_BATCH = 64
_NORM_IMAGES = 64


def measure_above_chance(
    network: nn.Module,
    images: Tensor,
    *,
    truth: NDArray[np.int64],
    groups: NDArray[np.str_],
    class_names: tuple[str, ...],
    seed: int,
) -> AboveChance:
    """Test whether the network beats chance and models with randomised weights.

    A network with random weights is one more such model, and the best of 20 by chance alone in one
    case of 20. Its maps may be repeatable and its probability may follow them, but they do not
    show anything that was learned.

    Args:
        network: From images to calibrated logits; stays as it is.
        images: (image, 1, height, width), normalised.
        truth: Class of each image, (image,).
        groups: Patient of each image, (image,).
        class_names: In the order of the logits.
        seed: Of randomisation and bootstrap.
    """
    auroc = _build_auroc(network, images, truth=truth, class_names=class_names)
    (estimate,) = compute_estimates(
        [auroc],
        groups=groups,
        resamples=_RESAMPLES,
        confidence=0.95,
        generator=np.random.default_rng(derive_seed(seed, "trust knowledge")),
    ).values()
    calls = [
        (network, images, truth, class_names, derive_seed(seed, "trust copy", number))
        for number in range(_RANDOMIZED_MODELS)
    ]
    randomized_models = map_calls(
        _measure_randomized, calls, "Evaluating networks with randomised weights"
    )
    known = [value for value in randomized_models if value is not None]
    return _grade(estimate, max(known) if known else None)


def _measure_randomized(
    network: nn.Module,
    images: Tensor,
    truth: NDArray[np.int64],
    class_names: tuple[str, ...],
    seed: int,
) -> float | None:
    """Measure the macro AUROC of a copy of the network with randomised weights."""
    # Means and variances of the norms need few images; every so many-th, as these are in order.
    step = -(-len(images) // _NORM_IMAGES)
    randomized = randomize_all(network, images[::step], seed=seed)
    return compute_value(_build_auroc(randomized, images, truth=truth, class_names=class_names))


def _grade(estimate: Estimate, best: float | None) -> AboveChance:
    passed, sentence = False, "Above-chance performance cannot be checked: a class is missing."
    if estimate.value is not None and best is not None:
        # An AUROC of exactly 1 does not vary, and so has no lower end.
        low = estimate.value if estimate.low is None else estimate.low
        passed = low > 0.5 and estimate.value > best
        numbers = (
            f"Macro AUROC {format_estimate(estimate, with_count=True)}; the best of "
            f"{_RANDOMIZED_MODELS} models with randomised weights reaches {best:.3f}."
        )
        conclusion = (
            "The model beats chance, so attribution maps can be meaningful."
            if passed
            else "The model does not beat chance, so attribution maps are not meaningful and every "
            "method fails."
        )
        sentence = f"{numbers} {conclusion}"
    return AboveChance(
        passed=passed,
        macro_auroc=estimate,
        randomized_best=best,
        randomized_models=_RANDOMIZED_MODELS,
        sentence=sentence,
    )


def _build_auroc(
    network: nn.Module, images: Tensor, *, truth: NDArray[np.int64], class_names: tuple[str, ...]
) -> Statistic:
    folded = fold_for_inference(network)
    with torch.no_grad():
        logits = torch.cat([folded(batch) for batch in torch.split(images, _BATCH)])
    probabilities = logits.double().softmax(dim=1).cpu().numpy()
    evaluated = ClassifiedImages(
        class_names=class_names,
        truth=truth,
        predicted=probabilities.argmax(axis=1),
        probabilities=probabilities,
    )
    present = np.unique(truth).tolist()
    return build_headline_statistics(evaluated, classes=present)[-1]
