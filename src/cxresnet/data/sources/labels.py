"""From the label in a table to a class, also where a label is a list: "Pneumonia|Effusion"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from cxresnet.core.classes import ClassMap
from cxresnet.core.errors import ConfigError

__all__ = ["SEVERAL_RULE", "LabelDecision", "LabelRule", "check_patterns"]

SEVERAL_RULE = (
    "Labels are lists here. A film has the class that one of its findings means; findings that no "
    "class claims may go along. It is normal only if 'normal' is all that is said. It is left out "
    "if its findings mean two classes, or none."
)
"""How a list of labels becomes one class, for people."""

_NORMAL = "normal"
_LEFT_OUT_NAMES = {"ignore", "skip"}


@dataclass(frozen=True)
class LabelDecision:
    """What a label comes to.

    Attributes:
        class_name: The class; "" if the film is left out.
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

    def decide(self, label: str, *, several: bool) -> LabelDecision | None:
        """Decide on one label.

        Args:
            label: As written.
            several: Whether labels of this table are lists; then a finding that no class claims
                leaves the film out instead of being an error.

        Returns:
            The decision; None if nobody claims the label.
        """
        if not label or label.casefold() in {"nan", "none", "n/a", "na", "null", "?"}:
            return LabelDecision("", "no-label", "The row has no label.")
        claimed = self.class_map.find(label)
        if claimed is not None:
            return self._take(claimed, label)
        for class_name, pattern in self.patterns.items():
            if re.search(pattern, label, re.IGNORECASE):
                return self._take(class_name, label)
        return self._decide_list(label) if several else None

    def _take(self, class_name: str, label: str) -> LabelDecision:
        if class_name and class_name not in _LEFT_OUT_NAMES:
            return LabelDecision(self.class_map.find(class_name) or class_name)
        return LabelDecision("", "ignored", f"Films labelled '{label}' are left out.")

    def _decide_list(self, label: str) -> LabelDecision:
        """Apply `SEVERAL_RULE`."""
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


def check_patterns(patterns: Mapping[str, str]) -> None:
    """Refuse what is no regular expression.

    Raises:
        ConfigError: Says which, and why.
    """
    for class_name, pattern in patterns.items():
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(
                f"The pattern '{pattern}' for '{class_name}' is no regular expression: {error}."
            ) from error
