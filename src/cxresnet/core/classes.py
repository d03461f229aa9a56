"""The classes, their order, and which folder names and labels mean them."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cxresnet.core.errors import ClassMapError, ConfigError
from cxresnet.core.labels import fold_label, is_negated
from cxresnet.core.printable import make_printable

DEFAULT_CLASS_NAMES: tuple[str, ...] = ("normal", "pneumonia", "covid-19")
"""Order of every logit, table and plot, unless the data bring other classes."""

_SYNONYMS: dict[str, tuple[str, ...]] = {
    "normal": ("normal", "nofinding", "nofindings", "healthy"),
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
    "covid-19": (
        "covid",
        "covid19",
        "covid2019",
        "covid+",
        "covid19+",
        "sarscov2",
        "coronavirus",
        "coviddisease",
    ),
}
_LEFT_OUT_NAMES = {"ignore", "skip"}
_TYPO_CUTOFF = 0.6
_PLACEHOLDER = re.compile(r"CLASS(-\d+)?")


@dataclass(frozen=True)
class ClassMap:
    """Which label means which class.

    Attributes:
        class_names: The classes in order.
        meanings: From folded label to class name; "" means: leave these images out.
        named: Classes that the user named a label for.
    """

    class_names: tuple[str, ...]
    meanings: Mapping[str, str] = field(repr=False)
    named: frozenset[str] = frozenset()

    def find(self, label: str) -> str | None:
        """Find the class of a label or folder name; None if no class has it, "" if left out."""
        return self.meanings.get(fold_label(label))

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
        guess = self.suggest(names[0])
        choices = "" if guess else f" (CLASS is {', '.join(self.class_names)} or a new name)"
        return (
            f"No class claims the label or folder {shown}.{self.hint(names[0])} Name its class, "
            f"for example --classes {format_class_pair(guess or 'CLASS', names[0])}{choices}, "
            f"or leave it out with --classes {format_class_pair('ignore', names[0])}."
        )

    def hint(self, label: str) -> str:
        """Say which class was probably meant, to be put behind a sentence; "" if none is near."""
        guess = self.suggest(label)
        return f" Did you mean '{guess}'?" if guess else ""

    def suggest(self, label: str) -> str | None:
        """Name the class whose spelling is nearest to a label, if any is near.

        There is no guess for a label that denies or doubts something ("Non-COVID"), nor from one
        number to another.
        """
        folded = fold_label(label)
        if is_negated(label):
            return None
        near = [
            known
            for known in self.meanings
            if _keep_signs(known) == _keep_signs(folded) and not is_negated(known)
        ]
        close = difflib.get_close_matches(folded, near, n=1, cutoff=_TYPO_CUTOFF)
        return self.meanings[close[0]] or None if close else None


def _keep_signs(folded: str) -> str:
    """Keep what is no letter: digits and signs, of which a slip of the pen changes the meaning."""
    return "".join(letter for letter in folded if not letter.isalpha())


# The pairs that `--classes` takes: `class=label+label`, labels in quotation marks where needed.

_PAIR = re.compile(r"""(?:"[^"]*"|[^",])+""")
_LABEL = re.compile(r"""\s*(?:"([^"]*)"|((?:[^+"]|\+(?=\s*(?:\+|$)))+))\s*(?:\+|$)""")


def parse_class_table(text: str) -> dict[str, list[str]]:
    """Read `--classes covid=Covid-19,normal=No_findings,pneumonia=viral+bacterial`.

    Args:
        text: Pairs `class=folder` with commas between; several folders with "+". A "+" at the end
            of a label belongs to it ("COVID+"); a label with a comma or a "+" inside is put in
            quotation marks ("A+B"). `ignore=Folder` leaves a folder out.

    Returns:
        From class, as written, to its folder names or labels.

    Raises:
        ConfigError: A pair has no "=" or an empty side.

    >>> parse_class_table("covid=Covid-19,pneumonia=viral+bacterial,sick=COVID+")
    {'covid': ['Covid-19'], 'pneumonia': ['viral', 'bacterial'], 'sick': ['COVID+']}
    """
    table: dict[str, list[str]] = {}
    for pair in filter(None, (part.strip() for part in _PAIR.findall(text))):
        name, equals, folders = pair.partition("=")
        labels = _parse_labels(folders)
        if not equals or not name.strip() or not labels or text.count('"') % 2:
            raise ConfigError(
                f"--classes: '{pair}' is not of the form class=folder; "
                "write for example --classes covid=Covid-19,normal=No_findings."
            )
        table.setdefault(name.strip(), []).extend(labels)
    return table


def _parse_labels(text: str) -> list[str]:
    """Read labels with "+" between; a "+" with none behind it belongs to its label."""
    found = _LABEL.findall(text.strip())
    return [quoted or plain.strip() for quoted, plain in found if quoted or plain.strip("+ ")]


def format_class_pair(name: str, label: str) -> str:
    """Write a pair as `--classes` takes it in a shell, for messages.

    >>> print(format_class_pair("normal", "A+B"))
    'normal="A+B"'
    """
    bare = label.replace('"', "")
    plain = "," not in bare and _parse_labels(bare) == [bare]
    written = bare if plain else f'"{bare}"'
    pair = f"{name}={written}"
    return pair if re.fullmatch(r"[\w.+=-]+", pair) else shlex.quote(pair)


def override_class_table(
    table: Mapping[str, Sequence[str]], over: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Join two tables; a label that `over` has means what `over` says."""
    said = {fold_label(label) for labels in over.values() for label in labels}
    joined = {
        name: [label for label in labels if fold_label(label) not in said]
        for name, labels in table.items()
    }
    for name, labels in over.items():
        joined[name] = [*joined.get(name, []), *labels]
    return joined


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
        ClassMapError: An added class is one slip of the pen away from a known one, or only a
            placeholder; or two classes are given one label; or a label has neither a letter nor a
            digit nor a sign.
    """
    names = list(class_names)
    meanings: dict[str, str] = {}
    for name in names:
        meanings[fold_label(name)] = name
        meanings.update(dict.fromkeys(_SYNONYMS.get(name, ()), name))
    said: dict[str, tuple[str, str]] = {}
    for given, labels in (table or {}).items():
        if _PLACEHOLDER.fullmatch(given):
            _refuse_placeholder(given, labels)
            continue
        target = _find_target(make_printable(given), meanings)
        if target and target not in names:
            _refuse_typo(target, meanings)
            names.append(target)
            meanings[fold_label(target)] = target
        for label in labels:
            _note_label(label, target, said)
    meanings.update({folded: target for folded, (_, target) in said.items()})
    named = frozenset(target for _, target in said.values() if target)
    return ClassMap(class_names=tuple(names), meanings=meanings, named=named)


def name_placeholder(number: int) -> str:
    """Name what a config holds in place of a class until the user writes one."""
    return f"CLASS-{number}"


def _refuse_placeholder(given: str, labels: Sequence[str]) -> None:
    """Refuse a placeholder that still has labels.

    Raises:
        ClassMapError: Says whose class is missing, and where it is written.
    """
    if labels:
        shown = ", ".join(f"'{make_printable(label)}'" for label in labels)
        raise ClassMapError(
            f"The folder or label {shown} has no class yet: '{given}' only stands in its place. "
            f"Write the name of the class instead of {given}, in source.classes of the config or "
            "with --classes, or write ignore to leave the images out."
        )


def _find_target(given: str, meanings: Mapping[str, str]) -> str:
    """Find the class that a name on the left means; "" where it means: leave out."""
    folded = fold_label(given)
    if not folded:
        raise ClassMapError(
            f"'{given}' is no name of a class: it has neither a letter nor a digit."
        )
    return "" if folded in _LEFT_OUT_NAMES else meanings.get(folded, given)


def _note_label(label: str, target: str, said: dict[str, tuple[str, str]]) -> None:
    """Note what the user says of a label.

    Raises:
        ClassMapError: The label is empty, or two classes claim it.
    """
    folded = fold_label(label)
    if not folded:
        raise ClassMapError(
            f"The label '{label}' has neither a letter nor a digit nor a sign; it tells no image. "
            "Rename it."
        )
    other, earlier = said.setdefault(folded, (label, target))
    if earlier != target:
        raise ClassMapError(
            f"The labels '{other}' and '{label}' are read as the same, but are given two classes: "
            f"'{earlier or 'ignore'}' and '{target or 'ignore'}'. Rename one of them, or leave out "
            "one of the two pairs."
        )


def _refuse_typo(name: str, meanings: Mapping[str, str]) -> None:
    """Refuse a new class whose name is a known one mistyped: it would train as a class of its own.

    Raises:
        ClassMapError: Says which class was probably meant.
    """
    for known, meaning in meanings.items():
        if (
            meaning
            and _keep_signs(fold_label(name)) == _keep_signs(known)
            and _is_one_edit_away(fold_label(name), known)
        ):
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
