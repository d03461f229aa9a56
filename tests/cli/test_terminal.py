from __future__ import annotations

import errno
import io
import logging
import os
import re

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cxresnet.cli import terminal
from cxresnet.cli.terminal import SafeConsole, TerminalReporter
from cxresnet.core.errors import OutputClosedError, StorageError
from cxresnet.core.progress import reporting_to, track


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    console = SafeConsole(file=stream, force_terminal=True, width=100, highlight=False)
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
    reporter = TerminalReporter(detailed=True)
    with reporting_to(reporter):
        for _ in track(range(2), "Epochs"):
            list(track(range(2), "Batches"))
    assert "Batches" in screen.getvalue()
    after = screen.getvalue().rpartition("\x1b[?25h")[2]  # the cursor is shown again
    assert re.fullmatch(r"(Epochs: 2 in \d+\.\d s\n)?", after)


HOSTILE = "a\x1b[2J\u202eb"
SHOWN = r"a\x1b[2J\u202eb"


def test_nothing_printed_commands_the_terminal() -> None:
    stream = io.StringIO()
    console = SafeConsole(file=stream, force_terminal=True, width=60, highlight=False)
    table = Table()
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    console.print(table)
    console.print(f"{HOSTILE}\nsecond line", markup=False, style="red")
    written = stream.getvalue()
    assert written.count(SHOWN) == 3
    assert HOSTILE not in written
    assert "\x1b[31m" in written, "our own colours stay"
    assert "\n" in written.partition("second line")[0][-8:]


def test_a_log_message_stays_in_one_line(
    monkeypatch: pytest.MonkeyPatch, screen: io.StringIO
) -> None:
    logger = logging.getLogger("cxresnet")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "level", logging.INFO)
    stream = io.StringIO()
    monkeypatch.setattr(terminal, "error_console", SafeConsole(file=stream))
    monkeypatch.setattr("sys.stderr", stream)
    terminal.show_log_lines(logging.INFO)
    logger.info("read '%s'", f"{HOSTILE}\nERROR forged")
    assert stream.getvalue() == rf"read '{SHOWN}\nERROR forged'" + "\n"


class _Refusing(io.StringIO):
    """An output that refuses every text."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, _text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EPIPE, OutputClosedError), (errno.ENOSPC, StorageError)]
)
def test_a_lost_output_ends_a_command_unless_it_outlives_it(
    number: int, kind: type[Exception]
) -> None:
    console = SafeConsole(file=_Refusing(number))
    with pytest.raises(kind):
        console.print("a result")
    trainer = SafeConsole(file=_Refusing(number))
    trainer.outlives_output = True
    trainer.print("a result")
    trainer.print("and another")


def test_lost_messages_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", _Refusing(errno.ENOSPC))
    SafeConsole(stderr=True).print("a message")


def test_without_details_there_is_one_bar_and_it_is_taken_away(screen: io.StringIO) -> None:
    with reporting_to(TerminalReporter()):
        for _ in track(range(2), "Epochs"):
            list(track(range(2), "Batches"))
        list(track(range(2), "Images"))
    shown = screen.getvalue()
    assert "Epochs" in shown
    assert "Images" in shown
    assert "Batches" not in shown
    assert shown.endswith("\x1b[2K")  # the line is cleared


def test_a_bar_fits_a_terminal_of_80_columns(screen: io.StringIO) -> None:
    with reporting_to(TerminalReporter()):
        list(track(range(20_000), "Auditing the images slowly"))
    whole = [
        line for line in re.split(r"\r|\n|\x1b\[\d*[A-Z]", screen.getvalue()) if "Audit" in line
    ]
    assert max(cell_len(Text.from_ansi(line).plain.rstrip()) for line in whole) <= 80
