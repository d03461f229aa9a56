"""Shortcut baselines: predictions without the lungs, which a model must clearly exceed.

They are trained on the training images and predict the evaluated images, as the model does. All but
the first weigh the classes equally, which balanced accuracy rewards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.core.progress import track
from cxresnet.core.seeding import build_generator, derive_seed
from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.shortcuts.estimators import (
    BASELINE_FOREST,
    build_logistic_regression,
    build_random_forest,
    fit_and_predict,
)
from cxresnet.shortcuts.features import (
    Features,
    compute_border_features,
    compute_file_features,
    compute_record_features,
    compute_thumbnail_features,
    count_by_source,
    is_constant,
    list_file_kinds,
    list_views,
)

_MAX_TRAINING_IMAGES = 5000

Probabilities = NDArray[np.float64]
"""(images, classes)."""


@dataclass(frozen=True)
class BaselineImages:
    """What a baseline is given of images.

    Attributes:
        facts: Rows of the manifest.
        labels: (images,).
        thumbnails: (images, 256), 0 to 255.
        borders: The outermost ring of the image, (images, pixels), 0 to 255.
    """

    facts: pd.DataFrame
    labels: NDArray[np.int64]
    thumbnails: Features
    borders: Features


@dataclass(frozen=True)
class BaselineRule:
    """One baseline.

    Attributes:
        name: Short and stable.
        title: For people.
        inputs: What it is given, one sentence.
        predict: From training images, images, number of classes and a seed to the probabilities of
            the images, (images, classes); or, as text, why the baseline cannot be computed.
    """

    name: str
    title: str
    inputs: str
    predict: Callable[[BaselineImages, BaselineImages, int, int], Probabilities | str]


@dataclass(frozen=True)
class BaselinePredictions:
    """What a baseline predicts for the images.

    Attributes:
        rule: Which baseline.
        probabilities: (images, classes); None where it could not be computed.
        reason: Why not; else "".
    """

    rule: BaselineRule
    probabilities: Probabilities | None
    reason: str = ""


def predict_baselines(
    training: ImageSet, evaluated: Sequence[ImageSet], *, class_count: int, seed: int
) -> tuple[BaselinePredictions, ...]:
    """Train every baseline on the training images and predict the evaluated images.

    Args:
        training: At most 5,000 of them are used.
        evaluated: Predicted in this order.
        class_count: Of the training images' classes.
        seed: Of every random draw.
    """
    train_images = _gather([training], most=_MAX_TRAINING_IMAGES, seed=seed)
    test_images = _gather(evaluated)
    predictions = []
    for rule in track(BASELINES, "Baselines"):
        found = rule.predict(
            train_images, test_images, class_count, derive_seed(seed, "baseline", rule.name)
        )
        predictions.append(
            BaselinePredictions(rule, None, found)
            if isinstance(found, str)
            else BaselinePredictions(rule, found)
        )
    return tuple(predictions)


def _predict_majority(
    train_images: BaselineImages, test_images: BaselineImages, class_count: int, _seed: int
) -> Probabilities | str:
    shares = np.bincount(train_images.labels, minlength=class_count) / len(train_images.labels)
    return np.tile(shares, (len(test_images.labels), 1))


def _predict_from_source(
    train_images: BaselineImages, test_images: BaselineImages, class_count: int, _seed: int
) -> Probabilities | str:
    """Predict the class for which the image's source is the most typical."""
    if train_images.facts["source"].nunique() < 2:
        return "All training images come from one source."
    counts = count_by_source(train_images.facts["source"], pd.Series(train_images.labels))
    counts = counts.reindex(columns=range(class_count), fill_value=0)
    typical = counts / counts.sum(axis=0).clip(lower=1)
    table = typical.reindex(test_images.facts["source"]).fillna(0.0).to_numpy(dtype=np.float64)
    total = table.sum(axis=1, keepdims=True)
    return np.where(total > 0, table / np.maximum(total, 1e-12), 1 / class_count)


def _predict_from_record(
    train_images: BaselineImages, test_images: BaselineImages, class_count: int, seed: int
) -> Probabilities | str:
    views = list_views(train_images.facts)
    train_features, test_features = (
        compute_record_features(images.facts, views=views) for images in (train_images, test_images)
    )
    if is_constant(train_features):
        return "View, sex and age are unknown, or alike, for all training images."
    forest = build_random_forest(BASELINE_FOREST, seed=seed)
    return fit_and_predict(
        forest, train_features, train_images.labels, test_features, class_count=class_count
    )


def _predict_from_file(
    train_images: BaselineImages, test_images: BaselineImages, class_count: int, seed: int
) -> Probabilities | str:
    kinds = list_file_kinds(train_images.facts)
    train_features, test_features = (
        compute_file_features(images.facts, kinds=kinds) for images in (train_images, test_images)
    )
    if is_constant(train_features):
        return "The files of all training images are alike."
    forest = build_random_forest(BASELINE_FOREST, seed=seed)
    return fit_and_predict(
        forest, train_features, train_images.labels, test_features, class_count=class_count
    )


def _predict_from_thumbnail(
    train_images: BaselineImages, test_images: BaselineImages, class_count: int, seed: int
) -> Probabilities | str:
    return fit_and_predict(
        build_logistic_regression(seed=seed),
        train_images.thumbnails,
        train_images.labels,
        test_images.thumbnails,
        class_count=class_count,
    )


def _predict_from_border(
    train_images: BaselineImages, test_images: BaselineImages, class_count: int, seed: int
) -> Probabilities | str:
    return fit_and_predict(
        build_logistic_regression(seed=seed),
        train_images.borders,
        train_images.labels,
        test_images.borders,
        class_count=class_count,
    )


BASELINES: tuple[BaselineRule, ...] = (
    BaselineRule("majority", "Most frequent class", "Nothing at all.", _predict_majority),
    BaselineRule("source", "Source alone", "Where the image comes from.", _predict_from_source),
    BaselineRule(
        "record",
        "Record alone",
        "View, sex and age, as recorded, and which of them are not (random forest).",
        _predict_from_record,
    ),
    BaselineRule(
        "file",
        "File alone",
        "Width, height, bytes, format and grey mode of the file as it came (random forest).",
        _predict_from_file,
    ),
    BaselineRule(
        "border",
        "Border alone",
        "The outermost tenth of the prepared image on each side, without the chest within "
        "(logistic regression).",
        _predict_from_border,
    ),
    BaselineRule(
        "thumbnail",
        "Thumbnail of 16 × 16 pixels",
        "The prepared image, reduced until no lesion can be seen (logistic regression).",
        _predict_from_thumbnail,
    ),
)
"""From the one that is given least to the one that is given most."""


def _gather(
    image_sets: Sequence[ImageSet], *, most: int | None = None, seed: int = 0
) -> BaselineImages:
    """Gather what baselines are given; at most `most` images, drawn at random."""
    facts = pd.concat([image_set.manifest for image_set in image_sets], ignore_index=True)
    labels = np.concatenate([image_set.labels for image_set in image_sets])
    places = [(image_set, row) for image_set in image_sets for row in range(len(image_set))]
    rows = np.arange(len(labels))
    if most is not None and len(rows) > most:
        rows = np.sort(build_generator(seed, "baseline films").choice(rows, most, replace=False))
    images = [np.asarray(places[row][0].images[places[row][1]]) for row in rows]
    return BaselineImages(
        facts=facts.iloc[rows].reset_index(drop=True),
        labels=labels[rows],
        thumbnails=compute_thumbnail_features(images),
        borders=compute_border_features(images),
    )
