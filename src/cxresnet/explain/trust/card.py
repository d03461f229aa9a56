"""The card itself: every test of every method on one network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from cxresnet.explain.maps import list_versions
from cxresnet.explain.method import AbstractMethod
from cxresnet.explain.trust.films import TrustFilms
from cxresnet.explain.trust.likeness import build_own_maps
from cxresnet.explain.trust.measures import (
    compute_maps,
    measure_covering,
    measure_lungs,
    measure_noise,
    measure_pointing,
    measure_seeds,
    measure_shuffled,
)
from cxresnet.explain.trust.record import Knowledge, MethodCard, TestResult, TrustCard
from cxresnet.explain.trust.verdicts import (
    estimate_kept,
    judge_covering,
    judge_lungs,
    judge_pointing,
    judge_repeatability,
    judge_weights,
)

__all__ = ["CardContext", "measure_card"]


@dataclass(frozen=True)
class CardContext:
    """What is known of a card before its tests.

    Attributes:
        class_names: In the order of the logits.
        knowledge: Of the network.
        masks_found: Lung masks that come from the lung finder.
        seed: Of all chance in the tests.
        content: Hash over what goes in.
        network: Hash over the weights.
        data_verdict: What the training data betray; "" if nobody asked.
    """

    class_names: tuple[str, ...]
    knowledge: Knowledge
    masks_found: int = 0
    seed: int = 0
    content: str = ""
    network: str = ""
    data_verdict: str = ""


def measure_card(
    network: nn.Module,
    methods: Sequence[AbstractMethod],
    trust: TrustFilms,
    *,
    context: CardContext,
) -> TrustCard:
    """Put every method through every test.

    Args:
        network: From images to calibrated logits; in evaluation mode; stays as it is, also after an
            error: what is shuffled is a copy.
        methods: To be tested.
        trust: Films of which no two are of one patient.
        context: What is known already.

    Raises:
        ModelModeError: The network is training.
    """
    maps = {method.name: compute_maps(network, method, trust) for method in methods}
    coverings = measure_covering(network, trust, maps=maps, seed=context.seed)
    own = {name: build_own_maps(values) for name, values in maps.items()}
    cascades = measure_shuffled(network, methods, trust, own=own, seed=context.seed)
    cards = []
    for method in methods:
        ours, covering, steps = maps[method.name], coverings[method.name], cascades[method.name]
        noise = measure_noise(network, method, trust, own=own[method.name], seed=context.seed)
        seeds = measure_seeds(network, method, trust, own=own[method.name])
        shares, areas = measure_lungs(ours, trust)
        tests: tuple[TestResult, ...] = (
            judge_weights(steps),
            judge_covering("deletion", covering.deletion),
            judge_covering("insertion", covering.insertion),
            judge_repeatability(noise, seeds),
            judge_lungs(shares, areas, targets=trust.targets, class_names=context.class_names),
            judge_pointing(*measure_pointing(ours, trust)),
        )
        if not context.knowledge.passed:
            tests = tuple(_fail_for_ignorance(test) for test in tests)
        cards.append(
            MethodCard(
                name=method.name,
                title=method.title,
                trusted=all(test.verdict != "fail" for test in tests),
                tests=tests,
                steps=estimate_kept(steps),
            )
        )
    return TrustCard(
        content=context.content,
        network=context.network,
        data_verdict=context.data_verdict,
        films=len(trust),
        masks_found=context.masks_found,
        seed=context.seed,
        versions=list_versions(),
        knowledge=context.knowledge,
        methods=tuple(cards),
    )


def _fail_for_ignorance(test: TestResult) -> TestResult:
    """Fail a test, whatever its number: the network knows nothing that a map could be right about.

    The number stays, so that everybody sees which tests a network without knowledge would pass.
    """
    if test.verdict == "not tested":
        return test
    sentence = f"The network knows no more than chance. ({test.sentence})"
    return test.model_copy(update={"verdict": "fail", "sentence": sentence})
