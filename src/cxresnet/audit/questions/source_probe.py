"""Question 5: do the model's features contain the source, and do its answers follow it?

Within one class every source shows the same disease, so what predicts the source there is not the
class. That the features contain it is no fault yet: hospitals differ in tone and sharpness, and a
model may see that without using it. So the answers are looked at as well, and whether the source
predicts the class at all, which is what would make it worth using.

References:
    Zech et al. 2018 (PLoS Medicine): a network for pneumonia recognised the hospital. Glocker et
    al. 2023 (eBioMedicine): features that contain a property do not show that it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.audit.context import (
    STRICT_CONFIDENCE,
    AuditContext,
    CannotBeTestedError,
    number_classes,
)
from cxresnet.audit.experiments.sources_within_class import (
    MIN_PATIENTS,
    ProbedImages,
    SourcePair,
    build_source_probes,
    compare_answers,
    compute_association,
    find_comparable_sources,
    get_ends,
)
from cxresnet.audit.question import QuestionAnswer, build_measure, register_question
from cxresnet.core.finding import Measure, Verdict
from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.metrics.classification import build_mean_statistic
from cxresnet.metrics.estimate import Estimate, format_estimate

_NAME = "source_probe"
_CHANCE = 0.5
_CONTAINED, _NOT_CONTAINED = 0.7, 0.65
_ASSOCIATED = 0.3
_MEAN = "mean of the classes"


@dataclass(frozen=True)
class SourceProbe:
    """All that was measured.

    Attributes:
        features: How well the features predict the source within a class, mean of the classes.
        strict: The same with a 99 % interval.
        by_class: The same class by class.
        pairs: Of sources within a class.
        association: Cramér's V of source and class; None with one class or source.
    """

    features: Estimate
    strict: Estimate
    by_class: dict[str, Estimate]
    pairs: tuple[SourcePair, ...]
    association: float | None

    @property
    def largest(self) -> SourcePair:
        """The pair whose answers differ most."""
        return max(self.pairs, key=lambda pair: abs((pair.estimate.value or 0) - _CHANCE))

    @property
    def verdict(self) -> Verdict:
        """As the threshold of the question says."""
        if get_ends(self.features)[1] < _NOT_CONTAINED:
            return "green"
        is_contained = get_ends(self.strict)[0] > _CONTAINED
        if is_contained and any(pair.follows for pair in self.pairs):
            return "red"
        is_alike = all(pair.is_alike for pair in self.pairs)
        if self.is_associated and is_contained:
            return "amber" if is_alike else "red"
        return "green" if is_alike else "amber"

    @property
    def is_associated(self) -> bool:
        """Whether the source predicts the class, so that it is worth using."""
        return self.association is not None and self.association >= _ASSOCIATED


@register_question(
    _NAME,
    number=5,
    title="Do the features contain the source, and do the answers follow it?",
    threshold="Within one class, among sources with at least 8 patients (the largest 6). Green "
    "where the features do not predict the source (AUROC shown to be below 0.65), or where the "
    "probability of the true class is shown to be alike in all sources (of each pair, AUROC "
    "between 0.3 and 0.7, or means less than 0.2 apart). Red where the features predict the source "
    "(99 % interval above 0.7) and either the answers of two sources differ (99 % interval over "
    "all pairs beyond 0.4 to 0.6, and means at least 0.1 apart), or source and class are "
    "associated (Cramér's V of 0.3 or more) and the answers are not shown to be alike. Else amber.",
    next_step="Add images of every class from every source; look at the scores by source in the "
    "report, and leave sources out: cxresnet evaluate RUN --leave-sources-out.",
    cost=4,
)
def answer_source_probe(context: AuditContext) -> QuestionAnswer:
    """Predict the source from the features within each class, and compare answers by source."""
    labels, sources, groups = _read_columns(context)
    comparable = find_comparable_sources(labels, sources, groups)
    if not comparable:
        raise CannotBeTestedError(_explain_why_not(sources))
    features, own_probability = _compute_answers(context, labels)
    images = ProbedImages(labels, sources, groups, own_probability, features)
    probe = _measure(context, images, comparable)
    patients = context.dataset.manifest["group_id"].nunique()
    return QuestionAnswer(probe.verdict, _describe(probe), tuple(_list_measures(probe, patients)))


# Which images, and which sources.


def _read_columns(
    context: AuditContext,
) -> tuple[NDArray[np.int64], NDArray[np.str_], NDArray[np.str_]]:
    """Read class, source and group of the test images, then the validation images."""
    sets = [context.test, *_select_validation(context)]
    table = pd.concat([one.manifest for one in sets], ignore_index=True)
    return (
        np.concatenate([one.labels for one in sets]),
        table["source"].to_numpy(dtype=str),
        table["group_id"].to_numpy(dtype=str),
    )


def _select_validation(context: AuditContext) -> list[ImageSet]:
    """Select the validation images, which no weight was learnt from; none in an external set."""
    if "val" not in set(context.dataset.manifest["split"]):
        return []
    return [number_classes(context.dataset.select("val"), context.class_names)]


def _compute_answers(
    context: AuditContext, labels: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Compute features, (images, channel), and the probability of the true class, (images,)."""
    features = context.model.compute_features(context.test.images)
    if features is None:
        raise CannotBeTestedError(
            "The model gives no features: an adapter with a method 'features' would allow the test."
        )
    rows, answers = [features], [context.probabilities]
    for validation in _select_validation(context):
        more = context.model.compute_features(validation.images)
        rows += [] if more is None else [more]
        answers.append(context.model.predict(validation.images))
    probabilities = np.concatenate(answers)
    return np.concatenate(rows), probabilities[np.arange(len(labels)), labels]


def _explain_why_not(sources: NDArray[np.str_]) -> str:
    names = sorted(set(sources.tolist()))
    if len(names) == 1:
        return (
            f"All images come from one source ('{names[0]}'), so the features cannot be compared "
            "between sources. Audit on a dataset with images of several sources."
        )
    return (
        f"No class has images of {MIN_PATIENTS} patients from each of two sources. Where every "
        "class comes from a source of its own, nothing can distinguish the disease from the source."
    )


def _measure(
    context: AuditContext, images: ProbedImages, comparable: Mapping[int, tuple[str, ...]]
) -> SourceProbe:
    """Measure how well the features predict the source, and how far the answers follow it."""
    probes = list(build_source_probes(context, images, comparable))
    mean = build_mean_statistic(_MEAN, probes)
    found = context.estimate([*probes, mean], groups=images.groups, purpose=_NAME)
    strict = context.estimate(
        [mean], groups=images.groups, purpose=_NAME, confidence=STRICT_CONFIDENCE
    )
    return SourceProbe(
        features=found.pop(_MEAN),
        strict=strict[_MEAN],
        by_class={str(name): one for name, one in found.items()},
        pairs=tuple(compare_answers(context, images, comparable)),
        association=compute_association(context.dataset.manifest),
    )


# What is said of it.


def _describe(probe: SourceProbe) -> str:
    pair = probe.largest
    area = format_estimate(probe.features, digits=2, with_count=True)
    between = format_estimate(pair.estimate, digits=2, with_count=True)
    return (
        f"Within one class, the features predict the source of held-out patients with AUROC {area}"
        f"; 0.5 is chance. The probability of the true class differs most in {pair.class_name}, "
        f"where it is {pair.means[0]:.2f} on average in {pair.sources[0]} and {pair.means[1]:.2f} "
        f"in {pair.sources[1]}: AUROC between the two {between}. {_conclude(probe)}"
    )


def _conclude(probe: SourceProbe) -> str:
    associated = f"source and class are associated (Cramér's V {probe.association or 0:.2f})"
    is_alike = all(pair.is_alike for pair in probe.pairs)
    if get_ends(probe.features)[1] < _NOT_CONTAINED:
        found = "The features hardly contain the source."
    elif probe.verdict == "green":
        found = "The features may contain the source, but the answers do not follow it."
    elif probe.verdict == "red" and any(pair.follows for pair in probe.pairs):
        found = "The features contain the source, and the answers follow it."
    elif probe.verdict == "red":
        found = (
            f"The features contain the source, and {associated}: the model can use the one for the "
            "other."
        )
    elif probe.is_associated and is_alike:
        found = (
            f"Within a class the answers do not follow the source, but {associated}: scores over "
            "all sources may rest on it."
        )
    elif any(pair.differs for pair in probe.pairs):
        found = "The answers differ between sources, but not by enough to be sure that it matters."
    else:
        found = "Whether the answers follow the source is not clear from so few images."
    return found


def _list_measures(probe: SourceProbe, patients: int) -> Iterator[Measure]:
    yield build_measure(
        "AUROC of the source from the features within a class", probe.features, note="chance: 0.5"
    )
    for class_name, one in probe.by_class.items():
        yield build_measure(f"The same within {class_name}", one)
    pair = probe.largest
    yield build_measure(
        f"AUROC of the probability of {pair.class_name}, {pair.sources[0]} above {pair.sources[1]}",
        pair.estimate,
        note=f"the largest difference of {len(probe.pairs)} pairs of sources, and corrected for it",
    )
    yield Measure(
        name="Cramér's V of source and class, less what chance gives",
        value=probe.association,
        n=patients,
        note="0: independent, 1: one determines the other; n counts patients of the whole dataset",
    )
