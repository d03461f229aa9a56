"""Networks that answer as if they had been trained, without training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from cxresnet.core.config import ModelConfig
from cxresnet.model.presets import build_model
from cxresnet.model.resnet import CXResNet


def build_awake(seed: int = 1, **options: Any) -> CXResNet:
    """Build a network with the norms and the head of a trained one: each layer and place matters.

    Args:
        seed: Of its weights; the random numbers of the test go on as if nothing had been drawn.
        options: Of `ModelConfig`.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_model(ModelConfig(**options), class_count=3).eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.0)
                nn.init.normal_(module.bias, std=0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.running_mean.normal_(0, 0.2)
        nn.init.normal_(model.head.weight, std=2.0)
    return model
