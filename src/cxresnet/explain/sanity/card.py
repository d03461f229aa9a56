"""The sanity card: every sanity check of every method on one network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from cxresnet.explain.context import list_versions
from cxresnet.explain.methods.method import AbstractMethod
from cxresnet.explain.record import Attributions
from cxresnet.explain.sanity.check import SanityExperiment, SanityImages, list_checks, run_checks
from cxresnet.explain.sanity.record import AboveChance, MethodCard, SanityCard, TestResult
from cxresnet.explain.sanity.weight_randomization import (
    estimate_similarity_retained,
    measure_cascade,
)
from cxresnet.metrics.estimate import format_estimate


@dataclass(frozen=True)
class CardContext:
    """What is known before the sanity checks are run.

    Attributes:
        class_names: In the order of the logits.
        above_chance: Of the network.
        masks_found: Lung masks that come from the lung finder.
        seed: Of all random draws in the checks.
        content: Hash over all inputs.
        network: Hash over the weights.
        data_verdict: What the audit found in the training data; "" if it was not run.
    """

    class_names: tuple[str, ...]
    above_chance: AboveChance
    masks_found: int = 0
    seed: int = 0
    content: str = ""
    network: str = ""
    data_verdict: str = ""


def measure_card(
    network: nn.Module,
    methods: Sequence[AbstractMethod],
    sample: SanityImages,
    *,
    context: CardContext,
) -> SanityCard:
    """Run all sanity checks on all methods.

    Args:
        network: From images to calibrated logits; in evaluation mode. Stays as it is, also after an
            error: weights are randomised in a copy.
        methods: Under test.
        sample: Images of which no two are of one patient.
        context: What is known already.

    Raises:
        ModelModeError: The network is in training mode.
    """
    experiment = SanityExperiment(
        network, tuple(methods), sample, class_names=context.class_names, seed=context.seed
    )
    return SanityCard(
        content=context.content,
        network=context.network,
        data_verdict=context.data_verdict,
        images=len(sample),
        masks_found=context.masks_found,
        seed=context.seed,
        versions=list_versions(),
        above_chance=context.above_chance,
        methods=tuple(
            _measure_method(experiment, method, above_chance=context.above_chance.passed)
            for method in methods
        ),
    )


def _measure_method(
    experiment: SanityExperiment, method: AbstractMethod, *, above_chance: bool
) -> MethodCard:
    tests = run_checks(experiment, method)
    if not above_chance:
        tests = tuple(_fail_below_chance(test) for test in tests)
    return MethodCard(
        name=method.name,
        title=method.title,
        passed=all(test.verdict != "fail" for test in tests),
        tests=tests,
        steps=estimate_similarity_retained(experiment.once(measure_cascade)[method.name]),
    )


def _fail_below_chance(test: TestResult) -> TestResult:
    """Fail a test, whatever its number: the maps of a model at chance level are not meaningful.

    The number stays, so that readers see which tests such a model would pass.
    """
    if test.verdict == "not tested":
        return test
    sentence = f"The model does not beat chance. ({test.sentence})"
    return test.model_copy(update={"verdict": "fail", "sentence": sentence})


# The card as Markdown, for documents and for reading on a terminal.

_MARKS = {"pass": "✓ pass", "fail": "✗ fail", "not tested": "– not tested"}


def render_markdown(card: SanityCard) -> str:
    """Render the card: one row per method, one column per test, then every sentence.

    Args:
        card: The card.

    Returns:
        Markdown with headings of the third level and below.
    """
    head = ["Method", *(check.title for check in list_checks()), "Overall"]
    basis = (
        f"*{card.disclaimer}* {card.images} images, each of a different patient; "
        f"{card.masks_found} lung masks from the lung finder; seed {card.seed}."
    )
    lines = [
        basis,
        "",
        card.above_chance.sentence,
        *(["", card.data_verdict] if card.data_verdict else []),
        "",
        _render_row(head),
        _render_row(["---"] * len(head)),
        *(_render_method(method) for method in card.methods),
        "",
        *(line for method in card.methods for line in _render_sentences(method)),
    ]
    versions = ", ".join(f"{name} {version}" for name, version in card.versions.items())
    return "\n".join([*lines, f"Versions: {versions}."]) + "\n"


def _render_method(method: MethodCard) -> str:
    cells = [_render_cell(test) for test in method.tests]
    overall = "✓ passed" if method.passed else "✗ **not trustworthy for this model**"
    return _render_row([method.title, *cells, overall])


def _render_cell(test: TestResult) -> str:
    mark = _MARKS[test.verdict]
    return (
        f"{mark} {format_estimate(test.measures[0].estimate, digits=2)}" if test.measures else mark
    )


def _render_sentences(method: MethodCard) -> list[str]:
    titles = {check.test: check.title for check in list_checks()}
    return [
        f"**{method.title}**",
        "",
        *(f"- {titles[test.test]}: {test.verdict}. {test.sentence}" for test in method.tests),
        "",
    ]


def _render_row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def mark_failed_methods(attributions: Attributions, card: SanityCard | None) -> Attributions:
    """Mark the methods that failed, so that a watermark is drawn across their maps.

    Args:
        attributions: Stay as they are.
        card: None where the checks were not run: then nothing is marked.
    """
    methods = tuple(
        method.model_copy(
            update={"failed_sanity": card is not None and card.has_failed(method.name)}
        )
        for method in attributions.index.methods
    )
    index = attributions.index.model_copy(update={"methods": methods})
    return dataclasses.replace(attributions, index=index)
