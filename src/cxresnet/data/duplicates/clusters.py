"""Near-duplicates: which pairs of images show the same, and the clusters that they form."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.seeding import build_generator
from cxresnet.data.duplicates.fingerprint import FINGERPRINT_SIDE_PX, equalise_histograms
from cxresnet.data.duplicates.verification import measure_agreement
from cxresnet.data.split.groups import UnionFind

# Candidate pairs of near-duplicates: nearest neighbours among normalised thumbnails.
#
# All chest X-rays look similar, so a perceptual hash of the plain image joins unrelated ones.
# What
# all images of this collection share is therefore removed first (mean, then principal components
# scaled to one variance); what is left differs between unrelated images, not between near-
# duplicates.
#
# Neighbours are searched within cells around randomly chosen images, several cells for each
# image:
# the number of comparisons grows with the number of images, not with its square.


Vectors = NDArray[np.float32]
Pairs = NDArray[np.int64]

_MIN_COSINE = 0.66
"""Copies are more alike than this after the evening out: see `benchmarks/planted_copies.py`."""

_IMAGES_PER_CELL = 192
_CELLS_PER_IMAGE = 10
_NEIGHBOURS = 6
"""At most so many candidates are kept an image and view, the nearest."""

_DIMENSIONS = 48
_BASIS_IMAGES = 20_000
"""So many images are enough to estimate what all have in common."""


def embed_thumbnails(thumbnails: NDArray[np.uint8]) -> tuple[Vectors, Vectors]:
    """Turn thumbnails into unit vectors of their differences from the mean of all.

    Args:
        thumbnails: (n, side, side), n at least 2.

    Returns:
        The vectors as the images are, and as they are mirrored; each (n, d), of length 1, where d
        grows with n up to 48.
    """
    rows = _shrink(thumbnails)
    sample = rows[:: max(len(rows) // _BASIS_IMAGES, 1)]
    mean = sample.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(sample - mean, rowvar=False))
    # With few images, the noise of near-duplicates would be scaled up too.
    count = max(min(_DIMENSIONS, len(rows) // 6), 2)
    kept = slice(-1, -1 - count, -1)
    scale = np.sqrt(np.maximum(variances[kept], 1e-5 * variances[-1] + 1e-9))
    basis = np.asarray(directions[:, kept] / scale, dtype=np.float32)
    side = thumbnails.shape[1] // 2
    mirrored = rows.reshape(-1, side, side)[:, :, ::-1].reshape(len(rows), -1)
    return _to_unit_length((rows - mean) @ basis), _to_unit_length((mirrored - mean) @ basis)


def _shrink(thumbnails: NDArray[np.uint8]) -> Vectors:
    """Halve the resolution and lay each thumbnail out as one row."""
    count, side, _ = thumbnails.shape
    rows = np.empty((count, (side // 2) ** 2), dtype=np.float32)
    for start in range(0, count, 4096):
        block = thumbnails[start : start + 4096].reshape(-1, side // 2, 2, side // 2, 2)
        half = block.mean(axis=(2, 4), dtype=np.float32)
        rows[start : start + 4096] = half.reshape(len(half), -1)
    return rows


def _to_unit_length(vectors: Vectors) -> Vectors:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), dtype=np.float32)


def find_near_pairs(vectors: Vectors, queries: Vectors, generator: np.random.Generator) -> Pairs:
    """Find pairs of images where one, as the query shows it, is near the other.

    Args:
        vectors: (n, d), one an image, of length 1.
        queries: (n, d), the same images in another view (mirrored), or `vectors` itself.
        generator: Chooses the images about which cells are formed.

    Returns:
        (pairs, 2), each pair once, the lower row first, sorted.
    """
    found = [
        _compare(vectors, queries, query_rows, members)
        for query_rows, members in _form_cells(vectors, queries, generator)
    ]
    pairs = np.sort(np.concatenate(found), axis=1)
    code = np.unique(pairs[:, 0] * len(vectors) + pairs[:, 1])
    return np.stack(np.divmod(code, len(vectors)), axis=1)


def _form_cells(
    vectors: Vectors, queries: Vectors, generator: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield, cell by cell, the queries and the images that lie in it."""
    count = len(vectors)
    cells = count // _IMAGES_PER_CELL
    if cells <= 2 * _CELLS_PER_IMAGE:
        yield np.arange(count), np.arange(count)
        return
    centres = vectors[generator.choice(count, cells, replace=False)]
    members = _assign(vectors, centres)
    query_rows = members if queries is vectors else _assign(queries, centres)
    yield from zip(query_rows, members, strict=True)


def _assign(vectors: Vectors, centres: Vectors) -> list[NDArray[np.int64]]:
    """List, for each centre, the vectors that have it among their nearest centres."""
    nearest = np.empty((len(vectors), _CELLS_PER_IMAGE), dtype=np.int64)
    for start in range(0, len(vectors), 4096):
        similarity = vectors[start : start + 4096] @ centres.T
        best = np.argpartition(-similarity, _CELLS_PER_IMAGE - 1, axis=1)
        nearest[start : start + 4096] = best[:, :_CELLS_PER_IMAGE]
    order = np.argsort(nearest.ravel(), kind="stable")
    bounds = np.searchsorted(nearest.ravel()[order], np.arange(1, len(centres)))
    return list(np.split(order // _CELLS_PER_IMAGE, bounds))


def _compare(
    vectors: Vectors, queries: Vectors, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> Pairs:
    """Compare the queries of a cell with its images; keep each query's nearest."""
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for start in range(0, len(rows), 1024):
        block = rows[start : start + 1024]
        similarity = queries[block] @ vectors[columns].T
        row, column = np.nonzero(similarity >= _MIN_COSINE)
        is_other = block[row] != columns[column]
        row, column = row[is_other], column[is_other]
        nearest = _rank_within(row, -similarity[row, column]) < _NEIGHBOURS
        pairs.append(np.stack([block[row[nearest]], columns[column[nearest]]], axis=1))
    return np.concatenate(pairs)


def _rank_within(group: NDArray[np.int64], value: Vectors) -> NDArray[np.int64]:
    """Rank values within their group, from 0 for the lowest; groups come in ascending order."""
    order = np.lexsort((value, group))
    first = np.searchsorted(group, group)
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - first[order]
    return rank


MIN_AGREEMENT = 0.92
"""Near-duplicates agree at least this well, unrelated pairs do not (measured by
`benchmarks/planted_copies.py`)."""

MIN_RANK_AGREEMENT = 0.90
"""The same, of images that agree less than that until both have the same grey levels: posterised or
near-duplicates with a changed tone curve. Lower, because less of such an image is left."""

_COMPARE_ALL = 48
"""So few images are all compared with each other: too few to estimate what all have in common."""

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class NearDuplicatePairs:
    """Pairs of images that show the same.

    Attributes:
        pairs: (pairs, 2), rows of the fingerprints, the lower first. Of equal fingerprints each
            is paired with the first of them only.
        agreement: (pairs,), `MIN_RANK_AGREEMENT` to 1, which is an equal fingerprint.
        mirrored: (pairs,), whether one is the other's mirror image.
    """

    pairs: NDArray[np.int64]
    agreement: NDArray[np.float32]
    mirrored: NDArray[np.bool_]


def find_clusters(fingerprints: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Find which images are near-duplicates of each other, exact, changed or mirrored.

    Each join is verified by itself; images that are joined by nobody have a cluster of their own.

    Args:
        fingerprints: (n, FINGERPRINT_SIZE_BYTES), of `compute_fingerprint`.

    Returns:
        (n,), the cluster of each image, numbered from 0 in the order of their first images.
    """
    union_find = UnionFind(len(fingerprints))
    for image, duplicate in find_near_duplicates(fingerprints).pairs.tolist():
        union_find.join(image, duplicate)
    clusters = union_find.number_groups()
    joined = int(clusters.max(initial=-1)) + 1
    _LOGGER.info("%d images form %d near-duplicate clusters", len(fingerprints), joined)
    return clusters


def find_near_duplicates(fingerprints: NDArray[np.uint8]) -> NearDuplicatePairs:
    """Find the pairs of images that show the same.

    Args:
        fingerprints: (n, FINGERPRINT_SIZE_BYTES), of `compute_fingerprint`.

    Returns:
        The pairs; always the same for the same fingerprints.
    """
    equal, kept = _merge_equal(fingerprints)
    thumbnails = fingerprints[kept].reshape(-1, FINGERPRINT_SIDE_PX, FINGERPRINT_SIDE_PX)
    equalised = equalise_histograms(thumbnails)
    found = [equal]
    for mirrored, candidates in _find_candidates(thumbnails):
        agreement = measure_agreement(thumbnails, candidates, mirrored=mirrored)
        good = agreement >= MIN_AGREEMENT
        doubtful = np.flatnonzero(~good)
        ranks = measure_agreement(equalised, candidates[doubtful], mirrored=mirrored)
        agreement[doubtful] = np.maximum(agreement[doubtful], ranks)
        good[doubtful] = ranks >= MIN_RANK_AGREEMENT
        flags = np.full(int(good.sum()), mirrored)
        found.append(NearDuplicatePairs(kept[candidates[good]], agreement[good], flags))
    return NearDuplicatePairs(
        np.concatenate([part.pairs for part in found]),
        np.concatenate([part.agreement for part in found]),
        np.concatenate([part.mirrored for part in found]),
    )


def _merge_equal(fingerprints: NDArray[np.uint8]) -> tuple[NearDuplicatePairs, NDArray[np.int64]]:
    """Pair each image with the first of the same fingerprint; returns also the first ones."""
    rows = np.ascontiguousarray(fingerprints)
    keys = rows.view(np.dtype((np.void, rows.shape[1]))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    original = first[inverse]
    duplicate_rows = np.flatnonzero(original != np.arange(len(rows)))
    equal = NearDuplicatePairs(
        np.stack([original[duplicate_rows], duplicate_rows], axis=1),
        np.ones(len(duplicate_rows), dtype=np.float32),
        np.zeros(len(duplicate_rows), dtype=np.bool_),
    )
    return equal, np.sort(first)


def _find_candidates(
    thumbnails: NDArray[np.uint8],
) -> list[tuple[bool, NDArray[np.int64]]]:
    """Find the pairs to verify, as they are and with one of them mirrored."""
    if len(thumbnails) <= _COMPARE_ALL:
        everything = np.stack(np.triu_indices(len(thumbnails), k=1), axis=1)
        return [(False, everything), (True, everything)]
    straight, mirrored = embed_thumbnails(thumbnails)
    generator = build_generator(0, "duplicates")
    return [
        (False, find_near_pairs(straight, straight, generator)),
        (True, find_near_pairs(straight, mirrored, generator)),
    ]
