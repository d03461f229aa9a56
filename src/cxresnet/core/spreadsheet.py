"""Text cells that a spreadsheet must not take for formulas."""

from __future__ import annotations

__all__ = ["shield_text", "unshield_text"]

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\0", "'")


def shield_text(text: str) -> str:
    """Write an apostrophe before a text that a spreadsheet would calculate.

    >>> shield_text("=1+1"), shield_text("film 1")
    ("'=1+1", 'film 1')
    """
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def unshield_text(text: str) -> str:
    """Take the apostrophe off again: the inverse of `shield_text`."""
    return text.removeprefix("'")
