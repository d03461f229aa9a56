"""What a list says of its sources: can the source alone predict the class?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from cxresnet.audit.claims.splits import cannot_test, list_some
from cxresnet.audit.claims.tables import ClaimRow, ClaimTables
from cxresnet.core.finding import Finding, Measure, Verdict
from cxresnet.shortcuts.confounding import (
    check_source_confounding,
    compute_cramers_v,
    find_single_source_classes,
)

_MANY_UNKNOWN = 0.05
_RED_V = 0.8
_FEW_SOURCES, _MOST_SOURCES_A_ROW = 10, 0.5
_FEW_ROWS, _FEW_MATCHED = 20, 0.05
_MOST_CLASSES, _SHOWN = 20, 3


def check_sources(tables: ClaimTables) -> Finding:
    """Check whether the source alone predicts the class: in all rows, by pair, and in each split.

    Rows with several findings are left out: a rare combination nearly always has one source. Two
    classes hardly share a source where fewer than 5 % of the rows of the smaller one could be
    matched with a row of the other from the same source.
    """
    labelled = [row for row in tables.rows if row.class_name and "|" not in row.class_name]
    known = [row for row in labelled if row.source]
    doubt = _doubt_sources(known)
    if doubt:
        title = "Can the source alone predict the class?"
        return cannot_test("source_confounding", title, doubt)
    frame = _build_frame(known)
    found = check_source_confounding(frame)
    of_pairs, pairs = _compare_pairs(known)
    of_splits, splits = _compare_splits(frame, tables.splits)
    missing = len(labelled) - len(known)
    is_red = found.verdict == "red"
    told = [found.sentence, *(() if is_red else (*pairs, *splits))]
    if missing:
        told.append(f"{missing:,} of {len(labelled):,} rows have no source and are left out.")
    verdict: Verdict = "red" if pairs else "amber" if splits and not is_red else found.verdict
    if verdict == "green" and missing > _MANY_UNKNOWN * len(labelled):
        verdict = "cannot be tested"
    if verdict in {"amber", "red"}:
        told.append("Ask for the scores by source, and for a test on sources left out.")
    return found.model_copy(
        update={
            "verdict": verdict,
            "sentence": " ".join(told),
            "measures": (*found.measures, *of_pairs, *of_splits),
        }
    )


def _compare_pairs(rows: Sequence[ClaimRow]) -> tuple[list[Measure], list[str]]:
    """Measure how many rows of two classes could be matched by source; word the pairs with few."""
    counts = Counter((row.class_name, row.source) for row in rows)
    sizes = Counter(row.class_name for row in rows)
    sources = {row.source for row in rows}
    large = sorted(name for name, size in sizes.items() if size >= _FEW_ROWS)[:_MOST_CLASSES]
    measures, told = [], []
    for one, other in combinations(large, 2):
        matched = sum(min(counts[one, source], counts[other, source]) for source in sources)
        size = min(sizes[one], sizes[other])
        measures.append(
            Measure(
                name=f"Share of {one} and {other} that can be matched by source",
                value=matched / size,
                n=size,
                note="rows of the smaller class",
            )
        )
        if matched < _FEW_MATCHED * size:
            told.append(
                f"{one} and {other} hardly share a source ({matched:,} of {size:,} rows can be "
                "matched), so a score that separates them need not come from the disease."
            )
    return measures, told[:_SHOWN]


def _compare_splits(frame: pd.DataFrame, splits: Sequence[str]) -> tuple[list[Measure], list[str]]:
    """Measure the association in each split; word the splits that are confounded by themselves."""
    measures, told = [], []
    for split in splits:
        part = frame[frame["split"] == split]
        strength = None if part.empty else compute_cramers_v(part)
        if strength is None:
            continue
        measures.append(
            Measure(name=f"Cramér's V of source and class in {split}", value=strength, n=len(part))
        )
        alone = tuple(find_single_source_classes(part["source"], part["class_name"]))
        if alone:
            told.append(
                f"In {split} alone, {list_some(alone)} shares no source with other classes."
            )
        elif strength >= _RED_V:
            told.append(f"In {split} alone, the source almost determines the class.")
    return measures, told


def _doubt_sources(known: Sequence[ClaimRow]) -> str:
    """Say why sources and classes cannot be compared; "" where they can."""
    sources = {row.source for row in known}
    if not known:
        return (
            "No row has both a class and a source, so this cannot be tested. Public data sets "
            "often took each class from another hospital. Ask where the images of each class come "
            "from, or name the column with --columns source=HEADING."
        )
    if len({row.class_name for row in known}) < 2:
        return "Only one class has a source, so this cannot be tested. Ask for the other sources."
    if len(sources) > max(_FEW_SOURCES, _MOST_SOURCES_A_ROW * len(known)):
        return (
            f"The column of sources has {len(sources):,} values in {len(known):,} rows, so it "
            "does not say which images come from one place. Name another column with --columns "
            "source=HEADING."
        )
    return ""


def _build_frame(rows: Sequence[ClaimRow]) -> pd.DataFrame:
    """Build the table that the check of a manifest reads; an unknown patient is one of its own."""
    return pd.DataFrame(
        {
            "source": [row.source for row in rows],
            "class_name": [row.class_name for row in rows],
            "split": [row.split for row in rows],
            "group_id": [
                f"patient {row.patient_id}" if row.patient_id else f"row {at}"
                for at, row in enumerate(rows)
            ],
        }
    )
