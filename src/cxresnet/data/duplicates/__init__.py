"""Near-duplicates, whatever their names: re-encoded, resized, cropped or mirrored.

Call `compute_fingerprint` once for each image when it is decoded, stack the results, and pass them
to `find_clusters`.
"""

from cxresnet.data.duplicates.clusters import (
    NearDuplicatePairs,
    find_clusters,
    find_near_duplicates,
)
from cxresnet.data.duplicates.fingerprint import (
    FINGERPRINT_SIZE_BYTES,
    compute_fingerprint,
    compute_fingerprints,
)

__all__ = [
    "FINGERPRINT_SIZE_BYTES",
    "NearDuplicatePairs",
    "compute_fingerprint",
    "compute_fingerprints",
    "find_clusters",
    "find_near_duplicates",
]
