"""The stage: explain films of the test, and write maps, pictures and the trust card."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxresnet.core.config import ExplainConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset import open_dataset
from cxresnet.evaluate.opener import describe_opener
from cxresnet.evaluate.operating_point import judge
from cxresnet.evaluate.record import read_evaluation
from cxresnet.explain.attribution import compute_attributions
from cxresnet.explain.calibrated import CalibratedNetwork
from cxresnet.explain.insights import JudgedMaterial, compute_insights, write_insights
from cxresnet.explain.pictures import write_pictures
from cxresnet.explain.record import read_attributions, write_attributions
from cxresnet.explain.trust.marks import mark_distrusted, remove_card
from cxresnet.explain.trust.record import TrustCard
from cxresnet.explain.trust.stage import ensure_card
from cxresnet.predict import Predictions, load_predictor, read_predictions

__all__ = ["CACHE_FOLDER", "Asked", "ExplainResult", "read_test_predictions", "run_explain"]

CACHE_FOLDER = "cache"
"""In `explain/`: maps that need not be computed again."""

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExplainResult:
    """What `run_explain` did.

    Attributes:
        path: The folder with index, maps and pictures.
        pictures: One PNG a film.
        card: What the maps are worth; None where nobody asked.
    """

    path: Path
    pictures: tuple[Path, ...]
    card: TrustCard | None = None


Asked = Literal["all", "maps", "trust"]
"""Maps and trust card, or one of them."""


def run_explain(run: RunFolder, *, config: ExplainConfig, asked: Asked = "all") -> ExplainResult:
    """Explain the surest right and wrong films of the test, and the unsurest right ones.

    Args:
        run: Trained and evaluated.
        config: How many films, and how finely.
        asked: What to make. Maps that are there already are marked by a new card, and a card that
            is not made is taken away: it would speak of another network.

    Raises:
        RunFolderError: The run is not evaluated, or its predictions are of another network.
        CheckpointError: The network cannot be read.
        StorageError: The folder cannot be written.
    """
    predictions = read_test_predictions(run)
    predictor = load_predictor(run.checkpoint)
    evaluation = read_evaluation(run.metrics)
    home = open_dataset(run.read_dataset_path())
    test = home.open_sealed_test(describe_opener(run, reason="explain", config=config))
    card = None
    if asked == "maps":
        remove_card(run.explain)
    else:
        card = ensure_card(
            run.explain, predictor, predictions, test, evaluation=evaluation, config=config
        )
    if asked == "trust":
        return _mark_old_maps(run.explain, card)
    attributions = mark_distrusted(
        compute_attributions(
            predictor,
            predictions,
            test,
            evaluation=evaluation,
            config=config,
            cache_folder=run.explain / CACHE_FOLDER,
        ),
        card,
    )
    write_attributions(run.explain, attributions)
    pictures = write_pictures(run.explain, attributions)
    point = evaluation.operating_point
    material = JudgedMaterial(
        predictor=predictor,
        network=CalibratedNetwork(
            predictor.model, temperature=point.temperature, shifts=point.shifts
        ),
        judged=judge(predictions, point),
        image_ids=predictions.image_ids,
        group_ids=predictions.group_ids,
        test=test,
        training=home.select("train"),
    )
    insights = compute_insights(material, attributions, config=config)
    write_insights(run.explain, insights)
    _LOGGER.info("explained %d films in %s", len(pictures), run.explain)
    return ExplainResult(path=run.explain, pictures=pictures, card=card)


def read_test_predictions(run: RunFolder) -> Predictions:
    """Read what the network said of the test films.

    Raises:
        RunFolderError: The run is not evaluated.
    """
    if not run.predictions.is_file():
        raise RunFolderError(
            f"The run '{run.path}' is not evaluated yet; call 'cxresnet evaluate {run.path}' first."
        )
    return read_predictions(run.predictions)


def _mark_old_maps(folder: Path, card: TrustCard | None) -> ExplainResult:
    """Mark maps that are there by a new card; where there are none, there is nothing to mark."""
    try:
        attributions = mark_distrusted(read_attributions(folder), card)
    except RunFolderError:
        return ExplainResult(path=folder, pictures=(), card=card)
    write_attributions(folder, attributions)
    return ExplainResult(path=folder, pictures=write_pictures(folder, attributions), card=card)
