"""The stage: choose films of the test, explain each, and write maps and pictures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cxresnet.core.config import ExplainConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.core.progress import track
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset import FilmSet, open_dataset
from cxresnet.explain.choice import Choice, choose_films
from cxresnet.explain.lungs import compute_lung_area_share, compute_lung_share
from cxresnet.explain.methods import AbstractMethod, build_methods
from cxresnet.explain.overlay import compute_scale_limit
from cxresnet.explain.pictures import write_pictures
from cxresnet.explain.record import (
    Attributions,
    ExplainedFilm,
    ExplanationIndex,
    MethodRecord,
    write_attributions,
)
from cxresnet.predict import Predictions, Predictor, load_predictor, read_predictions

__all__ = ["ExplainResult", "compute_attributions", "run_explain"]

_LOGGER = logging.getLogger(__name__)

_PROBABILITY_TOLERANCE = 0.01
"""Between the table and the network now: wider than any difference between two machines."""


@dataclass(frozen=True)
class ExplainResult:
    """What `run_explain` did.

    Attributes:
        path: The folder with index, maps and pictures.
        pictures: One PNG a film.
    """

    path: Path
    pictures: tuple[Path, ...]


def run_explain(run: RunFolder, *, config: ExplainConfig) -> ExplainResult:
    """Explain the most confident right and wrong films of the test.

    Args:
        run: Trained and evaluated.
        config: How many films, and how finely.

    Raises:
        RunFolderError: The run is not evaluated, or its predictions are of another network.
        CheckpointError: The network cannot be read.
        StorageError: The folder cannot be written.
    """
    if not run.predictions.is_file():
        raise RunFolderError(
            f"The run '{run.path}' is not evaluated yet; call 'cxresnet evaluate {run.path}' first."
        )
    predictions = read_predictions(run.predictions)
    predictor = load_predictor(run.checkpoint)
    test = open_dataset(run.read_dataset_path()).open_sealed_test(reason="explain")
    attributions = compute_attributions(predictor, predictions, test, config=config)
    write_attributions(run.explain, attributions)
    pictures = write_pictures(run.explain, attributions)
    _LOGGER.info("explained %d films in %s", len(pictures), run.explain)
    return ExplainResult(path=run.explain, pictures=pictures)


def compute_attributions(
    predictor: Predictor, predictions: Predictions, test: FilmSet, *, config: ExplainConfig
) -> Attributions:
    """Choose films and compute their maps.

    Args:
        predictor: Of the network that made the predictions.
        predictions: Of the test films.
        test: The test films themselves.
        config: How many films, and how finely.

    Raises:
        RunFolderError: The predictions are of another network or of other films, or there are none.
    """
    choices = choose_films(predictions, films_per_class=config.films_per_class)
    if not choices:
        raise RunFolderError("No film of the test has a known class; there is nothing to explain.")
    rows = _find_rows(predictions, test, choices)
    films = np.stack([test.films[row] for row in rows])
    _require_same_network(predictor, predictions, films=films, choices=choices)
    methods = build_methods(config, side_px=films.shape[-1])
    maps = _compute_maps(predictor, films, methods, choices=choices)
    lung_masks = np.stack([_read_lung_mask(test, row) for row in rows])
    everything = np.stack(list(maps.values()))
    index = ExplanationIndex(
        scale_limit=compute_scale_limit(everything),
        class_names=predictions.class_names,
        methods=tuple(
            MethodRecord(name=method.name, title=method.title, reading=method.reading)
            for method in methods
        ),
        films=tuple(
            _describe(predictions, choice, maps=_take_row(maps, row), lung_mask=lung_masks[row])
            for row, choice in enumerate(choices)
        ),
    )
    return Attributions(index=index, films=films, lung_masks=lung_masks, maps=maps)


def _find_rows(predictions: Predictions, test: FilmSet, choices: Sequence[Choice]) -> list[int]:
    """Find the chosen films among the test films, by image id."""
    places = {image_id: row for row, image_id in enumerate(test.manifest["image_id"])}
    wanted = [predictions.image_ids[choice.row] for choice in choices]
    missing = [image_id for image_id in wanted if image_id not in places]
    if missing:
        raise RunFolderError(
            f"The predictions name a film that the test split does not have: '{missing[0]}'. "
            "The dataset has changed; evaluate again."
        )
    return [places[image_id] for image_id in wanted]


def _require_same_network(
    predictor: Predictor,
    predictions: Predictions,
    *,
    films: NDArray[np.uint8],
    choices: Sequence[Choice],
) -> None:
    """Refuse to explain a network with another one's predictions."""
    logits = torch.from_numpy(predictor.predict_films(films))
    now = logits.softmax(dim=1).numpy()
    before = predictions.probabilities[[choice.row for choice in choices]]
    if now.shape != before.shape or np.abs(now - before).max() > _PROBABILITY_TOLERANCE:
        raise RunFolderError(
            "The predictions are not those of the network in this run; it was trained again, or "
            "the films have changed. Evaluate again."
        )


def _compute_maps(
    predictor: Predictor,
    films: NDArray[np.uint8],
    methods: Sequence[AbstractMethod],
    *,
    choices: Sequence[Choice],
) -> dict[str, NDArray[np.float32]]:
    """Compute every map of every film, film by film, so that memory does not grow with them."""
    maps = {method.name: np.zeros(films.shape, np.float32) for method in methods}
    for row, choice in enumerate(track(choices, "Explaining films")):
        images = predictor.to_tensor(films[row : row + 1])
        target = torch.tensor([choice.predicted], device=images.device)
        for method in methods:
            found = method.attribute(predictor.model, images, targets=target)
            maps[method.name][row] = found[0].cpu().numpy()
    return maps


def _take_row(maps: dict[str, NDArray[np.float32]], row: int) -> dict[str, NDArray[np.float32]]:
    return {name: values[row] for name, values in maps.items()}


def _read_lung_mask(test: FilmSet, row: int) -> NDArray[np.uint8]:
    mask = test.lung_mask(row)
    return np.zeros_like(test.films[row]) if mask is None else mask


def _describe(
    predictions: Predictions,
    choice: Choice,
    *,
    maps: dict[str, NDArray[np.float32]],
    lung_mask: NDArray[np.uint8],
) -> ExplainedFilm:
    shares = {}
    if lung_mask.any():
        found = {name: compute_lung_share(values, lung_mask) for name, values in maps.items()}
        shares = {name: share for name, share in found.items() if share is not None}
    names, row = predictions.class_names, choice.row
    return ExplainedFilm(
        image_id=predictions.image_ids[row],
        patient_id=predictions.patient_ids[row],
        source=predictions.sources[row],
        true_class=names[predictions.truth[row]],
        predicted_class=names[choice.predicted],
        probability=float(predictions.probabilities[row, choice.predicted]),
        why=choice.why,
        lung_area_share=compute_lung_area_share(lung_mask) if lung_mask.any() else None,
        lung_shares=shares,
    )
