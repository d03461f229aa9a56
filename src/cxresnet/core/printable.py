"""Text from outside, made harmless to look at: in a terminal, a log, a table or a page."""

from __future__ import annotations

import unicodedata

_HARMLESS = "\u200c\u200d"
"""Joiners of letters, which some languages and emoji need."""

_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF
"""How Python reads the bytes of a file name that is no UTF-8."""


def make_printable(text: str, *, keep: str = "") -> str:
    r"""Write bytes that are no UTF-8, and characters that command, as escapes: "caf\xe9.png".

    Those that command are the control characters, with which a file name could move the cursor or
    change the colours of a terminal, and the invisible ones that turn the direction of writing.
    What comes out stays as it is when it goes in again.

    Args:
        text: For example a file name as Python gives it, perhaps with surrogates for single bytes.
        keep: Characters that are left as they are, for example "\n".
    """
    if text.isprintable():
        return text
    return "".join(
        _escape(letter) if is_command(letter) and letter not in keep else letter for letter in text
    )


def is_command(letter: str) -> bool:
    """Say whether a character is not shown but does something: a control, a turn of direction."""
    category = unicodedata.category(letter)
    return (category[0] == "C" and letter not in _HARMLESS) or category in {"Zl", "Zp"}


def _escape(letter: str) -> str:
    code = ord(letter)
    if _FIRST_BYTE <= code <= _LAST_BYTE:
        return f"\\x{code & 0xFF:02x}"
    return letter.encode("unicode_escape").decode("ascii")
