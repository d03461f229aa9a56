"""The explanation summary: images in words, their nearest neighbours, and means per lung zone.

`summary.json` holds it, `summary.npz` the images of the nearest neighbours, and `zone_means.png`
the figure of the lung zones.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cxresnet import DISCLAIMER
from cxresnet.core.checksums import record_checksums, require_unaltered
from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import atomic_write
from cxresnet.core.record import Record, read_record, write_record
from cxresnet.explain.context import ExplainContext
from cxresnet.explain.neighbours import ImageNeighbours, find_neighbours
from cxresnet.explain.record import Attributions
from cxresnet.explain.text_summary import (
    ImageTextSummary,
    choose_summary_method,
    compute_text_summaries,
)
from cxresnet.explain.zone_means import ZoneMeans, compute_zone_means, write_zone_means_figure

SUMMARY_NAME = "summary.json"
_ARRAYS = "summary.npz"
_FIGURE = "zone_means.png"
_COMMAND = "cxresnet explain RUN"


class ExplanationSummaryIndex(Record):
    """`summary.json`.

    Attributes:
        format: Version of this file.
        disclaimer: What it must not be used for.
        text_summaries: One per image, in the order of the attributions.
        neighbours: Likewise; empty where none were requested.
        zone_means: Mean attribution per lung zone; None where it was not requested, or where no
            method passed its sanity checks.
    """

    format: Literal[2] = 2
    disclaimer: str = DISCLAIMER
    text_summaries: tuple[ImageTextSummary, ...]
    neighbours: tuple[ImageNeighbours, ...] = ()
    zone_means: ZoneMeans | None = None


@dataclass(frozen=True, eq=False)
class ExplanationSummary:
    """The index, and the images of the neighbours.

    Attributes:
        index: The record.
        neighbour_images: (image, neighbour, side, side), uint8; black where there are fewer.
    """

    index: ExplanationSummaryIndex
    neighbour_images: NDArray[np.uint8]


def compute_explanation_summary(
    context: ExplainContext, attributions: Attributions
) -> ExplanationSummary:
    """Summarise the explanation of a run; leaves the network as it was.

    Args:
        context: Network, images and decisions.
        attributions: The maps of the chosen images; see `choose_summary_method` for the one that is
            put into words.
    """
    method = choose_summary_method(attributions.index)
    images = context.predictor.to_tensor(attributions.images)
    text_summaries = compute_text_summaries(context.network, images, attributions)
    neighbours, neighbour_images = find_neighbours(context, attributions)
    index = ExplanationSummaryIndex(
        text_summaries=text_summaries,
        neighbours=neighbours,
        zone_means=(
            compute_zone_means(context, method.name)
            if method is not None and context.config.zone_mean_images
            else None
        ),
    )
    return ExplanationSummary(index, neighbour_images)


def write_explanation_summary(folder: Path, summary: ExplanationSummary) -> None:
    """Write the images, then the index: where there is an index, the images are complete.

    Raises:
        StorageError: The folder cannot be written.
    """
    (folder / SUMMARY_NAME).unlink(missing_ok=True)
    with atomic_write(folder / _ARRAYS) as stream:
        np.savez_compressed(stream, allow_pickle=False, neighbour_images=summary.neighbour_images)
    record_checksums(folder / _ARRAYS)
    if summary.index.zone_means is not None:
        write_zone_means_figure(folder / _FIGURE, summary.index.zone_means)
    write_record(folder / SUMMARY_NAME, summary.index)


def read_explanation_summary(folder: Path) -> ExplanationSummary:
    """Read what `write_explanation_summary` wrote.

    Raises:
        RunFolderError: A file is missing, damaged or of another version, or the two files do not
            belong together.
    """
    index = read_record(folder / SUMMARY_NAME, ExplanationSummaryIndex, command=_COMMAND)
    require_unaltered(folder / _ARRAYS, way_out=f"Make it again with '{_COMMAND}'.")
    try:
        with (
            (folder / _ARRAYS).open("rb") as stream,
            np.load(stream, allow_pickle=False) as arrays,
        ):
            images = arrays["neighbour_images"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise RunFolderError(
            f"The neighbours in '{folder / _ARRAYS}' cannot be read ({type(error).__name__}). "
            f"Make them again with '{_COMMAND}'."
        ) from error
    if len(images) != len(index.text_summaries) or images.dtype != np.uint8 or images.ndim != 4:
        raise RunFolderError(
            f"{SUMMARY_NAME} and {_ARRAYS} in '{folder}' do not belong together. "
            f"Make them again with '{_COMMAND}'."
        )
    return ExplanationSummary(index, images)
