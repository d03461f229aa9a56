"""What is told about a run beyond its maps: films in words, films like them, zones class by class.

`insights.json` holds it, `insights.npz` the pictures of the films that are alike.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from cxresnet import DISCLAIMER
from cxresnet.core.config import ExplainConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import read_json, write_json, written_whole
from cxresnet.core.progress import track
from cxresnet.data.dataset import FilmSet
from cxresnet.explain.calibrated import CalibratedNetwork
from cxresnet.explain.concept import Concept, choose_concept_films, compute_class_concept
from cxresnet.explain.concept_picture import write_concept_picture
from cxresnet.explain.film_lungs import FilmLungs, choose_lungs
from cxresnet.explain.methods import build_methods
from cxresnet.explain.neighbours import FilmNeighbours, build_gallery, compute_features
from cxresnet.explain.record import Attributions, ExplanationIndex, MethodRecord
from cxresnet.explain.story import FilmStory, compute_story
from cxresnet.explain.story_words import write_story
from cxresnet.explain.zones import split_lungs
from cxresnet.metrics.classification import Judged
from cxresnet.predict import Predictor

__all__ = [
    "INSIGHTS_NAME",
    "Insights",
    "InsightsIndex",
    "JudgedMaterial",
    "choose_told_method",
    "compute_insights",
    "read_insights",
    "write_insights",
]

INSIGHTS_NAME = "insights.json"
_ARRAYS = "insights.npz"


class InsightsIndex(BaseModel):
    """`insights.json`.

    Attributes:
        format: Version of this file.
        disclaimer: What it must not be used for.
        stories: One a film, in the order of the attributions.
        neighbours: Likewise; empty where nobody asked for them.
        concept: Zones class by class; None where nobody asked for them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = 1
    disclaimer: str = DISCLAIMER
    stories: tuple[FilmStory, ...]
    neighbours: tuple[FilmNeighbours, ...] = ()
    concept: Concept | None = None


@dataclass(frozen=True, eq=False)
class Insights:
    """The index and its pictures.

    Attributes:
        index: What was found.
        neighbour_films: (film, neighbour, side, side), uint8; black where there are fewer.
    """

    index: InsightsIndex
    neighbour_films: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class JudgedMaterial:
    """The test as it was judged, beside the films that the network learned from.

    Attributes:
        predictor: The network.
        network: The same with its temperature.
        judged: What was decided, row by row.
        image_ids: Of the rows of `judged`.
        group_ids: Likewise.
        test: The films themselves, in any order.
        training: What the network learned from.
    """

    predictor: Predictor
    network: CalibratedNetwork
    judged: Judged
    image_ids: Sequence[str]
    group_ids: Sequence[str]
    test: FilmSet
    training: FilmSet


def compute_insights(
    material: JudgedMaterial, attributions: Attributions, *, config: ExplainConfig
) -> Insights:
    """Measure, compare and count; leaves the network as it was.

    Args:
        material: Network, films and decisions.
        attributions: The maps of the chosen films; the first method's are put into words.
        config: How many films and neighbours.
    """
    stories = _tell_stories(material, attributions)
    neighbours, films = _find_neighbours(material, attributions, count=config.neighbours)
    concept = _compute_concept(material, config) if config.concept_films else None
    index = InsightsIndex(stories=stories, neighbours=neighbours, concept=concept)
    return Insights(index, films)


def choose_told_method(index: ExplanationIndex) -> MethodRecord:
    """Choose the map that is put into words: occlusion if it is there, else the first.

    Occlusion asks what the sentences about covering ask: what is lost without a place.
    """
    named = {method.name: method for method in index.methods}
    return named.get("occlusion", index.methods[0])


def _tell_stories(material: JudgedMaterial, attributions: Attributions) -> tuple[FilmStory, ...]:
    index = attributions.index
    images = material.predictor.to_tensor(attributions.films)
    method = choose_told_method(index).name
    stories = []
    for row, film in enumerate(track(index.films, "Putting films into words")):
        lungs = FilmLungs(
            *split_lungs(attributions.lung_masks[row]), film.lung_source, film.lung_note
        )
        start = FilmStory(
            image_id=film.image_id,
            class_name=film.explained_class,
            probability=film.explained_probability,
            method=method,
            lung_source=film.lung_source,
        )
        story = compute_story(
            material.network,
            images[row],
            lungs,
            attribution=attributions.maps[method][row],
            target=index.class_names.index(film.explained_class),
            story=start,
        )
        stories.append(story.model_copy(update={"words": write_story(story)}))
    return tuple(stories)


def _find_neighbours(
    material: JudgedMaterial, attributions: Attributions, *, count: int
) -> tuple[tuple[FilmNeighbours, ...], NDArray[np.uint8]]:
    films = attributions.films
    pictures = np.zeros((len(films), count, *films.shape[1:]), np.uint8)
    if count == 0:
        return (), pictures
    gallery = build_gallery(
        material.predictor, material.training, class_names=attributions.index.class_names
    )
    features = compute_features(material.predictor, films)
    groups = dict(zip(material.image_ids, material.group_ids, strict=True))
    found = []
    for row, film in enumerate(attributions.index.films):
        neighbours, alike = gallery.find(
            features[row], image_id=film.image_id, group_id=groups[film.image_id], count=count
        )
        pictures[row, : len(alike)] = alike
        found.append(neighbours)
    return tuple(found), pictures


def _compute_concept(material: JudgedMaterial, config: ExplainConfig) -> Concept:
    places = {image_id: row for row, image_id in enumerate(material.test.manifest["image_id"])}
    (method,) = build_methods(("occlusion",), config, side_px=material.test.films.shape[-1])
    classes = []
    for label, class_name in enumerate(track(material.judged.class_names, "Comparing zones")):
        chosen = choose_concept_films(
            material.judged, group_ids=material.group_ids, label=label, count=config.concept_films
        )
        rows = [places[material.image_ids[row]] for row in chosen]
        lungs = [
            choose_lungs(np.asarray(material.test.films[row]), material.test.lung_mask(row))
            for row in rows
        ]
        films = [np.asarray(material.test.films[row]) for row in rows]

        def attribute(
            number: int, films: list[NDArray[np.uint8]] = films, label: int = label
        ) -> NDArray[np.float32]:
            image = material.predictor.to_tensor(films[number][None])
            target = torch.tensor([label], device=image.device)
            found = method.attribute(material.network, image, targets=target)
            return found[0].cpu().numpy()

        groups = [material.group_ids[row] for row in chosen]
        classes.append(
            compute_class_concept(class_name, lungs=lungs, group_ids=groups, attribute=attribute)
        )
    return Concept(method=method.title, classes=tuple(classes))


def write_insights(folder: Path, insights: Insights) -> None:
    """Write the pictures, then the index: where there is an index, the pictures are whole.

    Raises:
        StorageError: The folder cannot be written.
    """
    (folder / INSIGHTS_NAME).unlink(missing_ok=True)
    with written_whole(folder / _ARRAYS) as stream:
        np.savez_compressed(stream, allow_pickle=False, neighbour_films=insights.neighbour_films)
    if insights.index.concept is not None:
        write_concept_picture(folder / "concept.png", insights.index.concept)
    write_json(folder / INSIGHTS_NAME, insights.index.model_dump(mode="json"))


def read_insights(folder: Path) -> Insights:
    """Read what `write_insights` wrote.

    Raises:
        RunFolderError: There is nothing, or it is torn, or its two files do not belong together.
    """
    try:
        index = InsightsIndex.model_validate(read_json(folder / INSIGHTS_NAME))
        with (
            (folder / _ARRAYS).open("rb") as stream,
            np.load(stream, allow_pickle=False) as arrays,
        ):
            films = arrays["neighbour_films"]
    except FileNotFoundError as error:
        raise RunFolderError(
            f"'{folder}' holds no films in words. Make them with 'cxresnet explain RUN'."
        ) from error
    except (OSError, ValueError, KeyError, ValidationError, zipfile.BadZipFile) as error:
        raise RunFolderError(
            f"The films in words in '{folder}' cannot be read ({type(error).__name__}). "
            "Make them again with 'cxresnet explain RUN'."
        ) from error
    if len(films) != len(index.stories) or films.dtype != np.uint8 or films.ndim != 4:
        raise RunFolderError(
            f"The two files of the films in words in '{folder}' do not belong together. "
            "Make them again with 'cxresnet explain RUN'."
        )
    return Insights(index, films)
