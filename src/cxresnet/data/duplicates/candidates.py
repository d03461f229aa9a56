"""Which pairs of films are worth a closer look: near neighbours among evened-out thumbnails.

Chest films all look alike, so that a perceptual hash of the bare film joins strangers. What all
films of this collection share is therefore taken out first (mean, then principal components scaled
to one variance); what is left differs between strangers, not between copies.

Neighbours are sought within cells about randomly chosen films, several cells a film: the number of
comparisons grows with the number of films, not with its square.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["embed_thumbnails", "find_near_pairs"]

Vectors = NDArray[np.float32]
Pairs = NDArray[np.int64]

_LEAST_COSINE = 0.66
"""Copies are more alike than this after the evening out: see `benchmarks/planted_copies.py`."""

_FILMS_PER_CELL = 192
_CELLS_PER_FILM = 10
_NEIGHBOURS = 6
"""At most so many candidates are kept a film and view, the nearest."""

_DIMENSIONS = 48
_BASIS_FILMS = 20_000
"""So many films are enough to tell what all have in common."""


def embed_thumbnails(thumbnails: NDArray[np.uint8]) -> tuple[Vectors, Vectors]:
    """Bring thumbnails to unit vectors that say how each differs from all.

    Args:
        thumbnails: (n, side, side), n at least 2.

    Returns:
        The vectors as the films are, and as they are mirrored; each (n, d), of length 1, where d
        grows with n up to 48.
    """
    rows = _shrink(thumbnails)
    sample = rows[:: max(len(rows) // _BASIS_FILMS, 1)]
    mean = sample.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(sample - mean, rowvar=False))
    # Few films would span copies' noise too, which must not be scaled up.
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
    """Find pairs of films where one, as the query shows it, is near the other.

    Args:
        vectors: (n, d), one a film, of length 1.
        queries: (n, d), the same films in another view (mirrored), or `vectors` itself.
        generator: Chooses the films about which cells are formed.

    Returns:
        (pairs, 2), each pair once, the lower row first, sorted.
    """
    found = [
        _compare(vectors, queries, askers, members)
        for askers, members in _form_cells(vectors, queries, generator)
    ]
    pairs = np.sort(np.concatenate(found), axis=1)
    code = np.unique(pairs[:, 0] * len(vectors) + pairs[:, 1])
    return np.stack(np.divmod(code, len(vectors)), axis=1)


def _form_cells(
    vectors: Vectors, queries: Vectors, generator: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield, cell by cell, the queries and the films that lie in it."""
    count = len(vectors)
    cells = count // _FILMS_PER_CELL
    if cells <= 2 * _CELLS_PER_FILM:
        yield np.arange(count), np.arange(count)
        return
    centres = vectors[generator.choice(count, cells, replace=False)]
    members = _assign(vectors, centres)
    askers = members if queries is vectors else _assign(queries, centres)
    yield from zip(askers, members, strict=True)


def _assign(vectors: Vectors, centres: Vectors) -> list[NDArray[np.int64]]:
    """List, for each centre, the vectors that have it among their nearest centres."""
    nearest = np.empty((len(vectors), _CELLS_PER_FILM), dtype=np.int64)
    for start in range(0, len(vectors), 4096):
        likeness = vectors[start : start + 4096] @ centres.T
        best = np.argpartition(-likeness, _CELLS_PER_FILM - 1, axis=1)
        nearest[start : start + 4096] = best[:, :_CELLS_PER_FILM]
    order = np.argsort(nearest.ravel(), kind="stable")
    bounds = np.searchsorted(nearest.ravel()[order], np.arange(1, len(centres)))
    return list(np.split(order // _CELLS_PER_FILM, bounds))


def _compare(
    vectors: Vectors, queries: Vectors, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> Pairs:
    """Compare the queries of a cell with its films; keep each query's nearest."""
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for start in range(0, len(rows), 1024):
        block = rows[start : start + 1024]
        likeness = queries[block] @ vectors[columns].T
        row, column = np.nonzero(likeness >= _LEAST_COSINE)
        stranger = block[row] != columns[column]
        row, column = row[stranger], column[stranger]
        nearest = _rank_within(row, -likeness[row, column]) < _NEIGHBOURS
        pairs.append(np.stack([block[row[nearest]], columns[column[nearest]]], axis=1))
    return np.concatenate(pairs)


def _rank_within(group: NDArray[np.int64], value: Vectors) -> NDArray[np.int64]:
    """Rank values within their group, from 0 for the lowest; groups come in ascending order."""
    order = np.lexsort((value, group))
    first = np.searchsorted(group, group)
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - first[order]
    return rank
