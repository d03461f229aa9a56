"""From a run to its trust card: films chosen, masks found, tests run, or an old card kept."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config import ExplainConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import write_text
from cxresnet.core.seeding import build_generator
from cxresnet.data.dataset import FilmSet
from cxresnet.evaluate.operating_point import judge
from cxresnet.evaluate.record import Evaluation
from cxresnet.explain.calibrated import CalibratedNetwork
from cxresnet.explain.film_lungs import choose_lungs
from cxresnet.explain.maps import list_versions
from cxresnet.explain.methods import build_methods
from cxresnet.explain.trust.card import CardContext, measure_card
from cxresnet.explain.trust.films import TrustFilms, choose_trust_films
from cxresnet.explain.trust.knowledge import measure_knowledge
from cxresnet.explain.trust.markdown import MARKDOWN_NAME, render_markdown
from cxresnet.explain.trust.marks import hash_network
from cxresnet.explain.trust.record import Knowledge, TrustCard, read_trust_card, write_trust_card
from cxresnet.metrics.classification import Judged
from cxresnet.predict import Predictions, Predictor

__all__ = ["ensure_card", "measure_run"]

_LOGGER = logging.getLogger(__name__)

_TESTS_VERSION = 2
"""Goes up when a test or threshold changes, so that old cards are made again."""

_MOST_KNOWLEDGE_FILMS = 200


def ensure_card(
    folder: Path,
    predictor: Predictor,
    predictions: Predictions,
    test: FilmSet,
    *,
    evaluation: Evaluation,
    config: ExplainConfig,
) -> TrustCard:
    """Keep the card that lies in the folder if it is of the same content; otherwise make it.

    Args:
        folder: Gets `trust_card.json` and `trust_card.md`.
        predictor: Of the network that made the predictions.
        predictions: Of the test films, in their order.
        test: The test films.
        evaluation: How the predictions were judged.
        config: Which methods, how many films.

    Raises:
        RunFolderError: Predictions and films do not belong together.
        StorageError: The folder cannot be written.
    """
    content = _compute_content(predictor, predictions, evaluation=evaluation, config=config)
    try:
        card = read_trust_card(folder)
    except RunFolderError:
        card = None
    if card is not None and card.content == content:
        _LOGGER.info("the trust card in %s is of the same content; kept", folder)
        return card
    card = measure_run(
        predictor, predictions, test, evaluation=evaluation, config=config, content=content
    )
    write_trust_card(folder, card)
    write_text(folder / MARKDOWN_NAME, render_markdown(card))
    return card


def measure_run(
    predictor: Predictor,
    predictions: Predictions,
    test: FilmSet,
    *,
    evaluation: Evaluation,
    config: ExplainConfig,
    content: str = "",
) -> TrustCard:
    """Measure the card of a run; see `ensure_card`."""
    if tuple(map(str, test.manifest["image_id"])) != predictions.image_ids:
        raise RunFolderError(
            "The predictions are not of the test films of this dataset, which has changed; "
            "evaluate again."
        )
    judged = judge(predictions, evaluation.operating_point)
    rows = choose_trust_films(
        judged, group_ids=predictions.group_ids, count=config.trust_films, seed=config.seed
    )
    if not rows:
        raise RunFolderError("No film of the test has a known class; there is nothing to test.")
    point = evaluation.operating_point
    network = CalibratedNetwork(predictor.model, temperature=point.temperature, shifts=point.shifts)
    trust, found = _gather_films(predictor, test, judged, rows=rows)
    context = CardContext(
        class_names=predictions.class_names,
        knowledge=_measure_knowledge(network, predictor, predictions, test, seed=config.seed),
        masks_found=found,
        seed=config.seed,
        content=content,
        network=hash_network(predictor),
        data_verdict=evaluation.data_verdict,
    )
    methods = build_methods(config.methods, config, side_px=test.films.shape[-1])
    return measure_card(network, methods, trust, context=context)


def _measure_knowledge(
    network: CalibratedNetwork,
    predictor: Predictor,
    predictions: Predictions,
    test: FilmSet,
    *,
    seed: int,
) -> Knowledge:
    """Ask about films of known class; at most so many that it takes seconds."""
    rows = np.flatnonzero(predictions.truth >= 0)
    if len(rows) > _MOST_KNOWLEDGE_FILMS:
        random = build_generator(seed, "trust knowledge films")
        rows = np.sort(random.choice(rows, _MOST_KNOWLEDGE_FILMS, replace=False))
    return measure_knowledge(
        network,
        predictor.to_tensor(np.stack([test.films[row] for row in rows])),
        truth=predictions.truth[rows],
        groups=np.array(predictions.group_ids)[rows],
        class_names=predictions.class_names,
        seed=seed,
    )


def _gather_films(
    predictor: Predictor, test: FilmSet, judged: Judged, *, rows: tuple[int, ...]
) -> tuple[TrustFilms, int]:
    """Gather the films with their masks; returns also how many lung masks had to be found."""
    films = np.stack([test.films[row] for row in rows])
    lungs = [choose_lungs(film, test.lung_mask(row)) for film, row in zip(films, rows, strict=True)]
    sd = predictor.preprocessing.sd or 1.0
    trust = TrustFilms(
        films=films,
        images=predictor.to_tensor(films),
        targets=tuple(int(judged.predicted[row]) for row in rows),
        truth=tuple(int(judged.truth[row]) for row in rows),
        lung_masks=np.stack([one.mask for one in lungs]),
        lesion_masks=np.stack([_or_empty(test.lesion_mask(row), films[0]) for row in rows]),
        grey_level=1 / (255 * sd),
    )
    return trust, sum(one.source == "lung finder" for one in lungs)


def _or_empty(mask: NDArray[np.uint8] | None, film: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.zeros_like(film) if mask is None else mask


def _compute_content(
    predictor: Predictor,
    predictions: Predictions,
    *,
    evaluation: Evaluation,
    config: ExplainConfig,
) -> str:
    """Compute the hash over everything that the card depends on."""
    digest = hashlib.sha256(hash_network(predictor).encode())
    digest.update(np.ascontiguousarray(predictions.logits).tobytes())
    words = {
        "tests": _TESTS_VERSION,
        "dataset": evaluation.provenance.dataset_hash,
        "point": evaluation.operating_point.model_dump(mode="json"),
        "films": predictions.image_ids,
        "config": config.model_dump(mode="json"),
        "versions": list_versions(),
    }
    digest.update(json.dumps(words, sort_keys=True).encode())
    return digest.hexdigest()
