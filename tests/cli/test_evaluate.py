from __future__ import annotations

import pytest

from cxresnet.cli.evaluate import add_prevalences
from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import ConfigError


def test_the_command_line_comes_before_the_config() -> None:
    config = EvaluateConfig(prevalence={"covid": 0.5, "pneumonia": 0.1})
    found = add_prevalences(config, ["covid=0.02", "covid-19=3 %"])
    assert found.prevalence == {"covid": 0.02, "pneumonia": 0.1, "covid-19": 0.03}
    assert add_prevalences(config, None) == config


@pytest.mark.parametrize("text", ["covid", "=0.1", "covid=", "covid=0", "covid=1", "covid=many"])
def test_what_is_no_prevalence_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not of the form class=share"):
        add_prevalences(EvaluateConfig(), [text])
