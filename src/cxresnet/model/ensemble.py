"""An ensemble: the mean of the logits of several networks of one kind.

They differ in nothing but the seed of their training. Their mean varies less than any of them, and
for few images it helps more than a deeper network does (Brigato and Iocchi 2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from cxresnet.model.architecture import Architecture
from cxresnet.model.resnet import CXResNet


class CXResNetEnsemble(nn.Module):
    """The mean of the logits of several `CXResNet`s.

    The last maps of all members lie one behind the other in one tensor, so that whoever looks at
    the last map of a network (Grad-CAM) looks at all of theirs at once.

    Attributes:
        members: Two or more, of one architecture and for the same classes.
        maps: Hands the joined last maps through; what Grad-CAM looks at.
    """

    def __init__(self, members: Sequence[CXResNet]) -> None:
        super().__init__()
        kinds = {(one.architecture, one.class_count) for one in members}
        if len(members) < 2 or len(kinds) != 1:
            raise ValueError("an ensemble takes two or more networks of one architecture")
        self.members = nn.ModuleList(members)
        self.maps = nn.Identity()

    @property
    def networks(self) -> tuple[CXResNet, ...]:
        """The members, with their type."""
        return tuple(one for one in self.members if isinstance(one, CXResNet))

    @property
    def architecture(self) -> Architecture:
        """Of every member."""
        return self.networks[0].architecture

    @property
    def class_count(self) -> int:
        """Number of logits."""
        return self.networks[0].class_count

    @property
    def target_layer(self) -> nn.Module:
        """The layer whose output is the joined last map."""
        return self.maps

    def forward_features(self, images: Tensor) -> Tensor:
        """Compute the last maps, (batch, members × width, height, width), one behind the other."""
        joined: Tensor = self.maps(
            torch.cat([one.forward_features(images) for one in self.networks], 1)
        )
        return joined

    def forward_head(self, last_map: Tensor) -> Tensor:
        """Compute logits, (batch, class_count), of what `forward_features` gives."""
        parts = last_map.chunk(len(self.members), dim=1)
        logits = [one.forward_head(part) for one, part in zip(self.networks, parts, strict=True)]
        return torch.stack(logits).mean(dim=0)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the mean logits, (batch, class_count)."""
        return self.forward_head(self.forward_features(images))


Network = CXResNet | CXResNetEnsemble
"""What a checkpoint holds: one network, or an ensemble."""


def gather_member_weights(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Name the weights of single networks as an ensemble names those of its members.

    Args:
        members: The `state_dict()` of each, in order.
    """
    return {
        f"members.{number}.{name}": tensor
        for number, weights in enumerate(members)
        for name, tensor in weights.items()
    }
