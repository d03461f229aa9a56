"""What a list says of its splits and classes: which are missing, uneven or too small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from cxresnet.audit.claims.tables import ClaimRow, ClaimTables
from cxresnet.core.finding import Finding, Measure, Verdict
from cxresnet.metrics.estimate import compute_interval

_KNOWN_SPLITS = {"train", "val", "test"}
_MANY_UNKNOWN = 0.05
_UNEVEN = 10
_FEW = 20
_SMALL_TEST, _SMALL_TRAIN = 0.05, 0.5
_SHOWN = 5
_COMBINATIONS = "Each combination of findings counts as a class of its own."


def explain_few_splits(tables: ClaimTables) -> str:
    """Explain why nothing can be compared between splits; "" where it can."""
    if len(tables.splits) > 1:
        return ""
    unnamed = _list_tables(tables.without_split)
    if tables.splits and unnamed:
        return (
            f"The rows of {', '.join(unnamed)} name no split, and all others the same one "
            f"({tables.splits[0]}), so this cannot be tested. Say which split they are, as in "
            f"'--split test={unnamed[0]}'."
        )
    if tables.splits:
        return (
            f"Only one split is listed ({tables.splits[0]}), so this cannot be tested. Give the "
            "lists of all splits, as in 'cxresnet lint train.csv val.csv test.csv'."
        )
    return (
        "No split is named, so this cannot be tested. Give --split train=FILE --split test=FILE, "
        "or --columns split=HEADING."
    )


def describe_left_out(tables: ClaimTables) -> str:
    """Describe the rows without a split, which are not compared; "" where each has one."""
    left = tables.without_split
    if not left:
        return ""
    named = ", ".join(_list_tables(left))
    rows = "row has" if len(left) == 1 else "rows have"
    return f" {len(left):,} {rows} no split ({named}) and cannot be compared."


def _list_tables(rows: Sequence[ClaimRow]) -> list[str]:
    return sorted({row.table for row in rows})


def cannot_test(question: str, title: str, sentence: str) -> Finding:
    """Build the finding of a check that the rows do not allow."""
    return Finding(question=question, title=title, verdict="cannot be tested", sentence=sentence)


# Splits.


def check_validation_set(tables: ClaimTables) -> Finding:
    """Check whether there is a validation set, on which choices can be made."""
    sentence = (
        "There is no validation set. Epoch, thresholds and settings must have been chosen on the "
        "test set, which makes its score too high, or on a part of training that is not listed. "
        "Ask where each choice was made."
    )
    return _check_split(tables, "val", question="validation_set", missing=sentence, verdict="amber")


def check_test_set(tables: ClaimTables) -> Finding:
    """Check whether there is a test set."""
    sentence = (
        f"The splits are called {', '.join(tables.splits)}; none is a test set. A score on images "
        "that were used for training or for choices is not evidence. Ask for a test set."
    )
    return _check_split(tables, "test", question="test_set", missing=sentence, verdict="red")


def _check_split(
    tables: ClaimTables, split: str, *, question: str, missing: str, verdict: Verdict
) -> Finding:
    name = {"val": "validation", "test": "test"}[split]
    title = f"Is there a {name} set?"
    rows = [row for row in tables.rows if row.split == split]
    if not rows and len(tables.splits) < 2:
        return cannot_test(question, title, explain_few_splits(tables))
    if not rows and not _KNOWN_SPLITS.intersection(tables.splits):
        doubt = (
            f"The splits are called {', '.join(tables.splits)}, as in cross-validation. Ask on "
            "which images choices were made, and which were used for nothing but the test."
        )
        return cannot_test(question, title, doubt)
    patients = len({row.patient_id for row in rows if row.patient_id})
    return Finding(
        question=question,
        title=title,
        verdict="green" if rows else verdict,
        sentence=f"The {name} set has {len(rows):,} rows." if rows else missing,
        measures=(
            Measure(
                name=f"Rows of the {name} set",
                value=len(rows),
                n=len(tables.rows),
                note=f"{patients:,} recorded patients",
            ),
        ),
    )


def check_split_shares(tables: ClaimTables) -> Finding:
    """Check how patients, or else rows, are shared between the splits."""
    title = "How large is each split?"
    if len(tables.splits) < 2:
        return cannot_test("split_shares", title, explain_few_splits(tables))
    rows = [row for row in tables.rows if row.split]
    unit = _choose_unit(rows)
    sizes = {
        name: _count_units([row for row in rows if row.split == name], unit=unit)
        for name in tables.splits
    }
    total = sum(sizes.values())
    shares = {name: size / total for name, size in sizes.items()}
    told = ", ".join(
        f"{name} {format_share(sizes[name], total)} ({sizes[name]:,})" for name in sizes
    )
    few_test = shares.get("test", 1.0) < _SMALL_TEST
    few_train = shares.get("train", 1.0) < _SMALL_TRAIN
    advice = " The test set is small: read its intervals." if few_test else ""
    advice += " Less than half is for training: ask why." if few_train else ""
    left = len(tables.without_split)
    advice += f" {left:,} rows have no split: ask what they are for." if left else ""
    return Finding(
        question="split_shares",
        title=title,
        verdict="amber" if advice else "green",
        sentence=f"Shares by {unit}: {told}.{advice}",
        measures=tuple(
            Measure(name=f"Share of {name}, by {unit}", value=shares[name], n=total)
            for name in sizes
        ),
    )


def _choose_unit(rows: Sequence[ClaimRow]) -> str:
    """Choose patients where nearly all are recorded, else rows."""
    known = sum(bool(row.patient_id) for row in rows)
    return "patients" if known >= (1 - _MANY_UNKNOWN) * len(rows) else "rows"


def _count_units(rows: Sequence[ClaimRow], *, unit: str) -> int:
    """Count rows, or patients; an unknown patient is one of its own."""
    if unit == "rows":
        return len(rows)
    unknown = sum(not row.patient_id for row in rows)
    return unknown + len({row.patient_id for row in rows if row.patient_id})


# Classes.


def check_class_balance(tables: ClaimTables) -> Finding:
    """Check how common the classes are, and whether one is missing in training or test."""
    title = "Are the classes of similar size, and in every split?"
    counts = Counter(row.class_name for row in tables.rows if row.class_name)
    if len(counts) < 2:
        doubt = (
            "No row has a class, so this cannot be tested. Name the column with --columns "
            "class=HEADING."
            if not counts
            else "Only one class is listed, so this cannot be tested. Ask for the other classes."
        )
        return cannot_test("class_balance", title, doubt)
    (largest, most), (smallest, least) = counts.most_common()[0], counts.most_common()[-1]
    missing = _find_missing_classes(tables)
    told = (
        f"The largest of {len(counts)} classes ({largest}, {most:,} rows) is {most / least:.1f} "
        f"times the smallest ({smallest}, {least:,})."
    )
    if missing:
        told += (
            f" {missing} A class without training cannot be learned, and one without a test has no "
            "score: ask why."
        )
    elif most >= _UNEVEN * least:
        told += " Accuracy rewards the large class: ask for sensitivity and AUROC of each class."
    if len(tables.splits) < 2:
        told += " Whether each split has all of them cannot be tested."
    return Finding(
        question="class_balance",
        title=title,
        verdict="red" if missing else "amber" if most >= _UNEVEN * least else "green",
        sentence=f"{told} {_COMBINATIONS}" if tables.multi_label else told,
        measures=(
            Measure(name="Largest class to smallest", value=most / least, n=sum(counts.values())),
            *(
                Measure(name=f"Rows of {name}", value=count, n=sum(counts.values()))
                for name, count in counts.most_common(20)
            ),
        ),
    )


def _find_missing_classes(tables: ClaimTables) -> str:
    """Say which single classes are only in training or only in the test; "" if none is."""
    found = {
        split: {row.class_name for row in tables.rows if row.split == split and row.class_name}
        for split in ("train", "test")
    }
    if not all(found.values()):
        return ""
    one_sided = {
        "training": found["train"] - found["test"],
        "the test": found["test"] - found["train"],
    }
    return " ".join(
        f"Only in {where}: {list_some(names)}."
        for where, all_names in one_sided.items()
        if (names := sorted(name for name in all_names if "|" not in name))
    )


def check_test_size(tables: ClaimTables) -> Finding:
    """Check whether each class of the test has enough patients, or rows, for a score to mean much.

    Each class is given the interval (95 %, exact binomial) that even a perfect sensitivity has.
    """
    title = "Has each class enough test patients?"
    rows = [row for row in tables.rows if row.split == "test" and row.class_name]
    if not rows:
        doubt = explain_few_splits(tables) or (
            "There is no test row with a class, so this cannot be tested. Ask for the test labels."
        )
        return cannot_test("test_size", title, doubt)
    unit = _choose_unit(rows)
    sizes = _count_classes(rows, unit=unit)
    few = sorted((size, name) for name, size in sizes.items() if size < _FEW)
    smallest = min(sizes.values())
    low, _ = _bound_perfect_score(smallest)
    told = (
        f"Each of the {len(sizes)} classes has at least {smallest:,} {unit} in the test: a "
        f"perfect sensitivity would have an interval from {low:.3f} to 1."
    )
    if few:
        told = (
            f"{len(few)} of {len(sizes)} classes have fewer than {_FEW} {unit} in the test "
            f"({list_some([f'{name}: {size}' for size, name in few])}): even a perfect "
            f"sensitivity would have an interval from {low:.3f} to 1. Ask for intervals, or for "
            "more images."
        )
    return Finding(
        question="test_size",
        title=title,
        verdict="amber" if few else "green",
        sentence=f"{told} {_COMBINATIONS}" if tables.multi_label else told,
        measures=tuple(_measure_sizes(sizes, unit=unit)),
    )


def _count_classes(rows: Sequence[ClaimRow], *, unit: str) -> dict[str, int]:
    groups: dict[str, list[ClaimRow]] = {}
    for row in rows:
        groups.setdefault(row.class_name, []).append(row)
    return {name: _count_units(groups[name], unit=unit) for name in sorted(groups)}


def _measure_sizes(sizes: dict[str, int], *, unit: str) -> Iterator[Measure]:
    for name, size in sorted(sizes.items(), key=lambda one: one[1])[:20]:
        low, high = _bound_perfect_score(size)
        yield Measure(
            name=f"A perfect sensitivity for {name}",
            value=1.0,
            low=low,
            high=high,
            n=size,
            note=f"n counts {unit}",
        )


def _bound_perfect_score(size: int) -> tuple[float, float]:
    """Compute the interval of a sensitivity of 1 on so many patients (95 %, exact binomial)."""
    low, high = compute_interval(
        1.0, 0.0, groups=max(size, 1), degrees_of_freedom=1.0, scale="share", confidence=0.95
    )
    return low or 0.0, high or 1.0


def format_share(part: int, whole: int) -> str:
    """Format a share in percent; a small one is not 0.

    >>> format_share(7, 193), format_share(1, 10_000)
    ('3.6 %', 'less than 0.1 %')
    """
    share = part / whole
    return "less than 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"


def list_some(names: Sequence[str]) -> str:
    """List the first names, and count the others."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
