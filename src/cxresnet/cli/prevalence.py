"""`--prevalence covid=0.02`: what an answer is worth where a disease is so common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import ConfigError

if TYPE_CHECKING:
    from cxresnet.evaluate.record import Evaluation
    from cxresnet.metrics.estimate import Estimate

__all__ = ["PrevalenceOption", "add_prevalences", "describe_prevalences"]

PrevalenceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--prevalence",
        help="How common a class is where the network would be used: covid=0.02 or covid=2%. "
        "Gives PPV and NPV there. May be repeated.",
    ),
]


def add_prevalences(config: EvaluateConfig, given: Sequence[str] | None) -> EvaluateConfig:
    """Add what the command line says to a config.

    Args:
        config: Its own prevalences stand, unless the command line names the same class.
        given: Pairs "class=share"; several may stand in one text, with commas between.

    Raises:
        ConfigError: A text is no pair, or its share is not between 0 and 1.

    >>> add_prevalences(EvaluateConfig(), ["covid=2%,pneumonia=0.1"]).prevalence
    {'covid': 0.02, 'pneumonia': 0.1}
    """
    pairs = [pair.strip() for text in given or () for pair in text.split(",") if pair.strip()]
    shares = dict(_parse(pair) for pair in pairs)
    return config.model_copy(update={"prevalence": {**config.prevalence, **shares}})


def _parse(pair: str) -> tuple[str, float]:
    name, equals, text = pair.partition("=")
    number = text.strip()
    try:
        share = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not name.strip() or not equals or not 0 < share < 1:
        raise ConfigError(
            f"--prevalence '{pair}' is not of the form class=share with a share above 0 and below "
            "1; write for example --prevalence covid=0.02."
        )
    return name.strip(), share


def describe_prevalences(evaluation: Evaluation) -> Iterator[str]:
    """Describe what an answer is worth at each prevalence that was asked for, one line each."""
    for values in evaluation.at_prevalence:
        yield (
            f"Where {values.prevalence:.2%} of the films show {values.class_name}: "
            f"PPV {_format(values.ppv)}, NPV {_format(values.npv)}."
        )


def _format(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"unknown ({estimate.reason.rstrip('.').lower()})"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
