"""Question 9: which labels do networks contradict that never saw the image?

Small networks are cross-validated on the training and validation images; the test images get the
mean of all of them. Where a network is as sure of another class as it usually is of images that
have that label, it contradicts the label ("confident learning").

References:
    Northcutt, Jiang and Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset Labels,
    Journal of Artificial Intelligence Research 70.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxresnet.audit.context import AuditContext, CannotBeTestedError
from cxresnet.audit.experiments.small_network import (
    join_reduced,
    measure_preprocessing,
    predict_small,
    take_rows,
    train_small_network,
)
from cxresnet.audit.model import Probabilities
from cxresnet.audit.pictures import Tile, draw_tiles
from cxresnet.audit.question import QuestionAnswer, build_measure, register_question
from cxresnet.core.errors import SplitError
from cxresnet.core.finding import Measure, Verdict
from cxresnet.core.seeding import derive_seed
from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.data.manifest import write_safe_csv
from cxresnet.data.split.split import assign_groups
from cxresnet.metrics.classification import (
    HEADLINE_SCORES,
    ClassifiedImages,
    build_headline_statistics,
    build_share,
)
from cxresnet.metrics.estimate import Estimate, format_estimate
from cxresnet.metrics.statistic import Key, Statistic, build_mean
from cxresnet.predict.predictions import average_predictions, read_predictions

LABEL_NOISE_NAME = "label_noise.csv"
"""Name of the table in the folder of an audit."""

_SHARE_LIMIT = 0.05
_SHOWN_BELOW = 0.1
_GOOD_ENOUGH = 0.85
"""AUROC that the networks must be shown to have: what weaker ones contradict are their errors."""
_GALLERY = 12
_TILES_A_ROW = 4
_MOST_PAIRS = 6


@dataclass(frozen=True, eq=False)
class Contradictions:
    """What networks say against labels, one entry an image.

    Attributes:
        suggested: The class that they are sure of; the label where they are sure of none.
        margin: Probability of the label minus the largest of another class, -1 to 1.
    """

    suggested: NDArray[np.int64]
    margin: NDArray[np.float64]

    def rank(self, labels: NDArray[np.int64]) -> NDArray[np.intp]:
        """Rank the contradicted images, the lowest margin first."""
        rows = np.flatnonzero(self.suggested != labels)
        return rows[np.argsort(self.margin[rows], kind="stable")]


def find_contradictions(
    probabilities: Probabilities,
    labels: NDArray[np.int64],
    *,
    thresholds: NDArray[np.float64],
) -> Contradictions:
    """Find where networks are as sure of another class as they usually are of that class.

    Args:
        probabilities: By networks that did not learn from the image, (images, classes).
        labels: (images,).
        thresholds: Of `compute_thresholds`, (classes,).
    """
    is_sure = probabilities >= thresholds
    suggested = np.where(is_sure, probabilities, -1.0).argmax(axis=1)
    suggested = np.where(is_sure.any(axis=1), suggested, labels)
    every = np.arange(len(labels))
    others = probabilities.copy()
    others[every, labels] = -np.inf
    margin = probabilities[every, labels] - others.max(axis=1)
    return Contradictions(suggested.astype(np.int64), margin)


def compute_thresholds(
    probabilities: Probabilities, labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Compute for each class the mean probability of it over the images with that label.

    Returns:
        (classes,); above 1, which no probability reaches, for a class without images.

    >>> table = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    >>> compute_thresholds(table, np.array([0, 0, 1])).tolist()
    [0.8, 0.8]
    """
    return np.array(
        [
            probabilities[labels == label, label].mean() if (labels == label).any() else 2.0
            for label in range(probabilities.shape[1])
        ]
    )


@register_question(
    "label_noise",
    number=9,
    title="Which labels do networks contradict that never saw the image?",
    threshold=f"Amber where the 95 % interval of the share of contradicted labels lies above "
    f"{100 * _SHARE_LIMIT:.0f} %, or reaches {100 * _SHOWN_BELOW:.0f} %; else green. Never red: "
    "whether a label is wrong, a reader decides.",
    next_step=f"Let a reader look at the images of {LABEL_NOISE_NAME} without showing the labels; "
    "correct what is wrong in the source, prepare and train again.",
    cost=120,
)
def answer_label_noise(context: AuditContext) -> QuestionAnswer:
    """Cross-validate, and list the images whose labels are contradicted."""
    table = _find_own_cross_validation(context) or _cross_validate(context)
    statistics = _build_statistics(table, class_names=context.class_names)
    estimates = context.estimate(
        statistics, groups=np.array(table.list_column("group_id"), dtype=str), purpose="labels"
    )
    auroc = estimates["auroc"]
    if auroc.low is None or auroc.low <= _GOOD_ENOUGH:
        raise CannotBeTestedError(
            f"The cross-validated networks are too weak (AUROC {format_estimate(auroc, digits=2)}; "
            f"the interval must lie above {_GOOD_ENOUGH}): most of the labels that they contradict "
            "would be their own errors. Train them longer: --set audit.small_epochs=60."
        )
    ranked = table.found.rank(table.labels)
    _write_table(context, table, ranked)
    return QuestionAnswer(
        grade_share(estimates["contradicted"]),
        _describe(table, estimates, class_names=context.class_names),
        _list_measures(estimates, class_names=context.class_names),
        (_draw_gallery(context, table, ranked),) if len(ranked) else (),
    )


def grade_share(share: Estimate) -> Verdict:
    """Grade the share of contradicted labels; see the question's threshold."""
    if share.low is None or share.high is None:
        return "amber"
    return "amber" if share.low > _SHARE_LIMIT or share.high >= _SHOWN_BELOW else "green"


# Predictions by networks that did not learn from the image.


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """Images with the probabilities of networks that did not learn from them.

    Attributes:
        sets: The images, one set after the other.
        probabilities: (images, classes).
        found: What the networks say against the labels.
        networks: For people.
    """

    sets: tuple[ImageSet, ...]
    probabilities: Probabilities
    found: Contradictions
    networks: str

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Of all images, (images,)."""
        return np.concatenate([one.labels for one in self.sets])

    def list_column(self, name: str) -> list[object]:
        """List a column of the manifests of all images."""
        return [value for one in self.sets for value in one.manifest[name].tolist()]

    def get_image(self, row: int) -> NDArray[np.uint8]:
        """Get an image as it is, (side, side)."""
        for one in self.sets:
            if row < len(one):
                return np.asarray(one.images[row])
            row -= len(one)
        raise IndexError(row)


def _build_held_out(
    sets: tuple[ImageSet, ...], learned: Probabilities, test: Probabilities, *, networks: str
) -> _HeldOut:
    """Compare probabilities with the labels.

    Args:
        sets: The images of the cross-validation, then the test images.
        learned: Probabilities of the former, which give the thresholds.
        test: Of the latter.
        networks: For people.
    """
    labels = np.concatenate([one.labels for one in sets])
    probabilities = np.concatenate([learned, test])
    thresholds = compute_thresholds(learned, labels[: len(learned)])
    found = find_contradictions(probabilities, labels, thresholds=thresholds)
    return _HeldOut(sets, probabilities, found, networks)


def _find_own_cross_validation(context: AuditContext) -> _HeldOut | None:
    """Find the predictions of the run's own cross-validation; the test images are the network's."""
    if context.run is None or not (context.run.train / "cross_validation.json").is_file():
        return None
    paths = sorted(context.run.train.glob("predictions_seed-*.csv"))
    if not paths:
        return None
    predictions = average_predictions([read_predictions(path) for path in paths])
    row_of = {name: row for row, name in enumerate(predictions.image_ids)}
    sets = (context.training, context.validation, context.test)
    names = [name for one in sets[:2] for name in one.manifest["image_id"]]
    if predictions.class_names != context.class_names or not set(names) <= set(row_of):
        return None
    return _build_held_out(
        sets,
        predictions.probabilities[[row_of[name] for name in names]],
        context.probabilities,
        networks="The networks of the run's own cross-validation, and its final network on the "
        "test images,",
    )


def _cross_validate(context: AuditContext) -> _HeldOut:
    """Train a small network for each part held out; the test images get the mean of all."""
    sets = (context.training, context.validation, context.test)
    side = min(context.config.small_side_px, context.training.images.shape[1])
    learned, test = join_reduced(sets[:2], side), join_reduced(sets[2:], side)
    parts = _assign_parts(context, learned)
    probabilities = np.zeros((len(learned), len(context.class_names)))
    of_test = np.zeros((len(test), len(context.class_names)))
    for part in range(context.config.label_folds):
        held_out = np.flatnonzero(parts == part)
        others = take_rows(learned, np.flatnonzero(parts != part))
        network = train_small_network(
            context,
            f"without-part-{part + 1}",
            others,
            preprocessing=measure_preprocessing(context, others.images),
            purpose=f"label_noise {part}",
        )
        probabilities[held_out] = predict_small(network, learned.images[held_out])
        of_test += predict_small(network, test.images) / context.config.label_folds
    return _build_held_out(
        sets,
        probabilities,
        of_test,
        networks="Small networks, each asked about images that it did not learn from,",
    )


def _assign_parts(context: AuditContext, learned: ImageSet) -> NDArray[np.int64]:
    """Assign images to parts, patients kept together and every class in each, (images,).

    Raises:
        CannotBeTestedError: A class has too few patients.
    """
    count = context.config.label_folds
    rows = learned.manifest
    try:
        return assign_groups(
            rows["group_id"].to_numpy(dtype=np.int64),
            rows["class_name"].tolist(),
            rows["source"].tolist(),
            shares=[1 / count] * count,
            generator_seed=derive_seed(context.config.seed, "audit", "label_noise"),
        )
    except SplitError as error:
        raise CannotBeTestedError(
            f"A class has fewer patients than the {count} parts of the cross-validation. Add "
            "images, or take fewer parts: --set audit.label_folds=2."
        ) from error


# The numbers.


def _build_statistics(table: _HeldOut, *, class_names: tuple[str, ...]) -> list[Statistic]:
    """Build the share of contradicted labels, over all and by pair of classes, and the AUROC."""
    labels, suggested = table.labels, table.found.suggested
    classified = ClassifiedImages(
        class_names=class_names,
        truth=labels,
        predicted=table.probabilities.argmax(axis=1),
        probabilities=table.probabilities,
    )
    shown = [label for label in range(len(class_names)) if 0 < (labels == label).mean() < 1]
    headline = build_headline_statistics(classified, classes=shown)
    auroc = headline[HEADLINE_SCORES.index("macro_auroc")]
    pairs = [
        build_share(
            ("pair", label, other),
            part=suggested == other,
            whole=labels == label,
            undefined=f"No image is labelled {class_names[label]}.",
        )
        for label, other in _list_pairs(table)
    ]
    return [
        build_mean("contradicted", (suggested != labels).astype(np.float64)),
        Statistic(
            name="auroc", compute=auroc.compute, parts=auroc.parts, undefined=auroc.undefined
        ),
        *pairs,
    ]


def _list_pairs(table: _HeldOut) -> list[tuple[int, int]]:
    """List pairs of label and suggested class, the most frequent first."""
    labels, suggested = table.labels, table.found.suggested
    against = labels != suggested
    pairs, counts = np.unique(
        np.stack([labels[against], suggested[against]], axis=1), axis=0, return_counts=True
    )
    order = np.argsort(-counts, kind="stable")[:_MOST_PAIRS]
    return [(int(pairs[row, 0]), int(pairs[row, 1])) for row in order]


# What is said, written and shown.


def _describe(
    table: _HeldOut, estimates: dict[Key, Estimate], *, class_names: tuple[str, ...]
) -> str:
    share = estimates["contradicted"]
    labels, suggested = table.labels, table.found.suggested
    count = int((labels != suggested).sum())
    span = (
        ""
        if share.low is None or share.high is None
        else f", {100 * share.low:.1f} to {100 * share.high:.1f} %"
    )
    often = ""
    for label, other in _list_pairs(table)[:1]:
        cases = int(((labels == label) & (suggested == other)).sum())
        seen = f"{class_names[label]} where they see {class_names[other]}"
        often = f", most often {seen} ({cases} images)"
    listed = (
        f" {LABEL_NOISE_NAME} lists these images, the most contradicted first." if count else ""
    )
    return (
        f"{table.networks} contradict the label of {count} of {len(labels)} images "
        f"({100 * (share.value or 0):.1f} %{span}){often}. That is a reason to look at these "
        f"images again, no proof: the networks err, too.{listed}"
    )


def _list_measures(
    estimates: dict[Key, Estimate], *, class_names: tuple[str, ...]
) -> tuple[Measure, ...]:
    pairs = [
        build_measure(
            f"Labelled {class_names[int(name[1])]}, contradicted in favour of "
            f"{class_names[int(name[2])]}",
            estimate,
            note="share of the images with that label",
        )
        for name, estimate in estimates.items()
        if name[0] == "pair"
    ]
    return (
        build_measure("Share of contradicted labels", estimates["contradicted"]),
        build_measure(
            "AUROC of the networks",
            estimates["auroc"],
            note="on images that they did not learn from; mean over the classes",
        ),
        *pairs,
    )


def _write_table(context: AuditContext, table: _HeldOut, ranked: NDArray[np.intp]) -> None:
    """Write the contradicted images, the most contradicted first."""
    names, image_ids = context.class_names, table.list_column("image_id")
    rows = (
        (
            image_ids[row],
            names[table.labels[row]],
            names[table.found.suggested[row]],
            round(float(table.probabilities[row, table.found.suggested[row]]), 4),
        )
        for row in ranked.tolist()
    )
    write_safe_csv(
        context.folder / LABEL_NOISE_NAME, ("image_id", "label", "suggested", "probability"), rows
    )


def _draw_gallery(
    context: AuditContext, table: _HeldOut, ranked: NDArray[np.intp]
) -> tuple[str, str, Image.Image]:
    """Draw the most contradicted images with label and suggested class."""
    tiles = []
    for place, row in enumerate(ranked[:_GALLERY].tolist(), start=1):
        label, suggested = int(table.labels[row]), int(table.found.suggested[row])
        tiles.append(
            Tile(
                table.get_image(row),
                f"{place}. labelled {context.class_names[label]}; networks see "
                f"{context.class_names[suggested]} ({table.probabilities[row, suggested]:.2f})",
            )
        )
    caption = (
        f"The {len(tiles)} images whose label is contradicted most, in the order of "
        f"{LABEL_NOISE_NAME}: the label, and the class that the networks see, with its probability."
    )
    rows = [tiles[first : first + _TILES_A_ROW] for first in range(0, len(tiles), _TILES_A_ROW)]
    return "label_noise-gallery.png", caption, draw_tiles(rows)
