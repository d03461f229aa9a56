"""The explanation on disk: maps in `attributions.npz`, everything else in `index.json`."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cxresnet import DISCLAIMER
from cxresnet.core.checksums import record_checksums, require_unaltered
from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import atomic_write
from cxresnet.core.record import Record, read_record, write_record
from cxresnet.explain.lungs import LungSource
from cxresnet.explain.overlay import (
    SCALE_LIMIT,
    compute_drawn_map,
    compute_scale_limit,
    describe_weak_map,
)

SelectionReason = Literal[
    "most confident correct", "most confident incorrect", "least confident correct", "requested"
]

Unit = Literal[
    "change of probability",
    "probability per pixel",
    "change of probability per sd of grey",
    "no unit",
]
"""Unit of a value of a map. The first two lie on the shared scale, the second after summing its
pixels over a patch; the others each have a scale of their own."""

_SELECTION_CAPTIONS: dict[SelectionReason, str] = {
    "most confident correct": "test image, correct, high confidence",
    "most confident incorrect": "test image, wrong, high confidence",
    "least confident correct": "test image, correct, low confidence",
    "requested": "requested image",
}

_ARRAYS = "attributions.npz"
_INDEX = "index.json"
_MAP_PREFIX = "map_"
_BASELINE_RANGE_PREFIX = "baseline_range_"
_COMMAND = "cxresnet explain RUN"


class ExplainedImage(Record):
    """One image of the index; row i of the index is row i of every array.

    Attributes:
        image_id: As in the manifest.
        patient_id: As in the manifest; "" where unknown.
        source: As in the manifest.
        true_class: The label.
        predicted_class: The class that was decided for.
        probability: Of the predicted class, 0 to 1.
        explained_class: The class whose probability the maps explain; the predicted one unless
            another was requested.
        explained_probability: Of the explained class, 0 to 1.
        selection_reason: Why this image was chosen.
        lung_source: Where its lung mask comes from.
        lung_note: A caveat about the mask, one sentence; "" if there is none.
        lung_area_share: Share of the image that is lung, 0 to 1: the expected share of a map that
            ignores the lungs. None where there is no lung mask.
        lung_shares: For each method, the share of the map's weight that lies in the lungs, 0 to 1;
            empty where no lung mask is known, and without the methods whose map is zero everywhere.
        baseline_probabilities: For each complete method, the probability of the explained class at
            the baseline.
        completeness_errors: For each complete method, the image's probability minus the baseline's
            minus the sum of the map.
    """

    image_id: str
    patient_id: str
    source: str
    true_class: str
    predicted_class: str
    probability: float = Field(ge=0, le=1)
    explained_class: str
    explained_probability: float = Field(ge=0, le=1)
    selection_reason: SelectionReason
    lung_source: LungSource = "none"
    lung_note: str = ""
    lung_area_share: float | None = Field(default=None, ge=0, le=1)
    lung_shares: dict[str, float] = Field(default_factory=dict)
    baseline_probabilities: dict[str, float] = Field(default_factory=dict)
    completeness_errors: dict[str, float] = Field(default_factory=dict)

    @property
    def caption(self) -> str:
        """What kind of image it is, in words: for example "test image, correct, low confidence"."""
        return _SELECTION_CAPTIONS[self.selection_reason]


class MethodRecord(Record):
    """One method of the index.

    Attributes:
        name: Key of its map.
        title: Shown to readers.
        interpretation: One sentence that says what a value means.
        caption: What a value is, short, with a place for the explained class.
        unit: Of a value.
        parameters: Every choice of the method.
        baseline: What the image is compared with, in words; "" where there is no baseline.
        layer: The layer explained; "" for none, or for the last feature map.
        drawn_patch_px: Side of the square over which values are summed before they are drawn; None
            where they are drawn as they are.
        own_scale_limit: The value at both ends of the method's own scale; None where it lies on
            the scale that images and methods share.
        failed_sanity: The method failed a sanity check; this is written across each of its maps.
    """

    name: str
    title: str
    interpretation: str
    caption: str = "change of the probability of {class_name}"
    unit: Unit = "change of probability"
    parameters: dict[str, str | int | float] = Field(default_factory=dict)
    baseline: str = ""
    layer: str = ""
    drawn_patch_px: int | None = Field(default=None, ge=1)
    own_scale_limit: float | None = Field(default=None, gt=0)
    failed_sanity: bool = False

    @property
    def drawn_unit(self) -> str:
        """Unit of what is drawn: values per pixel are summed over a patch before."""
        return "change of probability" if self.drawn_patch_px else self.unit

    def describe_value(self, class_name: str) -> str:
        """Describe what a value of the map is, as a caption for one explained class."""
        return self.caption.replace("{class_name}", class_name)


class ExplanationIndex(Record):
    """`index.json`.

    Attributes:
        format: Version of this file.
        disclaimer: What the figures must not be used for.
        unit: Of the shared scale.
        data_verdict: What the audit found in the training data, one sentence; "" if it was not run.
        scale_limit: Change of probability at both ends of the shared colour scale, the same in all
            outputs; values beyond are drawn as the end.
        versions: Of the software that computed the maps.
        class_names: The classes in order.
        methods: In the order in which they are shown.
        images: In the order in which they are shown.
    """

    format: Literal[3] = 3
    disclaimer: str = DISCLAIMER
    unit: Literal["change of probability"] = "change of probability"
    data_verdict: str = ""
    scale_limit: float = Field(default=SCALE_LIMIT, gt=0, le=1)
    versions: dict[str, str] = Field(default_factory=dict)
    class_names: tuple[str, ...]
    methods: tuple[MethodRecord, ...]
    images: tuple[ExplainedImage, ...]


@dataclass(frozen=True, eq=False)
class Attributions:
    """The maps of the chosen images.

    Attributes:
        index: Describes the rows.
        images: (image, row, column), uint8, as prepared for the network.
        lung_masks: (image, row, column), uint8, 255 in the lungs; all 0 where there is no mask.
        maps: For each method (image, row, column), float32, signed, in the method's unit.
        baseline_ranges: For methods with several baselines, (image, row, column), float32, at
            least 0: the range of the values between baselines.
    """

    index: ExplanationIndex
    images: NDArray[np.uint8]
    lung_masks: NDArray[np.uint8]
    maps: Mapping[str, NDArray[np.float32]]
    baseline_ranges: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def compute_drawn(self, method: MethodRecord, row: int) -> NDArray[np.float32]:
        """Compute what is drawn of one map, (row, column): summed over patches where needed."""
        return compute_drawn_map(self.maps[method.name][row], patch_px=method.drawn_patch_px)

    def get_scale_limit(self, method: MethodRecord) -> float:
        """Get the value at both ends of the colour scale that a method is drawn on."""
        return method.own_scale_limit or SCALE_LIMIT

    def describe_weakness(self, method: MethodRecord, row: int) -> str:
        """Say that no region matters, where a map is that weak; "" for one on a scale of its own.

        Returns:
            As `describe_weak_map`.
        """
        if method.own_scale_limit is not None:
            return ""
        return describe_weak_map(self.compute_drawn(method, row))

    def compute_stretched_limit(self, method: MethodRecord, row: int) -> float:
        """Choose the ends of a scale that one map fills, for a view that is labelled as such."""
        return compute_scale_limit(self.compute_drawn(method, row))


def write_attributions(folder: Path, attributions: Attributions) -> None:
    """Write the maps, then the index: where there is an index, the maps are complete.

    Raises:
        StorageError: The folder cannot be written.
    """
    (folder / _INDEX).unlink(missing_ok=True)
    record_checksums(write_arrays(folder / _ARRAYS, attributions))
    write_record(folder / _INDEX, attributions.index)


def write_arrays(path: Path, attributions: Attributions) -> Path:
    """Write images, lung masks, maps and ranges as one `.npz`, whole or not at all.

    Raises:
        StorageError: The file cannot be written.
    """
    arrays = {_MAP_PREFIX + name: values for name, values in attributions.maps.items()}
    arrays |= {
        _BASELINE_RANGE_PREFIX + name: values
        for name, values in attributions.baseline_ranges.items()
    }
    with atomic_write(path) as stream:
        np.savez_compressed(
            stream,
            allow_pickle=False,
            images=attributions.images,
            lung_masks=attributions.lung_masks,
            **arrays,
        )
    return path


def read_attributions(folder: Path) -> Attributions:
    """Read what `write_attributions` wrote.

    Raises:
        RunFolderError: A file is missing, damaged or of another version, or index and maps do not
            belong together.
    """
    index = read_record(folder / _INDEX, ExplanationIndex, command=_COMMAND)
    found = _read_arrays(folder / _ARRAYS, index)
    arrays: list[NDArray[Any]] = [found.images, found.lung_masks, *found.maps.values()]
    shapes = {array.shape for array in (*arrays, *found.baseline_ranges.values())}
    if len(shapes) != 1 or len(found.images) != len(index.images):
        raise RunFolderError(
            f"Index and maps in '{folder}' do not belong together. Make them again with "
            f"'{_COMMAND}'."
        )
    return found


def _read_arrays(path: Path, index: ExplanationIndex) -> Attributions:
    names = [method.name for method in index.methods]
    require_unaltered(path, way_out=f"Make it again with '{_COMMAND}'.")
    try:
        # Opened here: NumPy leaves a file open that turns out to be damaged.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return Attributions(
                index=index,
                images=arrays["images"],
                lung_masks=arrays["lung_masks"],
                maps={name: arrays[_MAP_PREFIX + name] for name in names},
                baseline_ranges={
                    name: arrays[_BASELINE_RANGE_PREFIX + name]
                    for name in names
                    if _BASELINE_RANGE_PREFIX + name in arrays
                },
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise RunFolderError(
            f"The maps in '{path}' cannot be read ({type(error).__name__}). "
            f"Make them again with '{_COMMAND}'."
        ) from error
