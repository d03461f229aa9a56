"""The norms of a block: how many groups they have."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cxresnet.model.architecture import Architecture
from cxresnet.model.blocks import ConvNorm, build_norm


@pytest.mark.parametrize(("width", "groups"), [(8, 1), (16, 2), (24, 3), (64, 8), (12, 1), (3, 1)])
def test_groups_are_of_eight_channels_or_there_is_one(width: int, groups: int) -> None:
    norm = build_norm(width, "group")
    assert isinstance(norm, nn.GroupNorm)
    assert (norm.num_groups, norm.num_channels) == (groups, width)


def test_each_group_of_eight_channels_is_normalised_alone() -> None:
    features = torch.randn(2, 24, 5, 5, generator=torch.Generator().manual_seed(0))
    features[:, 8:16] = features[:, 8:16] * 10 + 3
    out = build_norm(24, "group")(features).detach().unflatten(1, (3, 8))
    for moments, expected in ((out.mean(dim=(2, 3, 4)), 0.0), (out.var(dim=(2, 3, 4)), 1.0)):
        torch.testing.assert_close(moments, torch.full((2, 3), expected), atol=0.01, rtol=0)


@pytest.mark.parametrize(("name", "kind"), [("batch", nn.BatchNorm2d), ("group", nn.GroupNorm)])
def test_a_convolution_has_the_norm_of_its_architecture(name: str, kind: type) -> None:
    architecture = Architecture(
        stem="flat", stem_width=8, block="basic", widths=(8,), depths=(1,), norm=name
    )
    assert isinstance(ConvNorm(1, 16, architecture=architecture).norm, kind)
