"""The moving average of the weights: what is judged and kept instead of the last, noisy step."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["WeightAverage"]


class WeightAverage(nn.Module):
    """An exponential moving average of a network, running statistics of its norms included.

    Lies in the training module, so that its state is saved and comes back with everything else.

    The average begins short, or the random weights of the start would weigh on it for long: after
    t steps the share kept is at most (1 + t) / (10 + t).

    Towards the end it may turn into the plain mean of all steps from there on, which is stochastic
    weight averaging with a step, not an epoch, as its stride.

    Args:
        network: What is averaged; copied, and not held.
        decay: Share of the average kept in a step, 0 to 1.

    References:
        Polyak and Juditsky 1992; Izmailov et al. 2018 for the plain mean. They compute the
        statistics of norms anew from the films; here those are averaged as the weights are.
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        super().__init__()
        self._decay = decay
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("even_steps", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, network: nn.Module, *, evenly: bool = False) -> None:
        """Take in the weights of `network` after a step.

        Args:
            network: What is averaged.
            evenly: From now on every step counts the same, and none from before.
        """
        taken = self._count_even_step() if evenly else self._count_step()
        given = network.state_dict()
        for name, mean in self.network.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(given[name], taken)
            else:
                mean.copy_(given[name])  # counts, which have no mean

    def _count_step(self) -> float:
        steps = cast("Tensor", self.steps)
        done = int(steps)
        steps.add_(1)
        return 1 - min(self._decay, (1 + done) / (10 + done))

    def _count_even_step(self) -> float:
        steps = cast("Tensor", self.even_steps)
        steps.add_(1)
        return 1 / int(steps)
