"""The class of a label, also where a label is a list or a row of columns of 0 and 1."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from cxresnet.core.classes import ClassMap
from cxresnet.core.errors import ConfigError
from cxresnet.core.labels import fold_label
from cxresnet.data.sources.table_file import Table

MULTI_LABEL_RULE = (
    "The labels are lists of findings. An image has the class of its findings; findings without "
    "a class are ignored. It is normal only if 'normal' is the only finding. It is left out if "
    "its findings belong to two classes, or to none."
)
"""How a list of labels becomes one class, for people."""

_NORMAL = "normal"
_LEFT_OUT_NAMES = {"ignore", "skip"}
_NO_LABELS = {"nan", "none", "n/a", "na", "null", "?"}
_ROWS_A_LABEL = 10
_SHORT_LABEL = 2
_LIST_SEPARATORS = (";", ",", "/", "+", "&")


def explain_unclaimed(class_map: ClassMap, unknown: Collection[str], labels: Iterable[str]) -> str:
    """Say that no class claims some labels.

    Where no class claims any label of the column, it is probably another column, perhaps of
    patients. Then values are quoted only if they look like labels: each stands in many rows, or is
    short, or nearly the name of a class.

    Args:
        class_map: Which label means which class.
        unknown: Labels that no class claims.
        labels: The whole column, one value a row.
    """
    counts = Counter(label for label in labels if not is_no_label(label))
    rows = sum(counts.values())
    if (
        any(class_map.find(label) is not None for label in counts)
        or rows >= _ROWS_A_LABEL * len(counts)
        or all(len(label) <= _SHORT_LABEL or class_map.suggest(label) for label in unknown)
    ):
        return class_map.explain_unknown(unknown)
    return (
        f"No class claims any of the {len(counts):,} different values in {rows:,} rows of the "
        "column of labels. They are not shown, because they may name patients. If another column "
        "holds the labels, name it with --columns class=HEADING; else say what each value means "
        "with --classes CLASS=VALUE."
    )


def is_no_label(label: str) -> bool:
    """Say whether a cell, which no class claims, is one that programs write for no label."""
    return not label or label.casefold() in _NO_LABELS


@dataclass(frozen=True)
class LabelDecision:
    """What a label comes to.

    Attributes:
        class_name: The class; "" if the image is left out.
        code: Why it is left out, one short word.
        reason: The same as a sentence.
    """

    class_name: str
    code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class LabelRule:
    """How labels become classes: the class map first, then patterns, then the parts of a list.

    Attributes:
        class_map: Which label means which class.
        patterns: From class (or "ignore") to a regular expression; the first that is found in a
            label decides, whatever its case.
        separator: What stands between the labels of a list.
    """

    class_map: ClassMap
    patterns: Mapping[str, str] = field(default_factory=dict)
    separator: str = "|"

    def decide(self, label: str, *, multi_label: bool) -> LabelDecision | None:
        """Decide on one label.

        Args:
            label: As written.
            multi_label: Whether labels of this table are lists; then a finding that no class claims
                leaves the image out instead of being an error.

        Returns:
            The decision; None if nobody claims the label.
        """
        claimed = self.class_map.find(label)
        if claimed is not None:
            return self._take(claimed, label)
        if is_no_label(label):
            return LabelDecision("", "no-label", "The row has no label.")
        for class_name, pattern in self.patterns.items():
            if re.search(pattern, label, re.IGNORECASE):
                return self._take(class_name, label)
        return self._decide_list(label) if multi_label else None

    def _take(self, class_name: str, label: str) -> LabelDecision:
        if class_name and class_name not in _LEFT_OUT_NAMES:
            return LabelDecision(self.class_map.find(class_name) or class_name)
        return LabelDecision("", "ignored", f"Images labelled '{label}' are left out.")

    def _decide_list(self, label: str) -> LabelDecision:
        """Apply `MULTI_LABEL_RULE`."""
        parts = [part.strip() for part in label.split(self.separator) if part.strip()]
        claims = [self.class_map.find(part) for part in parts]
        if "" in claims:
            return self._take("", label)
        classes = {claim for claim in claims if claim}
        if not classes:
            return LabelDecision("", "other-finding", f"No class claims '{label}'.")
        if len(classes) > 1:
            return LabelDecision("", "ambiguous", f"'{label}' means more than one class.")
        (class_name,) = classes
        if class_name == _NORMAL and None in claims:
            return LabelDecision("", "ambiguous", f"'{label}' is normal and a finding at once.")
        return LabelDecision(class_name)

    def decide_one_hot(self, cells: Mapping[str, str]) -> LabelDecision:
        """Decide on one row of a table with a column of 0 and 1 for each class.

        Args:
            cells: From heading, which a class claims, to what the row has there.
        """
        values = {heading: _ONE_HOT.get(fold_label(cell)) for heading, cell in cells.items()}
        odd = [heading for heading, value in values.items() if value is None]
        if odd:
            reason = f"{odd[0]} is '{cells[odd[0]]}', which is neither 0 nor 1."
            return LabelDecision("", "uncertain-label", reason)
        ones = [heading for heading, value in values.items() if value]
        classes = {self.class_map.find(heading) or "" for heading in ones}
        if "" in classes:
            return self._take("", " and ".join(ones))
        if len(classes) > 1:
            return LabelDecision("", "label-conflict", f"It is 1 in {' and in '.join(ones)}.")
        if not classes:
            return LabelDecision("", "no-label", f"It is 1 in none of: {', '.join(cells)}.")
        return self._take(classes.pop(), ones[0])

    def explain_list(self, label: str) -> str:
        """Say how to read an unknown label that looks like a list; "" if it does not."""
        for separator in _LIST_SEPARATORS:
            parts = label.split(separator)
            if len(parts) > 1 and any(self.class_map.find(part) is not None for part in parts):
                return (
                    f" If '{label}' is a list of labels, read it with "
                    f"--label-separator '{separator}'."
                )
        return ""


_ONE_HOT = {
    "1": True,
    "true": True,
    "yes": True,
    "0": False,
    "false": False,
    "no": False,
    "": False,
}


def list_one_hot_columns(table: Table, class_map: ClassMap) -> list[str]:
    """List the columns of 0 and 1 alone whose heading a class claims."""
    return [
        heading
        for number, heading in enumerate(table.columns)
        if class_map.find(heading)
        and {_ONE_HOT.get(fold_label(row[number])) for row in table.rows} == {True, False}
    ]


def check_patterns(patterns: Mapping[str, str]) -> None:
    """Refuse an invalid regular expression.

    Raises:
        ConfigError: Says which, and why.
    """
    for class_name, pattern in patterns.items():
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(
                f"The pattern '{pattern}' for '{class_name}' is not a regular expression: {error}."
            ) from error
