"""What `explain` found: maps in `attributions.npz`, everything else in `index.json`."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cxresnet import DISCLAIMER
from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import read_json, write_json, written_whole
from cxresnet.explain.film_lungs import LungSource
from cxresnet.explain.overlay import compute_drawn_map

__all__ = [
    "Attributions",
    "ExplainedFilm",
    "ExplanationIndex",
    "MethodRecord",
    "Unit",
    "Why",
    "read_attributions",
    "write_attributions",
]

Why = Literal["most confident right", "most confident wrong", "least confident right", "asked for"]

Unit = Literal[
    "change of probability",
    "probability per pixel",
    "change of probability per sd of grey",
    "no unit",
]
"""What a value of a map means. The first two lie on the shared scale, the second after its pixels
are added up over a patch; the others each have a scale of their own."""

_ARRAYS = "attributions.npz"
_INDEX = "index.json"
_MAP_PREFIX = "map_"
_SPREAD_PREFIX = "spread_"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ExplainedFilm(_Record):
    """One film of the index; row i of the index is row i of every array.

    Attributes:
        image_id: As in the manifest.
        patient_id: As in the manifest; "" where unknown.
        source: As in the manifest.
        true_class: What the film was labelled.
        predicted_class: What the network says.
        probability: Of the predicted class, 0 to 1.
        explained_class: The class whose probability the maps explain; the predicted one unless
            another was asked for.
        explained_probability: Of the explained class, 0 to 1.
        why: Why this film was chosen.
        lung_source: Where its lungs come from.
        lung_note: What must be known of them, one sentence; "" if nothing.
        lung_area_share: Share of the film that is lung, 0 to 1: what a map that knows nothing of
            lungs would score. None where there is no lung mask.
        lung_shares: For each method, the share of the map's weight that lies in the lungs, 0 to 1;
            empty without a lung mask, and without the methods whose map is zero everywhere.
        baseline_probabilities: For each method that adds up, the explained class's probability
            where it starts.
        left_over: For each method that adds up, what its map does not explain: the film's
            probability, less the baseline's, less the sum of the map.
    """

    image_id: str
    patient_id: str
    source: str
    true_class: str
    predicted_class: str
    probability: float = Field(ge=0, le=1)
    explained_class: str
    explained_probability: float = Field(ge=0, le=1)
    why: Why
    lung_source: LungSource = "none"
    lung_note: str = ""
    lung_area_share: float | None = Field(default=None, ge=0, le=1)
    lung_shares: dict[str, float] = Field(default_factory=dict)
    baseline_probabilities: dict[str, float] = Field(default_factory=dict)
    left_over: dict[str, float] = Field(default_factory=dict)


class MethodRecord(_Record):
    """One method of the index.

    Attributes:
        name: Key of its map.
        title: For people.
        reading: One sentence that says what a value means.
        unit: Of a value.
        parameters: Every choice of the method.
        baseline: What the film is compared with, in words; "" for nothing.
        layer: Whose output is looked at; "" for none, or for the network's last map.
        drawn_patch_px: Side of the square over which values are added up before they are drawn;
            None where they are drawn as they are.
        own_scale_limit: The value at both ends of the method's own scale; None where it lies on
            the scale that films and methods share.
        distrusted: The method failed its trust card, which stands across each of its maps.
    """

    name: str
    title: str
    reading: str
    unit: Unit = "change of probability"
    parameters: dict[str, str | int | float] = Field(default_factory=dict)
    baseline: str = ""
    layer: str = ""
    drawn_patch_px: int | None = Field(default=None, ge=1)
    own_scale_limit: float | None = Field(default=None, gt=0)
    distrusted: bool = False


class ExplanationIndex(_Record):
    """`index.json`.

    Attributes:
        format: Version of this file.
        disclaimer: What the pictures must not be used for.
        unit: Of the shared scale.
        data_verdict: What the training data betray, one sentence; "" if nobody asked.
        scale_limit: Change of probability at both ends of the shared colour scale, above 0; holds
            all of the first method on it, and what lies beyond is drawn as the end.
        versions: Of what computed the maps.
        class_names: The classes in order.
        methods: In the order in which they are shown.
        films: In the order in which they are shown.
    """

    format: Literal[2] = 2
    disclaimer: str = DISCLAIMER
    unit: Literal["change of probability"] = "change of probability"
    data_verdict: str = ""
    scale_limit: float = Field(gt=0, le=1)
    versions: dict[str, str] = Field(default_factory=dict)
    class_names: tuple[str, ...]
    methods: tuple[MethodRecord, ...]
    films: tuple[ExplainedFilm, ...]


@dataclass(frozen=True, eq=False)
class Attributions:
    """The maps of the chosen films.

    Attributes:
        index: What the rows are.
        films: (film, row, column), uint8, as prepared for the network.
        lung_masks: (film, row, column), uint8, 255 in the lungs; all 0 where there is no mask.
        maps: For each method (film, row, column), float32, signed, in the method's unit.
        spreads: For methods that were asked in several ways, (film, row, column), float32, at
            least 0: how far they come to different values.
    """

    index: ExplanationIndex
    films: NDArray[np.uint8]
    lung_masks: NDArray[np.uint8]
    maps: Mapping[str, NDArray[np.float32]]
    spreads: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def compute_drawn(self, method: MethodRecord, row: int) -> NDArray[np.float32]:
        """Compute what is drawn of one map, (row, column): added up over patches if it must be."""
        return compute_drawn_map(self.maps[method.name][row], patch_px=method.drawn_patch_px)

    def get_scale_limit(self, method: MethodRecord) -> float:
        """Get the value at both ends of the colour scale that a method is drawn on."""
        return method.own_scale_limit or self.index.scale_limit


def write_attributions(folder: Path, attributions: Attributions) -> None:
    """Write the maps, then the index: where there is an index, the maps are whole.

    Raises:
        StorageError: The folder cannot be written.
    """
    (folder / _INDEX).unlink(missing_ok=True)
    arrays = {_MAP_PREFIX + name: values for name, values in attributions.maps.items()}
    arrays |= {_SPREAD_PREFIX + name: values for name, values in attributions.spreads.items()}
    with written_whole(folder / _ARRAYS) as stream:
        np.savez_compressed(
            stream,
            allow_pickle=False,
            films=attributions.films,
            lung_masks=attributions.lung_masks,
            **arrays,
        )
    write_json(folder / _INDEX, attributions.index.model_dump(mode="json"))


def read_attributions(folder: Path) -> Attributions:
    """Read what `write_attributions` wrote.

    Raises:
        RunFolderError: There is nothing, or it is torn, or index and maps do not belong together.
    """
    try:
        index = ExplanationIndex.model_validate(read_json(folder / _INDEX))
        # Opened here: NumPy leaves a file open that turns out to be torn.
        with (
            (folder / _ARRAYS).open("rb") as stream,
            np.load(stream, allow_pickle=False) as arrays,
        ):
            films, lung_masks = arrays["films"], arrays["lung_masks"]
            names = [method.name for method in index.methods]
            maps = {name: arrays[_MAP_PREFIX + name] for name in names}
            spreads = {
                name: arrays[_SPREAD_PREFIX + name]
                for name in names
                if _SPREAD_PREFIX + name in arrays
            }
    except FileNotFoundError as error:
        raise RunFolderError(
            f"'{folder}' holds no explanation. Make one with 'cxresnet explain RUN'."
        ) from error
    except (OSError, ValueError, KeyError, ValidationError, zipfile.BadZipFile) as error:
        raise RunFolderError(
            f"The explanation in '{folder}' cannot be read ({type(error).__name__}). "
            "Make it again with 'cxresnet explain RUN'."
        ) from error
    shapes = {array.shape for array in (films, lung_masks, *maps.values(), *spreads.values())}
    if len(shapes) != 1 or len(films) != len(index.films):
        raise RunFolderError(
            f"Index and maps in '{folder}' do not belong together. "
            "Make them again with 'cxresnet explain RUN'."
        )
    return Attributions(index=index, films=films, lung_masks=lung_masks, maps=maps, spreads=spreads)
