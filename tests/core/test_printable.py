from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxresnet.core.printable import is_command, make_printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"caf\xe9\n.png".decode("utf-8", "surrogateescape"), r"caf\xe9\n.png"),
        ("naïve ö.png", "naïve ö.png"),
        ("\x1b[2Jgone\x07", r"\x1b[2Jgone\x07"),
        ("a\u202egnp.exe", r"a\u202egnp.exe"),
        ("a\u2028b\x9bc", r"a\u2028b\x9bc"),
        ("\ud800.png", r"\ud800.png"),
        ("a\xa0b \u3000c", "a\xa0b \u3000c"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_bytes_that_are_no_utf8_and_what_commands_are_escaped(text: str, shown: str) -> None:
    assert make_printable(text) == shown


def test_characters_can_be_kept() -> None:
    assert make_printable("a\nb\x1bc", keep="\n") == "a\nb\\x1bc"


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.text(st.characters()))
def test_nothing_that_commands_is_left_and_a_second_time_changes_nothing(text: str) -> None:
    shown = make_printable(text)
    assert not any(map(is_command, shown))
    assert make_printable(shown) == shown
    assert shown.encode("utf-8").decode("utf-8") == shown
