from __future__ import annotations

import io

import pytest
from rich.console import Console

from cxresnet.cli import terminal
from cxresnet.cli.terminal import TerminalReporter
from cxresnet.core.progress import reporting_to, track


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, highlight=False)
    monkeypatch.setattr(terminal, "error_console", console)
    return stream


@pytest.mark.parametrize(("is_terminal", "lines"), [(True, 2), (False, 1)])
def test_sentences_are_folded_between_words_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool, lines: int
) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=is_terminal, width=20, soft_wrap=True)
    monkeypatch.setattr(terminal, "console", console)

    terminal.say("Sentences are folded between their words.")

    assert stream.getvalue().count("\n") == lines
    assert all(len(line) <= 20 for line in stream.getvalue().splitlines()) == is_terminal


def test_what_a_program_takes_is_never_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=20, soft_wrap=True)
    monkeypatch.setattr(terminal, "console", console)

    terminal.say_unfolded('{"name": "a name that is longer than the screen"}')

    assert stream.getvalue().count("\n") == 1


def test_a_terminal_gets_a_bar_with_the_step_and_the_count(screen: io.StringIO) -> None:
    with reporting_to(TerminalReporter()):
        list(track(range(3), "Decoding images"))
    assert "Decoding images" in screen.getvalue()
    assert "3/3" in screen.getvalue()


def test_quiet_draws_nothing(screen: io.StringIO) -> None:
    with reporting_to(TerminalReporter(quiet=True)):
        list(track(range(3), "Decoding images"))
    assert screen.getvalue() == ""


def test_steps_can_be_nested_and_the_display_is_taken_down(screen: io.StringIO) -> None:
    reporter = TerminalReporter()
    with reporting_to(reporter):
        for _ in track(range(2), "Epochs"):
            list(track(range(2), "Batches"))
    assert "Batches" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[?25h")  # the cursor is shown again
