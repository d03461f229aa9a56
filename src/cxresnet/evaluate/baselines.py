"""Rules that cannot know a disease from a lung. A network must be clearly better than all of them.

They learn from the training films and are asked about the test films, as the network is. All but
the first weigh the classes equally, which is what balanced accuracy rewards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxresnet.core.progress import track
from cxresnet.core.seeding import build_generator, derive_seed
from cxresnet.data.dataset import FilmSet
from cxresnet.data.record_features import describe_record, list_views

__all__ = ["BASELINES", "BaselineAnswer", "BaselineRule", "ask_baselines"]

_THUMBNAIL_SIDE_PX = 16
_BORDER_OF_SIDE_PX = 30
_BORDER_PX = 3
_MOST_TRAINING_FILMS = 5000
_SIZES = ("file_width", "file_height", "file_bytes")
_KINDS = ("file_format", "file_mode")

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Films:
    """What baselines may see of films.

    Attributes:
        facts: Rows of the manifest.
        labels: (films,).
        thumbnails: (films, 256), 0 to 255.
        borders: The outermost ring of the film, (films, pixels), 0 to 255.
    """

    facts: pd.DataFrame
    labels: NDArray[np.int64]
    thumbnails: _Array
    borders: _Array


@dataclass(frozen=True)
class BaselineRule:
    """One rule.

    Attributes:
        name: Short and stable.
        title: For people.
        sees: What it is given, one sentence.
        ask: From training films, films, number of classes and a seed to the probabilities of the
            films, (films, classes); or, as text, why the rule cannot be tried.
    """

    name: str
    title: str
    sees: str
    ask: Callable[[_Films, _Films, int, int], _Array | str]


@dataclass(frozen=True)
class BaselineAnswer:
    """What a rule said about the films.

    Attributes:
        rule: Which.
        probabilities: (films, classes); None where it could not be tried.
        reason: Why not; else "".
    """

    rule: BaselineRule
    probabilities: _Array | None
    reason: str = ""


def ask_baselines(
    training: FilmSet, judged: Sequence[FilmSet], *, class_count: int, seed: int
) -> tuple[BaselineAnswer, ...]:
    """Train every rule on the training films and ask it about the films that are judged.

    Args:
        training: At most 5,000 of them are used.
        judged: Asked about in this order.
        class_count: Of the training films' classes.
        seed: Of everything that is drawn.
    """
    learnt = _gather([training], most=_MOST_TRAINING_FILMS, seed=seed)
    asked = _gather(judged)
    answers = []
    for rule in track(BASELINES, "Baselines"):
        found = rule.ask(learnt, asked, class_count, derive_seed(seed, "baseline", rule.name))
        refused = isinstance(found, str)
        answers.append(
            BaselineAnswer(
                rule=rule,
                probabilities=None if isinstance(found, str) else found,
                reason=str(found) if refused else "",
            )
        )
    return tuple(answers)


def _ask_majority(learnt: _Films, asked: _Films, class_count: int, _seed: int) -> _Array | str:
    shares = np.bincount(learnt.labels, minlength=class_count) / len(learnt.labels)
    return np.tile(shares, (len(asked.labels), 1))


def _ask_source(learnt: _Films, asked: _Films, class_count: int, _seed: int) -> _Array | str:
    """Say the class for which the film's source is the most typical."""
    if learnt.facts["source"].nunique() < 2:
        return "All training films come from one source."
    counts = pd.crosstab(learnt.facts["source"], pd.Series(learnt.labels))
    counts = counts.reindex(columns=range(class_count), fill_value=0)
    typical = counts / counts.sum(axis=0).clip(lower=1)
    table = typical.reindex(asked.facts["source"]).fillna(0.0).to_numpy(dtype=np.float64)
    total = table.sum(axis=1, keepdims=True)
    return np.where(total > 0, table / np.maximum(total, 1e-12), 1 / class_count)


def _ask_record(learnt: _Films, asked: _Films, class_count: int, seed: int) -> _Array | str:
    views = list_views(learnt.facts)
    inputs, questions = (describe_record(films.facts, views=views) for films in (learnt, asked))
    if (inputs == inputs[:1]).all():
        return "View, sex and age are unknown, or alike, for all training films."
    return _grow(learnt, inputs, questions, class_count, seed)


def _ask_file(learnt: _Films, asked: _Films, class_count: int, seed: int) -> _Array | str:
    kinds = sorted(
        {(column, value) for column in _KINDS for value in learnt.facts[column].unique()}
    )
    inputs, questions = (_describe_files(films.facts, kinds) for films in (learnt, asked))
    if (inputs == inputs[:1]).all():
        return "The files of all training films are alike."
    return _grow(learnt, inputs, questions, class_count, seed)


def _ask_thumbnail(learnt: _Films, asked: _Films, class_count: int, seed: int) -> _Array | str:
    return _regress(learnt, learnt.thumbnails, asked.thumbnails, class_count, seed)


def _ask_border(learnt: _Films, asked: _Films, class_count: int, seed: int) -> _Array | str:
    return _regress(learnt, learnt.borders, asked.borders, class_count, seed)


def _grow(learnt: _Films, inputs: _Array, asked: _Array, class_count: int, seed: int) -> _Array:
    forest = RandomForestClassifier(
        n_estimators=300, min_samples_leaf=2, class_weight="balanced", random_state=seed
    )
    forest.fit(inputs, learnt.labels)
    return _predict(forest, asked, class_count)


def _regress(learnt: _Films, inputs: _Array, asked: _Array, class_count: int, seed: int) -> _Array:
    regression = make_pipeline(
        StandardScaler(),
        LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000, random_state=seed),
    )
    regression.fit(inputs, learnt.labels)
    return _predict(regression, asked, class_count)


BASELINES: tuple[BaselineRule, ...] = (
    BaselineRule("majority", "Most frequent class", "Nothing at all.", _ask_majority),
    BaselineRule("source", "Source alone", "Where the film comes from.", _ask_source),
    BaselineRule(
        "record",
        "Record alone",
        "View, sex and age, as recorded, and which of them are not (random forest).",
        _ask_record,
    ),
    BaselineRule(
        "file",
        "File alone",
        "Width, height, bytes, format and grey mode of the file as it came (random forest).",
        _ask_file,
    ),
    BaselineRule(
        "border",
        "Border alone",
        "The outermost tenth of the prepared film on each side, without the chest within "
        "(logistic regression).",
        _ask_border,
    ),
    BaselineRule(
        "thumbnail",
        "Thumbnail of 16 × 16 pixels",
        "The prepared film, reduced until no lesion can be seen (logistic regression).",
        _ask_thumbnail,
    ),
)
"""From the one that knows least to the one that knows most."""


def _predict(model: ClassifierMixin, inputs: _Array, class_count: int) -> _Array:
    """Ask a fitted classifier; a class that it never saw gets probability 0."""
    probabilities = np.zeros((len(inputs), class_count))
    if len(inputs):
        probabilities[:, model.classes_] = model.predict_proba(inputs)
    return probabilities


def _describe_files(facts: pd.DataFrame, kinds: Sequence[tuple[str, str]]) -> _Array:
    """Describe files in numbers, (films, features); kinds never seen in training are all 0."""
    sizes = facts[list(_SIZES)].to_numpy(dtype=np.float64)
    pixels = np.maximum(sizes[:, 0] * sizes[:, 1], 1)
    ratios = np.stack([sizes[:, 0] / np.maximum(sizes[:, 1], 1), sizes[:, 2] / pixels], axis=1)
    flags = [(facts[column] == value).to_numpy(dtype=np.float64) for column, value in kinds]
    return np.concatenate([sizes, ratios, np.stack(flags, axis=1)], axis=1)


def _gather(film_sets: Sequence[FilmSet], *, most: int | None = None, seed: int = 0) -> _Films:
    """Gather what baselines may see; at most `most` films, drawn at random."""
    facts = pd.concat([film_set.manifest for film_set in film_sets], ignore_index=True)
    labels = np.concatenate([film_set.labels for film_set in film_sets])
    places = [(film_set, row) for film_set in film_sets for row in range(len(film_set))]
    rows = np.arange(len(labels))
    if most is not None and len(rows) > most:
        rows = np.sort(build_generator(seed, "baseline films").choice(rows, most, replace=False))
    films = [np.asarray(places[row][0].films[places[row][1]]) for row in rows]
    thumbnails = [_reduce(film, _THUMBNAIL_SIDE_PX).ravel() for film in films]
    ring = np.ones((_BORDER_OF_SIDE_PX, _BORDER_OF_SIDE_PX), dtype=bool)
    ring[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX] = False
    borders = [_reduce(film, _BORDER_OF_SIDE_PX)[ring] for film in films]
    return _Films(
        facts=facts.iloc[rows].reset_index(drop=True),
        labels=labels[rows],
        thumbnails=np.array(thumbnails).reshape(len(rows), _THUMBNAIL_SIDE_PX**2),
        borders=np.array(borders).reshape(len(rows), int(ring.sum())),
    )


def _reduce(film: NDArray[np.uint8], side_px: int) -> _Array:
    small = Image.fromarray(film).resize((side_px, side_px), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64)
