"""Does the network know anything? Without that, no map can be right about it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxresnet.core.progress import track
from cxresnet.core.seeding import derive_seed
from cxresnet.explain.trust.record import Knowledge
from cxresnet.explain.trust.shuffle import shuffle_whole
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.classification import Judged, build_headline_statistics
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import Statistic, compute_value

__all__ = ["measure_knowledge"]

_COPIES = 19
"""A network that knows nothing is the best of 20 such by chance in one case of 20."""

_RESAMPLES = 500
_BATCH = 64


def measure_knowledge(
    network: nn.Module,
    images: Tensor,
    *,
    truth: NDArray[np.int64],
    groups: NDArray[np.str_],
    class_names: tuple[str, ...],
    seed: int,
) -> Knowledge:
    """Ask whether the network is better than chance, and than copies with shuffled weights.

    A network with random weights is one more such copy: it is the best of 20 by chance alone in one
    case of 20. That its maps are steady, and that its answer goes with what they say, is no reason
    to believe them: they are right about nothing.

    Args:
        network: From images to calibrated logits; stays as it is.
        images: (film, 1, height, width), normalised.
        truth: Class of each film, (film,).
        groups: Patient of each film, (film,).
        class_names: In the order of the logits.
        seed: Of shuffling and bootstrap.
    """
    auroc = _build_auroc(network, images, truth=truth, class_names=class_names)
    (estimate,) = compute_estimates(
        [auroc],
        groups=groups,
        resamples=_RESAMPLES,
        confidence=0.95,
        generator=np.random.default_rng(derive_seed(seed, "trust knowledge")),
    ).values()
    copies = []
    for number in track(range(_COPIES), "Asking shuffled networks"):
        shuffled = shuffle_whole(network, images, seed=derive_seed(seed, "trust copy", number))
        theirs = _build_auroc(shuffled, images, truth=truth, class_names=class_names)
        copies.append(compute_value(theirs))
    known = [value for value in copies if value is not None]
    return _judge(estimate, max(known) if known else None)


def _judge(estimate: Estimate, best: float | None) -> Knowledge:
    if estimate.value is None or best is None:
        sentence = "Whether the network knows anything cannot be told: a class is missing."
        return Knowledge(
            passed=False,
            macro_auroc=estimate,
            shuffled_best=best,
            copies=_COPIES,
            sentence=sentence,
        )
    # An AUROC of exactly 1 has no spread, and so no lower end.
    low = estimate.value if estimate.low is None else estimate.low
    passed = low > 0.5 and estimate.value > best
    sentence = (
        f"Macro AUROC {estimate.value:.3f} (from {low:.3f}) on {estimate.n} films; the best of "
        f"{_COPIES} copies with shuffled weights reaches {best:.3f}. "
    )
    sentence += (
        "The network knows something that a map can be right about."
        if passed
        else "The network knows no more than chance: there is nothing that a map could be right "
        "about, and no method is passed."
    )
    return Knowledge(
        passed=passed,
        macro_auroc=estimate,
        shuffled_best=best,
        copies=_COPIES,
        sentence=sentence,
    )


def _build_auroc(
    network: nn.Module, images: Tensor, *, truth: NDArray[np.int64], class_names: tuple[str, ...]
) -> Statistic:
    with torch.no_grad():
        logits = torch.cat([network(batch) for batch in torch.split(images, _BATCH)])
    probabilities = logits.double().softmax(dim=1).cpu().numpy()
    judged = Judged(
        class_names=class_names,
        truth=truth,
        predicted=probabilities.argmax(axis=1),
        probabilities=probabilities,
    )
    present = np.unique(truth).tolist()
    return build_headline_statistics(judged, classes=present)[-1]
