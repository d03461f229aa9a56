"""Batches of films, drawn by number from the cache: nothing is decoded or done film by film."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from cxresnet.core.seeding import build_generator
from cxresnet.data.preprocess import Preprocessing

__all__ = [
    "Batch",
    "EpochSampler",
    "FilmLoader",
    "Films",
    "build_loader",
    "compute_sampling_weights",
    "scale_films",
]


class Films(Protocol):
    """What a loader needs: a `FilmSet`, or anything with its arrays."""

    @property
    def films(self) -> NDArray[np.uint8]:
        """(films, side, side), grey levels 0 to 255, possibly memory-mapped."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(films,), class numbers."""


@dataclass(frozen=True)
class Batch:
    """Some films and what they show.

    Attributes:
        rows: Numbers of the films in their set, (batch,), int64.
        films: (batch, 1, side, side), uint8.
        labels: (batch,), int64.
    """

    rows: Tensor
    films: Tensor
    labels: Tensor

    def to(self, device: torch.device | str, **_options: bool) -> Batch:
        """Move to a device; Lightning calls this."""
        return Batch(self.rows, self.films.to(device), self.labels.to(device))


class _Rows(Dataset[Batch]):
    """Hands out whole batches: the list of numbers that the sampler names, at once."""

    def __init__(self, films: Films) -> None:
        self._films = films

    def __len__(self) -> int:
        return len(self._films.labels)

    def __getitem__(self, rows: Sequence[int]) -> Batch:
        chosen = np.asarray(rows)
        # Sorted access walks once through the file; the order of the batch is put back after it.
        order = np.argsort(chosen, kind="stable")
        films = np.empty((len(chosen), *self._films.films.shape[1:]), dtype=np.uint8)
        films[order] = self._films.films[chosen[order]]
        return Batch(
            rows=torch.from_numpy(chosen),
            films=torch.from_numpy(films)[:, None],
            labels=torch.from_numpy(np.asarray(self._films.labels)[chosen]),
        )


class EpochSampler(Sampler[list[int]]):
    """Batches of numbers in an order that seed and epoch alone decide.

    So a training that goes on after a crash sees the films in the same order, and several processes
    agree on it without a word: each takes every `world`-th number.

    Args:
        count: Films in the set.
        batch_size: Films in a batch of this process.
        seed: Of the run.
        weights: Chance of each film to be drawn, with replacement; None takes every film once.
        rank: Number of this process.
        world: Number of processes.

    Attributes:
        position: Batches of the epoch that were handed out; an epoch begun goes on from there.
    """

    def __init__(
        self,
        count: int,
        *,
        batch_size: int,
        seed: int,
        weights: NDArray[np.float64] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._count = count
        self._batch_size = min(batch_size, max(1, count // world))
        self._seed = seed
        self._weights = None if weights is None else weights / weights.sum()
        self._rank, self._world = rank, world
        self._epoch = 0
        self._first = 0
        self.position = 0

    def skip(self, batches: int) -> None:
        """Leave out the first batches of the next epoch: they were learned from before a stop."""
        self._first = batches

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; Lightning calls this."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._count // self._world // self._batch_size

    def __iter__(self) -> Iterator[list[int]]:
        generator = build_generator(self._seed, "order", self._epoch)
        if self._weights is None:
            order = generator.permutation(self._count)
        else:
            order = generator.choice(self._count, size=self._count, p=self._weights)
        mine = order[self._rank :: self._world]
        begin, self._first = self._first, 0
        # The rest that fills no batch is left out of this epoch: a norm over two films is noise.
        for number in range(begin, len(self)):
            first = number * self._batch_size
            self.position = number + 1
            yield mine[first : first + self._batch_size].tolist()


class _InOrder(Sampler[list[int]]):
    """All numbers in order, in batches: for validation."""

    def __init__(self, count: int, batch_size: int) -> None:
        self._count, self._batch_size = count, batch_size

    def __len__(self) -> int:
        return math.ceil(self._count / self._batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for first in range(0, self._count, self._batch_size):
            yield list(range(first, min(first + self._batch_size, self._count)))


class FilmLoader(DataLoader[Batch]):
    """A loader of whole batches that can say where it is; Lightning saves that and hands it back.

    All in this process: slicing a memory map that the system keeps in memory is faster than talking
    to workers.
    """

    def __init__(self, films: Films, *, sampler: EpochSampler | _InOrder) -> None:
        super().__init__(_Rows(films), sampler=sampler, batch_size=None)

    def state_dict(self) -> dict[str, Any]:
        """Say how many batches of the epoch were handed out."""
        return {"position": self.sampler.position if isinstance(self.sampler, EpochSampler) else 0}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on within an epoch."""
        if isinstance(self.sampler, EpochSampler):
            self.sampler.skip(int(state["position"]))


def build_loader(
    films: Films, *, sampler: EpochSampler | None = None, batch_size: int = 128
) -> FilmLoader:
    """Build a loader of whole batches.

    Args:
        films: The films; read only as they are drawn.
        sampler: The order for training; None gives all films in their order.
        batch_size: Films in a batch, where there is no sampler.

    Returns:
        A loader of `Batch`.
    """
    return FilmLoader(films, sampler=sampler or _InOrder(len(films.labels), batch_size))


def scale_films(films: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Do what `preprocess.normalise` does, to the bit, where the films are.

    Args:
        films: Any shape, uint8.
        preprocessing: With mean and sd.

    Returns:
        The same shape, float32; values about -3 to 3.

    Raises:
        ValueError: Mean and sd are not measured yet.
    """
    if preprocessing.mean is None or preprocessing.sd is None:
        raise ValueError("mean and sd are not measured; take the preprocessing of a dataset")
    scale = float(np.float32(1 / (255 * preprocessing.sd)))
    return films.float() * scale - float(np.float32(preprocessing.mean / preprocessing.sd))


def compute_sampling_weights(keys: Sequence[object]) -> NDArray[np.float64]:
    """Compute the chance of each film so that all keys come up equally often.

    Args:
        keys: For each film its class, or its class and source.

    Returns:
        (films,), summing to 1.

    >>> compute_sampling_weights(["a", "a", "b"]).tolist()
    [0.25, 0.25, 0.5]
    """
    _, index, counts = np.unique(
        np.asarray([str(key) for key in keys]), return_inverse=True, return_counts=True
    )
    weights: NDArray[np.float64] = 1.0 / (counts[index] * len(counts))
    return weights
