"""What a list of images says about a claim, before any image is seen: eleven checks of its rows.

Patients or images in several splits, duplicate rows, two labels for one image, classes that the
source predicts, a missing validation or test set, classes too small to test. A check that the rows
do not allow is "cannot be tested", never green. Patients and files are named by their rows alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from cxresnet.audit.claims.image_names import (
    find_copy_names,
    fold_path,
    is_bare_number,
    is_short_number,
)
from cxresnet.audit.claims.sources import check_sources
from cxresnet.audit.claims.splits import (
    cannot_test,
    check_class_balance,
    check_split_shares,
    check_test_set,
    check_test_size,
    check_validation_set,
    describe_left_out,
    explain_few_splits,
    format_share,
)
from cxresnet.audit.claims.tables import ClaimRow, ClaimTables, read_claims
from cxresnet.core.finding import Finding, Measure, Verdict
from cxresnet.data.sources.table import TableOptions

_EXAMPLES = 3
_MANY_UNKNOWN = 0.05
_LOOK_AT_IMAGES = (
    "Copies under other names are only found in the images themselves: 'cxresnet prepare' does."
)

_Groups = Mapping[Hashable, Sequence[ClaimRow]]


def check_claims(
    paths: Sequence[Path],
    *,
    splits: Sequence[tuple[str, Path]] = (),
    options: TableOptions | None = None,
) -> tuple[Finding, ...]:
    """Read split lists or label tables, and check what they say; see `read_claims`.

    Raises:
        SourceError: A file cannot be read or has neither images nor patients.
        ConfigError: A column of `options` is unknown, or there is no file at all.
    """
    return check_rows(read_claims(paths, splits=splits, options=options))


def check_rows(tables: ClaimTables) -> tuple[Finding, ...]:
    """Make every check of the rows, always in the same order."""
    return tuple(check(tables) for check in _CHECKS)


def check_patients_recorded(tables: ClaimTables) -> Finding:
    """Check whether each row names a patient."""
    rows = tables.rows
    known = sum(bool(row.patient_id) for row in rows)
    patients = len({row.patient_id for row in rows if row.patient_id})
    missing = len(rows) - known
    verdict: Verdict = "amber" if missing else "green"
    sentence = f"All {len(rows):,} rows name their patient; there are {patients:,} patients."
    if missing:
        share = format_share(missing, len(rows))
        sentence = (
            f"{missing:,} of {len(rows):,} rows ({share}) name no patient; "
            "two images of one of these people may lie in two splits. Ask for the patient ids."
        )
    if not known:
        verdict = "cannot be tested"
        sentence = (
            "No row names a patient, so it cannot be tested whether images of one patient lie in "
            "two splits. Ask for the patient ids, or name their column with --columns "
            "patient=HEADING."
        )
    return Finding(
        question="patients_recorded",
        title="Is the patient of each image recorded?",
        verdict=verdict,
        sentence=sentence,
        measures=(
            Measure(name="Patients", value=patients, n=len(rows)),
            Measure(name="Rows without a patient", value=missing, n=len(rows)),
        ),
    )


# In more than one split.


def check_patient_overlap(tables: ClaimTables) -> Finding:
    """Check whether a patient has images in more than one split."""
    title = "Is each patient in one split only?"
    rows = [row for row in tables.rows if row.split]
    known = [row for row in rows if row.patient_id]
    doubt = explain_few_splits(tables) or (
        ""
        if known
        else "No row with a split names a patient, so this cannot be tested. Ask for the ids."
    )
    if doubt:
        return cannot_test("patient_overlap", title, doubt)
    groups = _group(known, lambda row: row.patient_id)
    crossing = _find_crossing(groups)
    certain = [found for found in crossing if _shares_source(found)]
    unknown = len(rows) - len(known)
    sentence = (
        f"None of the {len(groups):,} patients is in more than one split. "
        "Ids are compared as they are written."
    )
    verdict: Verdict = "green"
    if unknown > _MANY_UNKNOWN * len(rows):
        verdict = "cannot be tested"
        sentence = (
            f"None of the {len(groups):,} recorded patients is in more than one split, but "
            f"{unknown:,} of {len(rows):,} rows name no patient and cannot be tested. Ask for "
            "their ids."
        )
    if left_out := describe_left_out(tables):
        verdict = "amber" if verdict == "green" else verdict
        sentence += left_out
    if crossing:
        verdict = "red" if certain else "amber"
        sentence = _word_patients(crossing, certain, patients=len(groups))
    return Finding(
        question="patient_overlap",
        title=title,
        verdict=verdict,
        sentence=sentence,
        measures=(
            Measure(name="Patients in more than one split", value=len(crossing), n=len(known)),
            *_measure_overlap(known, crossing),
        ),
    )


def _shares_source(rows: Sequence[ClaimRow]) -> bool:
    """Tell whether rows of two splits have one source, or do not say: then the id is one person."""
    pairs = {(row.split, row.source) for row in rows}
    return any(
        one[0] != other[0] and (one[1] == other[1] or not one[1] or not other[1])
        for one, other in combinations(pairs, 2)
    )


def _word_patients(
    crossing: Sequence[Sequence[ClaimRow]],
    certain: Sequence[Sequence[ClaimRow]],
    *,
    patients: int,
) -> str:
    count = len(crossing)
    share = format_share(count, patients)
    told = (
        f"{count:,} of {patients:,} patients ({share}) {_have(count)} images in "
        f"more than one split ({_count_pairs(crossing)}), for example in {_name_rows(crossing)}."
    )
    if not certain:
        return (
            f"{told} Their sources differ in each split, so one id may stand for two people. Ask "
            "whether the ids are numbered anew in each source."
        )
    return (
        f"{told} The model is tested on people it was trained on, and scores are too high: put "
        "all images of a patient into one split and test again."
    )


def check_image_overlap(tables: ClaimTables) -> Finding:
    """Check whether an image is in more than one split, by its path and by names of copies."""
    title = "Is each image in one split only?"
    rows = [row for row in tables.rows if row.split and row.image]
    doubt = explain_few_splits(tables) or (
        ""
        if rows
        else "No row with a split names an image, so this cannot be tested. Ask for the file names."
    )
    if doubt:
        return cannot_test("image_overlap", title, doubt)
    crossing = _find_crossing(_group(rows, lambda row: fold_path(row.image)))
    same = [found for found in crossing if not is_bare_number(found[0].image)]
    alike = [*_find_alike(rows), *(found for found in crossing if is_bare_number(found[0].image))]
    left_out = describe_left_out(tables)
    verdict: Verdict = "red" if same else "amber" if alike or left_out else "green"
    return Finding(
        question="image_overlap",
        title=title,
        verdict=verdict,
        sentence=_word_images(same, alike) + left_out,
        measures=(
            Measure(name="Images in more than one split", value=len(same), n=len(rows)),
            Measure(
                name="Names in more than one split that may mean copies",
                value=len(alike),
                n=len(rows),
                note="equal but for the folder, the ending, or '(1)' and '- Copy'; or bare numbers",
            ),
            *_measure_overlap(rows, same),
        ),
    )


def _find_alike(rows: Sequence[ClaimRow]) -> list[Sequence[ClaimRow]]:
    """Find images in several splits whose paths differ, but whose names may mean copies."""
    paths = [fold_path(row.image) for row in rows]
    names = dict(zip(paths, find_copy_names(paths), strict=True))
    groups = _group(rows, lambda row: names[fold_path(row.image)])
    return [
        found
        for found in _find_crossing(groups)
        if len({fold_path(row.image) for row in found}) > 1 and not is_short_number(found[0].image)
    ]


def _word_images(same: Sequence[Sequence[ClaimRow]], alike: Sequence[Sequence[ClaimRow]]) -> str:
    told = []
    if same:
        told.append(
            f"{len(same):,} {_plural(len(same), 'image')} {_stand(len(same))} in more than one "
            f"split ({_count_pairs(same)}), for example in {_name_rows(same)}. Remove them from "
            "all splits but one and test again."
        )
    if alike:
        told.append(
            f"{len(alike):,} {_plural(len(alike), 'name')} in more than one split may mean copies "
            "(equal but for the folder, the ending or a sign of a copy, or bare numbers), for "
            f"example in {_name_rows(alike)}. Compare the files."
        )
    if not told:
        told.append(f"No name stands in more than one split. {_LOOK_AT_IMAGES}")
    return " ".join(told)


# Twice in the list.


def check_duplicate_rows(tables: ClaimTables) -> Finding:
    """Check whether an image stands in several rows of one split."""
    title = "Does each image stand in one row only?"
    rows = [row for row in tables.rows if row.image]
    if not rows:
        return cannot_test("duplicate_rows", title, "No image is named. Ask for the file names.")
    groups = _group(rows, lambda row: (row.split, fold_path(row.image)))
    doubled = [found for found in groups.values() if len(found) > 1]
    extra = sum(len(found) - 1 for found in doubled)
    where = " of its split" if tables.splits else ""
    sentence = f"Each of the {len(rows):,} rows names another image{where}."
    if doubled:
        sentence = (
            f"{len(doubled):,} {_plural(len(doubled), 'image')} {_stand(len(doubled))} in several "
            f"rows{where} ({extra:,} rows too many), for example in {_name_rows(doubled)}. "
            "They count several times in every score: remove the repeated rows."
        )
    return Finding(
        question="duplicate_rows",
        title=title,
        verdict="amber" if doubled else "green",
        sentence=sentence,
        measures=(Measure(name="Repeated rows", value=extra, n=len(rows)),),
    )


def check_label_conflicts(tables: ClaimTables) -> Finding:
    """Check whether an image has different classes in different rows."""
    title = "Does each image have one class?"
    rows = [row for row in tables.rows if row.image and row.class_name]
    if not rows:
        doubt = "No row has both an image and a class, so this cannot be tested."
        return cannot_test("label_conflicts", title, doubt)
    groups = _group(rows, lambda row: fold_path(row.image))
    torn = [found for found in groups.values() if len({row.class_name for row in found}) > 1]
    sentence = f"None of the {len(groups):,} images has two classes."
    if torn:
        sentence = (
            f"{len(torn):,} {_plural(len(torn), 'image')} {_have(len(torn))} different classes in "
            f"different rows, for example in {_name_rows(torn)}. At most one is right: look at the "
            "images, or leave them out."
        )
    return Finding(
        question="label_conflicts",
        title=title,
        verdict="red" if torn else "green",
        sentence=sentence,
        measures=(Measure(name="Images with two classes", value=len(torn), n=len(rows)),),
    )


# Words and counts that the checks share.


def _group(rows: Iterable[ClaimRow], find_key: Callable[[ClaimRow], Hashable]) -> _Groups:
    groups: dict[Hashable, list[ClaimRow]] = defaultdict(list)
    for row in rows:
        groups[find_key(row)].append(row)
    return groups


def _find_crossing(groups: _Groups) -> list[Sequence[ClaimRow]]:
    return [found for found in groups.values() if len({row.split for row in found}) > 1]


def _measure_overlap(
    rows: Sequence[ClaimRow], crossing: Sequence[Sequence[ClaimRow]]
) -> Iterable[Measure]:
    """Measure which share of the test rows has its patient or image in another split."""
    test = sum(row.split == "test" for row in rows)
    if test:
        shared = sum(row.split == "test" for found in crossing for row in found)
        yield Measure(
            name="Share of the test rows that another split shares",
            value=shared / test,
            n=test,
            note=f"{shared:,} rows",
        )


def _count_pairs(crossing: Sequence[Sequence[ClaimRow]]) -> str:
    """Count how many cross which two splits: "train and test: 5, train and val: 2"."""
    order = {"train": 0, "val": 1, "test": 2}
    pairs = Counter(
        pair
        for found in crossing
        for pair in combinations(
            sorted({row.split for row in found}, key=lambda name: (order.get(name, 3), name)), 2
        )
    )
    return ", ".join(f"{one} and {other}: {count:,}" for (one, other), count in pairs.items())


def _name_rows(groups: Sequence[Sequence[ClaimRow]]) -> str:
    """Name the first rows of the first groups: "row 3 of train.csv and row 9 of test.csv"."""
    return "; ".join(_name_pair(found) for found in groups[:_EXAMPLES])


def _name_pair(rows: Sequence[ClaimRow]) -> str:
    first = rows[0]
    other = next((row for row in rows if row.split != first.split), rows[1])
    if first.table == other.table:
        return f"rows {first.number} and {other.number} of {first.table}"
    return f"row {first.number} of {first.table} and row {other.number} of {other.table}"


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _stand(count: int) -> str:
    return "stands" if count == 1 else "stand"


_CHECKS: tuple[Callable[[ClaimTables], Finding], ...] = (
    check_patients_recorded,
    check_patient_overlap,
    check_image_overlap,
    check_duplicate_rows,
    check_label_conflicts,
    check_sources,
    check_validation_set,
    check_test_set,
    check_class_balance,
    check_test_size,
    check_split_shares,
)
