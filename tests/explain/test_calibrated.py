"""A calibrated network is the same network, cooled."""

from __future__ import annotations

import pytest
import torch

from cxresnet.core.config import ModelConfig
from cxresnet.core.errors import ModelModeError
from cxresnet.explain.calibrated import CalibratedNetwork
from cxresnet.model.presets import build_model


def test_its_logits_are_those_of_the_network_over_the_temperature() -> None:
    network = build_model(ModelConfig(), class_count=3).eval()
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        found = CalibratedNetwork(network, temperature=2.5)(images)
        torch.testing.assert_close(found, network(images) / 2.5)


def test_shifts_are_added_after_the_temperature() -> None:
    network = build_model(ModelConfig(), class_count=3).eval()
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        found = CalibratedNetwork(network, temperature=2.0, shifts=(1.0, 0.0, -1.0))(images)
        torch.testing.assert_close(found, network(images) / 2 + torch.tensor([1.0, 0.0, -1.0]))


def test_a_network_that_is_training_is_refused_and_stays_so() -> None:
    network = build_model(ModelConfig(), class_count=3)
    with pytest.raises(ModelModeError, match="is training"):
        CalibratedNetwork(network, temperature=1.0)
    assert network.training
