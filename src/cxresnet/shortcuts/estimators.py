"""The two classifiers that learn from shortcut features: a random forest, a logistic regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxresnet.shortcuts.features import Features

_REGULARISATION = 0.1
_MAX_ITERATIONS = 1000


@dataclass(frozen=True, kw_only=True)
class ForestSettings:
    """Hyperparameters of a random forest.

    Attributes:
        trees: Number of trees.
        min_samples_leaf: Fewest training images in a leaf.
        class_weight: "balanced" weighs the classes equally; None weighs the images equally.
    """

    trees: int
    min_samples_leaf: int
    class_weight: Literal["balanced"] | None


PROBE_FOREST = ForestSettings(trees=100, min_samples_leaf=5, class_weight=None)
"""For probes: larger leaves give steadier probabilities, which AUROC ranks."""

BASELINE_FOREST = ForestSettings(trees=300, min_samples_leaf=2, class_weight="balanced")
"""For baselines: balanced, since a model is compared by balanced accuracy."""


def build_random_forest(settings: ForestSettings, *, seed: int) -> RandomForestClassifier:
    """Build an untrained random forest."""
    return RandomForestClassifier(
        n_estimators=settings.trees,
        min_samples_leaf=settings.min_samples_leaf,
        class_weight=settings.class_weight,
        random_state=seed,
    )


def build_logistic_regression(*, seed: int) -> ClassifierMixin:
    """Build an untrained logistic regression of standardised features with balanced classes."""
    return make_pipeline(
        StandardScaler(),
        LogisticRegression(
            C=_REGULARISATION,
            class_weight="balanced",
            max_iter=_MAX_ITERATIONS,
            random_state=seed,
        ),
    )


def fit_and_predict(
    classifier: ClassifierMixin,
    train_features: Features,
    labels: NDArray[np.integer],
    test_features: Features,
    *,
    class_count: int,
) -> NDArray[np.float64]:
    """Fit a classifier on training images and predict the probabilities of other images.

    Args:
        classifier: Untrained.
        train_features: (training images, features).
        labels: (training images,), class indices.
        test_features: (images, features).
        class_count: Number of classes.

    Returns:
        (images, classes); a class without a training image gets probability 0.
    """
    classifier.fit(train_features, labels)
    probabilities = np.zeros((len(test_features), class_count))
    if len(test_features):
        probabilities[:, classifier.classes_] = classifier.predict_proba(test_features)
    return probabilities
