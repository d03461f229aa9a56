"""Batches of images by index from the cache; nothing is decoded or processed image by image."""

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

from cxresnet.core.config import TrainConfig
from cxresnet.core.seeding import build_generator
from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.data.prepare.preprocessing import Preprocessing


class LabelledImages(Protocol):
    """What a loader needs: a `ImageSet`, or anything with its arrays."""

    @property
    def images(self) -> NDArray[np.uint8]:
        """(images, side, side), grey levels 0 to 255, possibly memory-mapped."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(images,), class numbers."""


@dataclass(frozen=True)
class Batch:
    """Some images and what they show.

    Attributes:
        rows: Numbers of the images in their set, (batch,), int64.
        images: (batch, 1, side, side), uint8.
        labels: (batch,), int64.
    """

    rows: Tensor
    images: Tensor
    labels: Tensor

    def to(self, device: torch.device | str, **_options: bool) -> Batch:
        """Move to a device; Lightning calls this."""
        return Batch(self.rows, self.images.to(device), self.labels.to(device))


class _Rows(Dataset[Batch]):
    """Hands out whole batches: the list of numbers that the sampler names, at once."""

    def __init__(self, images: LabelledImages) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images.labels)

    def __getitem__(self, rows: Sequence[int]) -> Batch:
        chosen = np.asarray(rows)
        # Sorted access walks once through the file; the order of the batch is put back after it.
        order = np.argsort(chosen, kind="stable")
        images = np.empty((len(chosen), *self._images.images.shape[1:]), dtype=np.uint8)
        images[order] = self._images.images[chosen[order]]
        return Batch(
            rows=torch.from_numpy(chosen),
            images=torch.from_numpy(images)[:, None],
            labels=torch.from_numpy(np.asarray(self._images.labels)[chosen]),
        )


class EpochSampler(Sampler[list[int]]):
    """Batches of numbers in an order that seed and epoch alone decide.

    So a training that is resumed after a crash sees the images in the same order, and several
    processes agree on it without a word: each takes every `world`-th number.

    Args:
        count: Images in the set.
        batch_size: Images in a batch of this process.
        seed: Of the run.
        weights: Chance of each image to be drawn, with replacement; None takes every image once.
        rank: Number of this process.
        world: Number of processes.

    Attributes:
        position: Batches of the epoch that were yielded; an interrupted epoch continues from there.
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
        # The rest that fills no batch is left out of this epoch: a norm over two images is noise.
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


class ImageLoader(DataLoader[Batch]):
    """A loader of whole batches that knows its position; Lightning saves and restores it.

    All in this process: slicing a memory map that the system keeps in memory is faster than talking
    to workers.
    """

    def __init__(self, images: LabelledImages, *, sampler: EpochSampler | _InOrder) -> None:
        super().__init__(_Rows(images), sampler=sampler, batch_size=None)

    def state_dict(self) -> dict[str, Any]:
        """Say how many batches of the epoch were handed out."""
        return {"position": self.sampler.position if isinstance(self.sampler, EpochSampler) else 0}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on within an epoch."""
        if isinstance(self.sampler, EpochSampler):
            self.sampler.skip(int(state["position"]))


def build_loader(
    images: LabelledImages, *, sampler: EpochSampler | None = None, batch_size: int = 128
) -> ImageLoader:
    """Build a loader of whole batches.

    Args:
        images: The images; read only as they are drawn.
        sampler: The order for training; None gives all images in their order.
        batch_size: Images in a batch, where there is no sampler.

    Returns:
        A loader of `Batch`.
    """
    return ImageLoader(images, sampler=sampler or _InOrder(len(images.labels), batch_size))


def normalise_tensor(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Do what `preprocess.normalise` does, to the bit, where the images are.

    Args:
        images: Any shape, uint8.
        preprocessing: With mean and sd.

    Returns:
        The same shape, float32; values about -3 to 3.

    Raises:
        ValueError: Mean and sd are not measured yet.
    """
    if preprocessing.mean is None or preprocessing.sd is None:
        raise ValueError("mean and sd are not measured; take the preprocessing of a dataset")
    scale = float(np.float32(1 / (255 * preprocessing.sd)))
    return images.float() * scale - float(np.float32(preprocessing.mean / preprocessing.sd))


def compute_sampling_weights(keys: Sequence[object]) -> NDArray[np.float64]:
    """Compute the chance of each image so that all keys come up equally often.

    Args:
        keys: For each image its class, or its class and source.

    Returns:
        (images,), summing to 1.

    >>> compute_sampling_weights(["a", "a", "b"]).tolist()
    [0.25, 0.25, 0.5]
    """
    _, index, counts = np.unique(
        np.asarray([str(key) for key in keys]), return_inverse=True, return_counts=True
    )
    weights: NDArray[np.float64] = 1.0 / (counts[index] * len(counts))
    return weights


# Sampling: which images are drawn how often.


def compute_capped_weights(
    classes: Sequence[object], sources: Sequence[object], *, cap: int
) -> NDArray[np.float64]:
    """Compute the chance of each image: classes equally often, no source of a class beyond a cap.

    Within a class a source comes up in proportion to its images, but to no more than `cap` of them:
    a source of twenty is not learned by heart, and one of thousands does not drown the others.

    Args:
        classes: Class of each image.
        sources: Source of each image.
        cap: Images of a class and source from which on it counts no more.

    Returns:
        (images,), summing to 1.

    >>> compute_capped_weights(list("aaab"), list("xxyx"), cap=1).tolist()
    [0.125, 0.125, 0.25, 0.5]
    """
    class_names = np.asarray([str(one) for one in classes])
    pairs = np.asarray([f"{one}\x1f{other}" for one, other in zip(classes, sources, strict=True)])
    _, pair, sizes = np.unique(pairs, return_inverse=True, return_counts=True)
    weights = np.minimum(sizes, cap)[pair] / sizes[pair]
    _, number = np.unique(class_names, return_inverse=True)
    totals = np.bincount(number, weights)
    balanced: NDArray[np.float64] = weights / (totals[number] * len(totals))
    return balanced


def build_sampler(images: ImageSet, *, config: TrainConfig, rank: int, world: int) -> EpochSampler:
    """Build the order of training images for one process of several."""
    rows = images.manifest
    weights = None
    if config.sampling == "class":
        weights = compute_sampling_weights(list(rows["class_name"]))
    elif config.sampling == "class-and-source":
        weights = compute_sampling_weights(
            list(zip(rows["class_name"], rows["source"], strict=True))
        )
    elif config.sampling == "class-and-capped-source":
        weights = compute_capped_weights(
            list(rows["class_name"]), list(rows["source"]), cap=config.source_cap
        )
    return EpochSampler(
        len(images),
        batch_size=config.batch_size,
        seed=config.seed,
        weights=weights,
        rank=rank,
        world=world,
    )
