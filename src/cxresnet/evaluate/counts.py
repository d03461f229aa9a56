"""Films counted: by true and decided class, and by class and source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from cxresnet.evaluate.results import SourceCount
from cxresnet.metrics.classification import Judged, compute_confusion
from cxresnet.metrics.estimate import Estimate
from cxresnet.predict.predictions import Predictions

__all__ = ["collect_confusion_rates", "count_confusion", "count_sources"]


def count_confusion(judged: Judged) -> tuple[tuple[int, ...], ...]:
    """Count films by true class (row) and decided class (column)."""
    count = len(judged.class_names)
    confusion = compute_confusion(judged.truth, judged.predicted, class_count=count)
    return tuple(tuple(row) for row in confusion.tolist())


def collect_confusion_rates(
    estimates: Mapping[str, Estimate], count: int
) -> tuple[tuple[Estimate, ...], ...]:
    """Collect the share of each cell in its row, as of `build_confusion_statistics`."""
    return tuple(
        tuple(estimates[f"confusion/{true}/{called}"] for called in range(count))
        for true in range(count)
    )


def count_sources(films: Predictions) -> tuple[SourceCount, ...]:
    """Count films and patients by class and source, in that order."""
    films_of = Counter(zip(films.truth.tolist(), films.sources, strict=True))
    patients_of = Counter(
        (label, source)
        for label, source, _ in set(
            zip(films.truth.tolist(), films.sources, films.group_ids, strict=True)
        )
    )
    return tuple(
        SourceCount(
            class_name=films.class_names[label],
            source=source,
            films=films_of[label, source],
            patients=patients_of[label, source],
        )
        for label, source in sorted(films_of)
    )
