"""What a label, a heading or a cell says: spellings of one thing, negations, and placeholders."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212"), "-")
_NUMBER = re.compile(r"([+-]?)(?=[\d.,])(\d*)(?:[.,](\d*))?")
_THOUSANDS = re.compile(r"\d+,\d{3}")
_IN_BRACKETS = re.compile(r"\(\s*[\d.,]+\s*\)")
_BLANKS = r"\s_'\"`\u2018\u2019\u201c\u201d()\[\]{}.,:;\0-\x1f"
_BETWEEN = re.compile(rf"[{_BLANKS}-]+")


def fold_label(text: str) -> str:
    """Bring the spellings of one label to one text: "Viral_Pneumonia" → "viralpneumonia".

    Case, blanks, underscores, brackets, quotation marks and the hyphens between words do not
    matter. Letters of every alphabet and all other signs do: a "+", a "-" at the start or the end,
    the point between digits. Numbers are compared as numbers.

    Returns:
        The folded label; "" for a label of blanks and punctuation alone.

    >>> [fold_label(text) for text in ("COVID-19", "COVID -", "1.0", "-1.0", "grade 1.5")]
    ['covid19', 'covid-', '1', '-1', 'grade1.5']
    """
    tidy = _normalise(text)
    number = _fold_number(tidy)
    if number or _IN_BRACKETS.fullmatch(tidy):
        return number or tidy
    return _BETWEEN.sub(_fold_between, tidy)


def _normalise(text: str) -> str:
    """Bring composed, wide and small letters, and the kinds of dash, to one form."""
    visible = (
        letter
        for letter in unicodedata.normalize("NFKC", text).translate(_DASHES).casefold()
        if unicodedata.category(letter) != "Cf"
    )
    return unicodedata.normalize("NFKC", "".join(visible)).translate(_DASHES).strip()


def _fold_number(text: str) -> str:
    """Write a number in one way, whatever its digits; "" for what is none."""
    found = _NUMBER.fullmatch(text)
    if found is None or _THOUSANDS.fullmatch(text) or not any(map(str.isdecimal, text)):
        return ""
    sign, whole, part = (
        "".join(str(unicodedata.decimal(letter, letter)) for letter in group or "")
        for group in found.groups()
    )
    value = f"{whole.lstrip('0') or '0'}.{part}".rstrip("0").removesuffix(".")
    return f"-{value}" if sign == "-" and value != "0" else value


def _fold_between(run: re.Match[str]) -> str:
    """Fold what stands between two words: nothing, unless it carries a meaning."""
    text, (start, end) = run[0], run.span()
    before, after = run.string[start - 1 : start], run.string[end : end + 1]
    has_sign = "-" in text and not (before and after and _is_even(text))
    if has_sign:
        return "".join(letter for letter in text if letter == "-")
    if before.isdecimal() and after.isdecimal():
        return text if text in {".", ","} else " "
    return ""


def _is_even(text: str) -> bool:
    """Tell a hyphen between words, "a-b" or "a - b", from a sign: "a -b", "a- b"."""
    return text.startswith("-") == text.endswith("-")


_NEGATIONS = {
    "no", "not", "none", "never", "without", "w", "neg", "free", "absent", "possible", "possibly",
    "probable", "query", "rule", "ruled", "other", "except", "sin", "sans", "ohne", "kein", "keine",
    "senza", "sem",
}  # fmt: skip
_NEGATING_STARTS = ("non", "un", "ab", "not", "negativ", "suspect", "without", "exclud")
_NEGATING_LETTERS = "?!~\u00ac\u2260<>非无無未不疑阴陰"


def is_negated(label: str) -> bool:
    """Say whether a label denies or doubts something, so that no spelling near it may be guessed.

    >>> [is_negated(label) for label in ("Non-COVID", "NotNormal", "COVID-", "Normal")]
    [True, True, True, False]
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", label))
    words = re.findall(r"[^\W\d_]+", apart.casefold())
    folded = fold_label(label)
    return (
        any(word in _NEGATIONS or word.startswith(_NEGATING_STARTS) for word in words)
        or (folded.startswith("no") and not folded.startswith("norm") and len(folded) > 7)
        or folded.startswith("-")
        or folded.endswith("-")
        or any(letter in _NEGATING_LETTERS for letter in folded)
    )


_PLACEHOLDERS = {
    "na", "nan", "nil", "null", "none", "unknown", "unk", "unkn", "anon", "anonym", "anonymous",
    "anonymized", "anonymised", "deidentified", "redacted", "removed", "hidden", "missing",
    "undefined", "unspecified", "notavailable", "notrecorded", "notspecified", "notapplicable",
    "noname", "noid", "tbd", "desconocido", "unbekannt", "inconnu", "sconosciuto", "anonimo",
    "anonyme", "anonymouspatient", "patient", "patientid", "no", "test",
}  # fmt: skip


def is_placeholder(text: str, others: Iterable[str] = ()) -> bool:
    """Say whether a cell or tag only stands where a value would be: "N/A", "-", "XXXX", "0", "".

    It means that nothing is recorded. As a patient it is nobody, and not one person with a
    thousand images.

    Args:
        text: The cell or tag.
        others: What the user says stands for nothing, in any spelling.

    >>> [is_placeholder(text) for text in ("Unknown", "0000", "xxx-xx", "p0", "-1")]
    [True, True, True, False, True]
    """
    tidy = _normalise(text)
    word = re.sub(r"[\W_]+", "", tidy)
    is_empty = not word.strip("0") or not word.strip("x") or tidy == "-1"
    return is_empty or word in _PLACEHOLDERS or fold_label(text) in map(fold_label, others)
