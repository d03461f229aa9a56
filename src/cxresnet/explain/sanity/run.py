"""The sanity checks of a run: choose images, run the checks, or keep an existing card."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import write_text
from cxresnet.core.seeding import build_generator
from cxresnet.explain.context import ExplainContext, list_versions
from cxresnet.explain.lungs import choose_lungs
from cxresnet.explain.sanity.above_chance import measure_above_chance
from cxresnet.explain.sanity.card import CardContext, measure_card, render_markdown
from cxresnet.explain.sanity.check import SanityImages
from cxresnet.explain.sanity.record import (
    CARD_NAME,
    AboveChance,
    SanityCard,
    read_sanity_card,
    write_sanity_card,
)
from cxresnet.metrics.classification import ClassifiedImages
from cxresnet.predict import Predictor

_LOGGER = logging.getLogger(__name__)

_MARKDOWN_NAME = "sanity_card.md"

_TESTS_VERSION = 4
"""Increased when a test or threshold changes, so that existing cards are computed again."""

_MAX_ABOVE_CHANCE_IMAGES = 200


def ensure_card(context: ExplainContext, folder: Path) -> SanityCard:
    """Keep the card in a folder if it has the same content; otherwise compute it.

    Args:
        context: Network, predictions and images.
        folder: Gets `sanity_card.json` and `sanity_card.md`.

    Raises:
        RunFolderError: Predictions and images do not belong together.
        StorageError: The folder cannot be written.
    """
    content = _compute_content(context)
    try:
        card = read_sanity_card(folder)
    except RunFolderError:
        card = None
    if card is not None and card.content == content:
        _LOGGER.info("the sanity card in %s is up to date", folder)
        return card
    card = measure_run(context, content=content)
    # The record last: where it is, both are.
    write_text(folder / _MARKDOWN_NAME, render_markdown(card))
    write_sanity_card(folder, card)
    return card


def measure_run(context: ExplainContext, *, content: str = "") -> SanityCard:
    """Compute the card of a run; see `ensure_card`."""
    predictions, config = context.predictions, context.config
    if tuple(map(str, context.test.manifest["image_id"])) != predictions.image_ids:
        raise RunFolderError(
            "The predictions are not of the test images of this dataset, which has changed; "
            "evaluate again."
        )
    rows = choose_sanity_images(
        context.evaluated,
        group_ids=predictions.group_ids,
        count=config.sanity_check_images,
        seed=config.seed,
    )
    if not rows:
        raise RunFolderError(
            "No image of the test set has a known class, so there is nothing to test."
        )
    sample, masks_found = _gather_images(context, rows)
    return measure_card(
        context.network,
        context.build_methods(),
        sample,
        context=CardContext(
            class_names=predictions.class_names,
            above_chance=_measure_above_chance(context),
            masks_found=masks_found,
            seed=config.seed,
            content=content,
            network=hash_network(context.predictor),
            data_verdict=context.evaluation.data_verdict,
        ),
    )


def _measure_above_chance(context: ExplainContext) -> AboveChance:
    """Use images of known class, at most so many that it takes seconds."""
    predictions, seed = context.predictions, context.config.seed
    rows = np.flatnonzero(predictions.truth >= 0)
    if len(rows) > _MAX_ABOVE_CHANCE_IMAGES:
        random = build_generator(seed, "trust knowledge films")
        rows = np.sort(random.choice(rows, _MAX_ABOVE_CHANCE_IMAGES, replace=False))
    return measure_above_chance(
        context.network,
        context.predictor.to_tensor(np.stack([context.test.images[row] for row in rows])),
        truth=predictions.truth[rows],
        groups=np.array(predictions.group_ids)[rows],
        class_names=predictions.class_names,
        seed=seed,
    )


def choose_sanity_images(
    evaluated: ClassifiedImages, *, group_ids: tuple[str, ...], count: int, seed: int
) -> tuple[int, ...]:
    """Choose a random sample, balanced over the true classes as far as possible, one per group.

    Args:
        evaluated: The images; those without a known class (truth -1) are skipped.
        group_ids: One per image.
        count: The largest number of images.
        seed: Of the random choice.

    Returns:
        Rows, in ascending order.
    """
    order = build_generator(seed, "trust films").permutation(len(evaluated.truth)).tolist()
    waiting = [
        [row for row in order if evaluated.truth[row] == label]
        for label in range(len(evaluated.class_names))
    ]
    chosen: list[int] = []
    taken: set[str] = set()
    while any(waiting) and len(chosen) < count:
        for rows in waiting:
            row = _take_next(rows, group_ids, taken)
            if row is not None and len(chosen) < count:
                chosen.append(row)
                taken.add(group_ids[row])
    return tuple(sorted(chosen))


def _take_next(rows: list[int], group_ids: tuple[str, ...], taken: set[str]) -> int | None:
    while rows:
        row = rows.pop(0)
        if group_ids[row] not in taken:
            return row
    return None


def _gather_images(context: ExplainContext, rows: tuple[int, ...]) -> tuple[SanityImages, int]:
    """Gather the images with their masks; returns also how many lung masks had to be found."""
    test, evaluated, predictor = context.test, context.evaluated, context.predictor
    images = np.stack([test.images[row] for row in rows])
    lungs = [
        choose_lungs(image, test.lung_mask(row)) for image, row in zip(images, rows, strict=True)
    ]
    sd = predictor.preprocessing.sd or 1.0
    sample = SanityImages(
        pixels=images,
        images=predictor.to_tensor(images),
        targets=tuple(int(evaluated.predicted[row]) for row in rows),
        truth=tuple(int(evaluated.truth[row]) for row in rows),
        lung_masks=np.stack([one.mask for one in lungs]),
        lesion_masks=np.stack([_or_empty(test.lesion_mask(row), images[0]) for row in rows]),
        grey_level=1 / (255 * sd),
    )
    return sample, sum(one.source == "lung finder" for one in lungs)


def _or_empty(mask: NDArray[np.uint8] | None, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.zeros_like(image) if mask is None else mask


def _compute_content(context: ExplainContext) -> str:
    """Compute the hash over everything that the card depends on."""
    digest = hashlib.sha256(hash_network(context.predictor).encode())
    digest.update(np.ascontiguousarray(context.predictions.logits).tobytes())
    settings = {
        "tests": _TESTS_VERSION,
        "dataset": context.evaluation.provenance.dataset_hash,
        "point": context.evaluation.operating_point.model_dump(mode="json"),
        "images": context.predictions.image_ids,
        "config": context.config.model_dump(mode="json"),
        "versions": list_versions(),
    }
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()


def hash_network(predictor: Predictor) -> str:
    """Compute the SHA-256 over the weights of a network."""
    digest = hashlib.sha256()
    for name, tensor in sorted(predictor.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
    return digest.hexdigest()


def find_card(folder: Path, predictor: Predictor) -> SanityCard | None:
    """Find the card in a folder if it is of this very network."""
    try:
        card = read_sanity_card(folder)
    except RunFolderError:
        return None
    return card if card.network == hash_network(predictor) else None


def remove_card(folder: Path) -> None:
    """Remove an existing card: maps that are made without one may be of another network."""
    for name in (CARD_NAME, _MARKDOWN_NAME):
        (folder / name).unlink(missing_ok=True)
