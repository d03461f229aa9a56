"""Features without the disease: record, file, bytes, scalars, border, thumbnail and source.

One set serves both uses: the cross-validated probes of a dataset (`probe.py`) and the baselines
that a model is compared with (`baseline.py`).

References:
    Zech et al. 2018 (PLoS Medicine): the portable scanner, hence the AP view, predicted pneumonia.
    Larrazabal et al. 2020 (PNAS): sex changes what a classifier of chest X-rays finds. Maguolo and
    Nanni 2021 (Information Fusion): images without the lungs still predict COVID-19.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

Features = NDArray[np.float64]
"""(images, features)."""

FileKind = tuple[str, str]
"""A column of the manifest and a value of it, for example ("file_format", "PNG")."""

_SEXES = ("F", "M")
_UNKNOWN_AGE_YEARS = -1.0
_SIZE_COLUMNS = ("file_width", "file_height", "file_bytes")
_KIND_COLUMNS = ("file_format", "file_mode")
_JPEG_QUALITY = 90
_PERCENTILES = (5, 25, 75, 95)
_THUMBNAIL_SIDE_PX = 16
_BORDER_OF_SIDE_PX = 30
_BORDER_PX = 3


def list_views(manifest: pd.DataFrame) -> tuple[str, ...]:
    """List the recorded views, sorted; not "", which stands for an unknown view.

    Args:
        manifest: With the column `view`.
    """
    return tuple(sorted(set(manifest["view"].astype(str)) - {""}))


def compute_record_features(manifest: pd.DataFrame, *, views: Sequence[str]) -> Features:
    """Compute features of what is recorded about an image: view, sex and age.

    Args:
        manifest: With the columns `view`, `sex` and `age_years`.
        views: One column each; another view counts as unknown.

    Returns:
        (images, 3 + views): age in years, -1 where unknown; female, male, and each view as 0 or 1.

    >>> images = pd.DataFrame({"view": ["AP", ""], "sex": ["F", ""], "age_years": ["61", ""]})
    >>> compute_record_features(images, views=list_views(images)).tolist()
    [[61.0, 1.0, 0.0, 1.0], [-1.0, 0.0, 0.0, 0.0]]
    """
    ages = pd.to_numeric(manifest["age_years"], errors="coerce").fillna(_UNKNOWN_AGE_YEARS)
    flags = [manifest["sex"].astype(str) == sex for sex in _SEXES]
    flags += [manifest["view"].astype(str) == view for view in views]
    return np.column_stack([ages, *flags]).astype(np.float64)


def list_file_kinds(manifest: pd.DataFrame) -> tuple[FileKind, ...]:
    """List the formats and modes of the files, sorted.

    Args:
        manifest: With the columns `file_format` and `file_mode`.
    """
    return tuple(
        sorted(
            (column, str(value)) for column in _KIND_COLUMNS for value in manifest[column].unique()
        )
    )


def compute_file_features(
    manifest: pd.DataFrame, *, kinds: Sequence[FileKind], with_border: bool = False
) -> Features:
    """Compute features of the files as they came, before `prepare`.

    Args:
        manifest: With the columns `file_…`.
        kinds: One column each; another format or mode is 0 in all of them.
        with_border: Also the mean grey level of the image's border (`border_grey`).

    Returns:
        (images, 5 + kinds, or one more): width, height, bytes, the border where wanted, aspect
        ratio, bytes per pixel, and each kind as 0 or 1.

    >>> files = pd.DataFrame({"file_width": [200], "file_height": [100], "file_bytes": [5000],
    ...     "file_format": ["PNG"], "file_mode": ["L"]})
    >>> compute_file_features(files, kinds=list_file_kinds(files)).tolist()
    [[200.0, 100.0, 5000.0, 2.0, 0.25, 1.0, 1.0]]
    """
    columns = [*_SIZE_COLUMNS, *(["border_grey"] if with_border else [])]
    numbers = manifest[columns].to_numpy(dtype=np.float64)
    width, height, size_bytes = numbers[:, 0], numbers[:, 1], numbers[:, 2]
    ratio = width / np.maximum(height, 1)
    density = size_bytes / np.maximum(width * height, 1)
    flags = [(manifest[column].astype(str) == value).to_numpy() for column, value in kinds]
    return np.column_stack([numbers, ratio, density, *flags]).astype(np.float64)


def describe_prepared_files(manifest: pd.DataFrame, *, side_px: int) -> pd.DataFrame:
    """Describe prepared images as files: alike for all of them, as `prepare` makes them.

    Args:
        manifest: Of the images as they came.
        side_px: Side of a prepared image.
    """
    return manifest.assign(
        file_width=side_px,
        file_height=side_px,
        file_bytes=side_px * side_px,
        file_format="array",
        file_mode="L",
        border_grey=0.0,
    )


def compute_bytes_features(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
) -> Features:
    """Compute bytes per pixel of each image stored as PNG and as JPEG: sharpness and noise.

    Args:
        images: (images, side, side), 0 to 255; read one at a time.
    """
    return np.array([_measure_bytes_per_pixel(image) for image in images])


def compute_scalar_features(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
) -> Features:
    """Compute mean, standard deviation and the 5th, 25th, 75th and 95th percentile of each image.

    Args:
        images: (images, side, side), 0 to 255; read one at a time.
    """
    return np.array(
        [[image.mean(), image.std(), *np.percentile(image, _PERCENTILES)] for image in images]
    )


def compute_thumbnail_features(images: Sequence[NDArray[np.uint8]]) -> Features:
    """Compute thumbnails of 16 × 16 pixels, (images, 256), 0 to 255."""
    thumbnails = [_reduce(image, _THUMBNAIL_SIDE_PX).ravel() for image in images]
    return np.array(thumbnails).reshape(len(thumbnails), _THUMBNAIL_SIDE_PX**2)


def compute_border_features(images: Sequence[NDArray[np.uint8]]) -> Features:
    """Compute the outermost tenth of each side, reduced to a ring of 324 pixels, 0 to 255."""
    ring = np.ones((_BORDER_OF_SIDE_PX, _BORDER_OF_SIDE_PX), dtype=bool)
    ring[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX] = False
    borders = [_reduce(image, _BORDER_OF_SIDE_PX)[ring] for image in images]
    return np.array(borders).reshape(len(borders), int(ring.sum()))


def count_by_source(sources: pd.Series, classes: pd.Series) -> pd.DataFrame:
    """Count images by source (rows) and class (columns), both sorted.

    Args:
        sources: Source of each image.
        classes: Class of each image, as name or index.
    """
    return pd.crosstab(sources, classes)


def is_constant(features: Features) -> bool:
    """Tell whether all images have the same features, so that nothing can be learnt from them."""
    return bool((features == features[:1]).all())


def _measure_bytes_per_pixel(image: NDArray[np.uint8]) -> list[float]:
    sizes = []
    for options in ({"format": "PNG"}, {"format": "JPEG", "quality": _JPEG_QUALITY}):
        stream = io.BytesIO()
        Image.fromarray(np.asarray(image)).save(stream, **options)
        sizes.append(stream.tell() / image.size)
    return sizes


def _reduce(image: NDArray[np.uint8], side_px: int) -> Features:
    small = Image.fromarray(image).resize((side_px, side_px), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64)
