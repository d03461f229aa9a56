"""Copies of one film, found whatever they are called: re-encoded, resized, cropped, mirrored.

Call `compute_fingerprint` once a film where it is decoded, stack the results, and hand them to
`find_clusters`.
"""

from cxresnet.data.duplicates.clusters import CopyPairs, find_clusters, find_copies
from cxresnet.data.duplicates.fingerprint import (
    FINGERPRINT_SIZE_BYTES,
    compute_fingerprint,
    compute_fingerprints,
)

__all__ = [
    "FINGERPRINT_SIZE_BYTES",
    "CopyPairs",
    "compute_fingerprint",
    "compute_fingerprints",
    "find_clusters",
    "find_copies",
]
