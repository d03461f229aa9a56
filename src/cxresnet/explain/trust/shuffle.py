"""Networks that have unlearned: the same weights, shuffled, from the head down."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = ["list_parts", "shuffle_from_the_head", "shuffle_whole"]

Network = TypeVar("Network", bound=nn.Module)

_BATCH = 64


def list_parts(network: nn.Module) -> list[tuple[str, tuple[nn.Module, ...]]]:
    """List the parts that have weights, by name, from the head down to the stem.

    A container (a wrapper, or a row of stages) counts as its parts; of networks that answer
    together, the heads are one part, and so on down.
    """
    parts: list[tuple[str, tuple[nn.Module, ...]]] = []
    for name, child in network.named_children():
        if not any(True for _ in child.parameters()):
            continue
        if name == "members":
            rows = zip(*(list_parts(member) for member in child.children()), strict=True)
            joined = [(row[0][0], tuple(m for _, one in row for m in one)) for row in rows]
            parts += reversed(joined)
        elif name in {"network", "stages"}:
            parts += reversed(list_parts(child))
        else:
            parts.append((name, (child,)))
    return parts[::-1]


def shuffle_from_the_head(
    network: Network, images: Tensor, *, seed: int
) -> Iterator[tuple[str, Network]]:
    """Shuffle the weights of a copy, part by part, from the head down.

    Each tensor keeps its values and loses their places: what was learned is gone, the scale of the
    weights is not. The norms of the shuffled parts are measured again on the films, as in training;
    otherwise the copy's answers would run off, and its maps would differ for that reason alone.

    Args:
        network: In evaluation mode; stays as it is.
        images: (film, 1, height, width), on which norms are measured.
        seed: Of the shuffling.

    Yields:
        The part shuffled last, and the copy: one object that goes on changing.

    References:
        Adebayo 2018, section 3.1, cascading randomisation. They draw the weights anew; shuffled
        ones also work for networks that start with branches of gain zero, as ours.
    """
    ours = copy.deepcopy(network)
    random = torch.Generator().manual_seed(seed)
    shuffled: list[nn.Module] = []
    for name, modules in list_parts(ours):
        for module in modules:
            _shuffle(module, random)
        shuffled += modules
        _measure_norms(ours, shuffled, images)
        yield name, ours


def shuffle_whole(network: Network, images: Tensor, *, seed: int) -> Network:
    """Shuffle all weights of a copy; see `shuffle_from_the_head`."""
    ours = copy.deepcopy(network)
    random = torch.Generator().manual_seed(seed)
    parts = [module for _, modules in list_parts(ours) for module in modules]
    for part in parts:
        _shuffle(part, random)
    _measure_norms(ours, parts, images)
    return ours


def _shuffle(part: nn.Module, random: torch.Generator) -> None:
    for parameter in part.parameters():
        places = torch.randperm(parameter.numel(), generator=random).to(parameter.device)
        values = parameter.data.flatten()[places]
        # Copied in place, so that the layout in memory stays (channels last).
        parameter.data.copy_(values.view(parameter.shape))


def _measure_norms(network: nn.Module, parts: list[nn.Module], images: Tensor) -> None:
    """Measure mean and spread of the norms in `parts` again, and leave the network evaluating."""
    norms = [
        module
        for part in parts
        for module in part.modules()
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None
    ]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        for batch in torch.split(images, _BATCH):
            if len(batch) > 1 or len(images) == 1:
                network(batch)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
        norm.eval()
