"""Choose films of the test and compute their maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config import ExplainConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.data.dataset import FilmSet
from cxresnet.evaluate.operating_point import judge
from cxresnet.evaluate.record import Evaluation
from cxresnet.explain.cache import open_map_cache
from cxresnet.explain.calibrated import CalibratedNetwork
from cxresnet.explain.choice import Choice, choose_films
from cxresnet.explain.film_lungs import choose_lungs
from cxresnet.explain.lungs import compute_lung_area_share, compute_lung_share
from cxresnet.explain.maps import describe_method, explain_films, list_versions
from cxresnet.explain.methods import AbstractMethod, build_methods
from cxresnet.explain.overlay import compute_drawn_map, compute_scale_limit
from cxresnet.explain.record import (
    Attributions,
    ExplainedFilm,
    ExplanationIndex,
)
from cxresnet.metrics.classification import Judged
from cxresnet.predict import Predictions, Predictor

__all__ = ["compute_attributions", "explain_choices"]

_LOGIT_TOLERANCE = 0.05
"""Between the table and the network now: wider than any difference between two machines."""


def compute_attributions(
    predictor: Predictor,
    predictions: Predictions,
    test: FilmSet,
    *,
    evaluation: Evaluation,
    config: ExplainConfig,
    cache_folder: Path | None = None,
) -> Attributions:
    """Choose films and compute their maps.

    What is explained is the class that the operating point decides for, and the unit is change of
    its probability after calibration: the same that the test reports. Where the test averages
    several views of a film, the film itself is explained.

    Args:
        predictor: Of the network that made the predictions.
        predictions: Of the test films.
        test: The test films themselves.
        evaluation: How the predictions were judged.
        config: How many films, and how finely.
        cache_folder: Where maps that are known already lie; None: nothing is remembered.

    Raises:
        RunFolderError: The predictions are of another network or of other films, or there are none.
    """
    judged = judge(predictions, evaluation.operating_point)
    choices = choose_films(
        judged,
        image_ids=predictions.image_ids,
        group_ids=predictions.group_ids,
        films_per_class=config.films_per_class,
    )
    return explain_choices(
        choices,
        judged,
        predictor=predictor,
        predictions=predictions,
        test=test,
        evaluation=evaluation,
        config=config,
        cache_folder=cache_folder,
    )


def explain_choices(  # noqa: PLR0913  the films, the network, and what was found of both
    choices: Sequence[Choice],
    judged: Judged,
    *,
    predictor: Predictor,
    predictions: Predictions,
    test: FilmSet,
    evaluation: Evaluation,
    config: ExplainConfig,
    cache_folder: Path | None = None,
) -> Attributions:
    """Compute the maps of films that were chosen.

    Args:
        choices: Which films, and which class of each.
        judged: What was decided.
        predictor: As of `compute_attributions`.
        predictions: As of `compute_attributions`.
        test: As of `compute_attributions`.
        evaluation: As of `compute_attributions`.
        config: As of `compute_attributions`.
        cache_folder: Where maps that are known already lie; None: nothing is remembered.

    Raises:
        RunFolderError: The predictions are of another network or of other films, or there are none.
    """
    if not choices:
        raise RunFolderError("No film of the test has a known class; there is nothing to explain.")
    rows = _find_rows(predictions, test, choices)
    films = np.stack([test.films[row] for row in rows])
    now = predictor.predict_films(films, test_views=evaluation.provenance.test_views > 1)
    _require_same_logits(now, predictions.logits[[choice.row for choice in choices]])
    methods = build_methods(config.methods, config, side_px=films.shape[-1])
    point = evaluation.operating_point
    network = CalibratedNetwork(predictor.model, temperature=point.temperature, shifts=point.shifts)
    lungs = [choose_lungs(film, test.lung_mask(row)) for film, row in zip(films, rows, strict=True)]
    lung_masks = np.stack([one.mask for one in lungs])
    found = explain_films(
        network,
        predictor.to_tensor(films),
        methods=methods,
        targets=[choice.explained for choice in choices],
        lung_masks=lung_masks,
        cache=open_map_cache(cache_folder, network, versions=list_versions())
        if cache_folder
        else None,
    )
    described = tuple(
        _describe(predictions, judged, choice).model_copy(
            update={"lung_source": lungs[row].source, "lung_note": lungs[row].note}
            | _measure_lungs(lung_masks[row], _take_row(found.maps, row))
            | found.describe_sums(row)
        )
        for row, choice in enumerate(choices)
    )
    index = _build_index(described, methods, maps=found.maps, evaluation=evaluation)
    return Attributions(
        index=index,
        films=films,
        lung_masks=lung_masks,
        maps=found.maps,
        spreads=found.spreads,
    )


def _build_index(
    films: tuple[ExplainedFilm, ...],
    methods: Sequence[AbstractMethod],
    *,
    maps: Mapping[str, NDArray[np.float32]],
    evaluation: Evaluation,
) -> ExplanationIndex:
    records = tuple(describe_method(method, maps[method.name]) for method in methods)
    # One method leads, lest a place or two where another adds up to much turn all pictures pale.
    lead = next((record for record in records if record.own_scale_limit is None), None)
    return ExplanationIndex(
        scale_limit=1.0
        if lead is None
        else compute_scale_limit(compute_drawn_map(maps[lead.name], patch_px=lead.drawn_patch_px)),
        class_names=evaluation.class_names,
        data_verdict=evaluation.data_verdict,
        versions=list_versions(),
        methods=records,
        films=films,
    )


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


def _require_same_logits(now: NDArray[np.float32], before: NDArray[np.float32]) -> None:
    """Refuse to explain a network with another one's predictions."""
    if now.shape != before.shape or np.abs(now - before).max() > _LOGIT_TOLERANCE:
        raise RunFolderError(
            "The predictions are not those of the network in this run; it was trained again, or "
            "the films have changed. Evaluate again."
        )


def _take_row(maps: Mapping[str, NDArray[np.float32]], row: int) -> dict[str, NDArray[np.float32]]:
    return {name: values[row] for name, values in maps.items()}


def _describe(predictions: Predictions, judged: Judged, choice: Choice) -> ExplainedFilm:
    names, row = predictions.class_names, choice.row
    return ExplainedFilm(
        image_id=predictions.image_ids[row],
        patient_id=predictions.patient_ids[row],
        source=predictions.sources[row],
        true_class=names[predictions.truth[row]],
        predicted_class=names[choice.predicted],
        probability=float(judged.probabilities[row, choice.predicted]),
        explained_class=names[choice.explained],
        explained_probability=float(judged.probabilities[row, choice.explained]),
        why=choice.why,
    )


def _measure_lungs(
    lung_mask: NDArray[np.uint8], maps: Mapping[str, NDArray[np.float32]]
) -> dict[str, float | dict[str, float]]:
    """Say how much of each map lies in the lungs; nothing where there is no mask."""
    if not lung_mask.any():
        return {}
    shares = {name: compute_lung_share(values, lung_mask) for name, values in maps.items()}
    return {
        "lung_area_share": compute_lung_area_share(lung_mask),
        "lung_shares": {name: share for name, share in shares.items() if share is not None},
    }
