from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from cxresnet.cli.evaluate import add_prevalences, describe_prevalences
from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import ConfigError
from cxresnet.evaluate.record import Evaluation
from cxresnet.metrics.estimate import Estimate


def test_the_command_line_comes_before_the_config() -> None:
    config = EvaluateConfig(prevalence={"covid": 0.5, "pneumonia": 0.1})
    found = add_prevalences(config, ["covid=0.02", "covid-19=3 %"])
    assert found.prevalence == {"covid": 0.02, "pneumonia": 0.1, "covid-19": 0.03}
    assert add_prevalences(config, None) == config


@pytest.mark.parametrize("text", ["covid", "=0.1", "covid=", "covid=0", "covid=1", "covid=many"])
def test_what_is_no_prevalence_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not of the form class=share"):
        add_prevalences(EvaluateConfig(), [text])


def test_predictive_values_are_shown_with_their_interval_or_the_reason_why_there_is_none() -> None:
    values = SimpleNamespace(
        class_name="covid-19",
        prevalence=0.02,
        ppv=Estimate(value=0.5, low=0.25, high=0.75, n=40, groups=31),
        npv=Estimate(value=None, low=None, high=None, n=0, groups=0, reason="No image is here."),
    )
    (line,) = describe_prevalences(cast("Evaluation", SimpleNamespace(at_prevalence=[values])))
    assert line == (
        "At a prevalence of 2.00% of covid-19: PPV 0.500 (0.250–0.750), NPV unknown "
        "(no image is here)."
    )
