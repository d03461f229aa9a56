"""What the record says of a film besides its class, in numbers: view, sex and age.

Portable films of the ill, lying down, are AP; those of the young and healthy are PA. Who is asked
to tell a disease and may see these alone knows how much of a score they can explain.

References:
    Zech et al. 2018 (PLoS Medicine): the portable scanner told pneumonia. Larrazabal et al. 2020
    (PNAS): sex changes what a classifier of chest films finds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["describe_record", "list_views"]

_SEXES = ("F", "M")
_UNKNOWN_AGE_YEARS = -1.0


def list_views(manifest: pd.DataFrame) -> tuple[str, ...]:
    """List the views that the record names, sorted; not "", which says that nobody knows.

    Args:
        manifest: With the column `view`.
    """
    return tuple(sorted(set(manifest["view"].astype(str)) - {""}))


def describe_record(manifest: pd.DataFrame, *, views: Sequence[str]) -> NDArray[np.float64]:
    """Describe films by what their record says, and by what it leaves open.

    Args:
        manifest: With the columns `view`, `sex` and `age_years`.
        views: One column each; another view counts as unknown.

    Returns:
        (films, 3 + views): age in years, -1 where unknown; female, male, and each view as 0 or 1.

    >>> films = pd.DataFrame({"view": ["AP", ""], "sex": ["F", ""], "age_years": ["61", ""]})
    >>> describe_record(films, views=list_views(films)).tolist()
    [[61.0, 1.0, 0.0, 1.0], [-1.0, 0.0, 0.0, 0.0]]
    """
    ages = pd.to_numeric(manifest["age_years"], errors="coerce").fillna(_UNKNOWN_AGE_YEARS)
    flags = [manifest["sex"].astype(str) == sex for sex in _SEXES]
    flags += [manifest["view"].astype(str) == view for view in views]
    return np.column_stack([ages, *flags]).astype(np.float64)
