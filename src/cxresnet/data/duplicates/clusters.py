"""Films that show the same: which pairs are copies, and the clusters that they form."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.seeding import build_generator
from cxresnet.data.duplicates.candidates import embed_thumbnails, find_near_pairs
from cxresnet.data.duplicates.fingerprint import FINGERPRINT_SIDE_PX
from cxresnet.data.duplicates.tone import even_out_tones
from cxresnet.data.duplicates.verification import measure_agreement
from cxresnet.data.forest import Forest

__all__ = [
    "LEAST_AGREEMENT",
    "LEAST_AGREEMENT_OF_RANKS",
    "CopyPairs",
    "find_clusters",
    "find_copies",
]

LEAST_AGREEMENT = 0.92
"""Copies agree at least so well, strangers do not: measured by `benchmarks/planted_copies.py`."""

LEAST_AGREEMENT_OF_RANKS = 0.90
"""The same, of films that agree less than that until both have the same grey levels: posterised or
strongly re-toned copies. Lower, since what is left of such a copy is coarser."""

_COMPARE_ALL = 48
"""So few films are all compared with each other: too few to tell what films have in common."""

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class CopyPairs:
    """Pairs of films that show the same.

    Attributes:
        pairs: (pairs, 2), rows of the fingerprints, the lower first. Of equal fingerprints each
            is paired with the first of them only.
        agreement: (pairs,), `LEAST_AGREEMENT_OF_RANKS` to 1, which is an equal fingerprint.
        mirrored: (pairs,), whether one is the other's mirror image.
    """

    pairs: NDArray[np.int64]
    agreement: NDArray[np.float32]
    mirrored: NDArray[np.bool_]


def find_clusters(fingerprints: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Find which films are copies of each other, exact, near or mirrored.

    Each join is verified by itself; films that are joined by nobody have a cluster of their own.

    Args:
        fingerprints: (n, FINGERPRINT_SIZE_BYTES), of `compute_fingerprint`.

    Returns:
        (n,), the cluster of each film, numbered from 0 in the order of their first films.
    """
    forest = Forest(len(fingerprints))
    for film, copy in find_copies(fingerprints).pairs.tolist():
        forest.join(film, copy)
    clusters = forest.number_groups()
    joined = int(clusters.max(initial=-1)) + 1
    _LOGGER.info("%d films form %d clusters of copies", len(fingerprints), joined)
    return clusters


def find_copies(fingerprints: NDArray[np.uint8]) -> CopyPairs:
    """Find the pairs of films that show the same.

    Args:
        fingerprints: (n, FINGERPRINT_SIZE_BYTES), of `compute_fingerprint`.

    Returns:
        The pairs; always the same for the same fingerprints.
    """
    equal, kept = _merge_equal(fingerprints)
    thumbnails = fingerprints[kept].reshape(-1, FINGERPRINT_SIDE_PX, FINGERPRINT_SIDE_PX)
    evened = even_out_tones(thumbnails)
    found = [equal]
    for mirrored, candidates in _find_candidates(thumbnails):
        agreement = measure_agreement(thumbnails, candidates, mirrored=mirrored)
        good = agreement >= LEAST_AGREEMENT
        doubtful = np.flatnonzero(~good)
        ranks = measure_agreement(evened, candidates[doubtful], mirrored=mirrored)
        agreement[doubtful] = np.maximum(agreement[doubtful], ranks)
        good[doubtful] = ranks >= LEAST_AGREEMENT_OF_RANKS
        flags = np.full(int(good.sum()), mirrored)
        found.append(CopyPairs(kept[candidates[good]], agreement[good], flags))
    return CopyPairs(
        np.concatenate([part.pairs for part in found]),
        np.concatenate([part.agreement for part in found]),
        np.concatenate([part.mirrored for part in found]),
    )


def _merge_equal(fingerprints: NDArray[np.uint8]) -> tuple[CopyPairs, NDArray[np.int64]]:
    """Pair each film with the first of the same fingerprint; returns also the first ones."""
    rows = np.ascontiguousarray(fingerprints)
    keys = rows.view(np.dtype((np.void, rows.shape[1]))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    original = first[inverse]
    copies = np.flatnonzero(original != np.arange(len(rows)))
    equal = CopyPairs(
        np.stack([original[copies], copies], axis=1),
        np.ones(len(copies), dtype=np.float32),
        np.zeros(len(copies), dtype=np.bool_),
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
