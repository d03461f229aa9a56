"""The classes, their order, and which folder names and labels mean them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cxresnet.core.errors import ClassMapError, ConfigError

DEFAULT_CLASS_NAMES: tuple[str, ...] = ("normal", "pneumonia", "covid-19")
"""Order of every logit, table and plot, unless the data bring other classes."""

_SYNONYMS: dict[str, tuple[str, ...]] = {
    "normal": ("normal", "nofinding", "nofindings", "healthy", "negative"),
    "pneumonia": (
        "pneumonia",
        "viralpneumonia",
        "pneumoniaviral",
        "bacterialpneumonia",
        "pneumoniabacterial",
        "viral",
        "bacterial",
        "bacteria",
        "virus",
    ),
    "covid-19": ("covid", "covid19", "covid2019", "sarscov2", "coronavirus", "coviddisease"),
}


def _normalise_label(text: str) -> str:
    """Keep letters and digits, in lower case: "Viral Pneumonia" → "viralpneumonia"."""
    return re.sub(r"[^0-9a-z]+", "", text.casefold())


@dataclass(frozen=True)
class ClassMap:
    """Which label means which class.

    Attributes:
        class_names: The classes in order.
        meanings: From folded label to class name; "" means: leave these images out.
    """

    class_names: tuple[str, ...]
    meanings: Mapping[str, str] = field(repr=False)

    def find(self, label: str) -> str | None:
        """Find the class of a label or folder name; None if no class has it, "" if left out."""
        return self.meanings.get(_normalise_label(label))

    def require(self, label: str) -> str:
        """Find the class of a label, or suggest what was probably meant.

        Raises:
            ClassMapError: No class claims the label.
        """
        found = self.find(label)
        if found is None:
            raise ClassMapError(self.explain_unknown([label]))
        return found

    def explain_unknown(self, labels: Iterable[str]) -> str:
        """Say in one sentence that labels are unknown, what was probably meant, and the way out."""
        names = sorted(set(labels))
        shown = ", ".join(f"'{name}'" for name in names[:5]) + (" …" if len(names) > 5 else "")
        guess = self.suggest(names[0]) or self.class_names[0]
        return (
            f"No class claims the label or folder {shown}.{self.hint(names[0])} "
            f"Name its class, for example --classes {guess}={names[0]}, "
            f"or leave it out with --classes ignore={names[0]}."
        )

    def hint(self, label: str) -> str:
        """Say which class was probably meant, to be put behind a sentence; "" if none is near."""
        guess = self.suggest(label)
        return f" Did you mean '{guess}'?" if guess else ""

    def suggest(self, label: str) -> str | None:
        """Name the class whose spelling is nearest to a label, if any is near."""
        close = difflib.get_close_matches(
            _normalise_label(label), list(self.meanings), n=1, cutoff=0.6
        )
        return self.meanings[close[0]] or None if close else None


def parse_class_table(text: str) -> dict[str, list[str]]:
    """Read `--classes covid=Covid-19,normal=No_findings,pneumonia=viral+bacterial`.

    Args:
        text: Pairs `class=folder` with commas between; several folders with "+".
            `ignore=Folder` leaves a folder out.

    Returns:
        From class, as written, to its folder names or labels.

    Raises:
        ConfigError: A pair has no "=" or an empty side.

    >>> parse_class_table("covid=Covid-19,pneumonia=viral+bacterial")
    {'covid': ['Covid-19'], 'pneumonia': ['viral', 'bacterial']}
    """
    table: dict[str, list[str]] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, folders = pair.partition("=")
        labels = [label.strip() for label in folders.split("+") if label.strip()]
        if not equals or not name.strip() or not labels:
            raise ConfigError(
                f"--classes: '{pair}' is not of the form class=folder; "
                "write for example --classes covid=Covid-19,normal=No_findings."
            )
        table.setdefault(name.strip(), []).extend(labels)
    return table


def build_class_map(
    table: Mapping[str, Sequence[str]] | None = None,
    *,
    class_names: Sequence[str] = DEFAULT_CLASS_NAMES,
) -> ClassMap:
    """Build the map from labels to classes; the user's table comes before the built-in one.

    Args:
        table: From class to its labels, as of `parse_class_table`. A class that is a known synonym
            ("covid") means the known class; another name ("tuberculosis") adds a class.
        class_names: The classes we start from.

    Returns:
        The map; its class order is `class_names`, then added classes in the order given.

    Raises:
        ClassMapError: An added class is one slip of the pen away from a known one.
    """
    names = list(class_names)
    meanings: dict[str, str] = {}
    for name in names:
        meanings[_normalise_label(name)] = name
        meanings.update(dict.fromkeys(_SYNONYMS.get(name, ()), name))
    for given, labels in (table or {}).items():
        target = (
            ""
            if _normalise_label(given) in {"ignore", "skip"}
            else meanings.get(_normalise_label(given), given)
        )
        if target and target not in names:
            _refuse_typo(target, meanings)
            names.append(target)
            meanings[_normalise_label(target)] = target
        meanings.update({_normalise_label(label): target for label in labels})
    return ClassMap(class_names=tuple(names), meanings=meanings)


def _refuse_typo(name: str, meanings: Mapping[str, str]) -> None:
    """Refuse a new class whose name is a known one mistyped: it would train as a class of its own.

    Raises:
        ClassMapError: Says which class was probably meant.
    """
    for known, meaning in meanings.items():
        if meaning and _is_one_edit_away(_normalise_label(name), known):
            raise ClassMapError(
                f"There is no class '{name}'. Did you mean '{meaning}'? "
                "If it is a class of its own, give it a more different name."
            )


def _is_one_edit_away(given: str, known: str) -> bool:
    """Say whether one letter is wrong, missing, too many, or changed places with the next.

    >>> [_is_one_edit_away(word, "normal") for word in ("nomal", "nromal", "normals", "abnormal")]
    [True, True, True, False]
    """
    if given == known or abs(len(given) - len(known)) > 1 or len(known) < 5:
        return False
    start = next(
        (at for at, (a, b) in enumerate(zip(given, known, strict=False)) if a != b),
        min(len(given), len(known)),
    )
    a, b = given[start:], known[start:]
    swapped = len(a) > 1 and len(b) > 1 and a[:2] == b[1::-1] and a[2:] == b[2:]
    return swapped or a[1:] == b[1:] or a[1:] == b or a == b[1:]
