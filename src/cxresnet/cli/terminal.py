"""Output on the terminal: lines, tables and progress bars. Nothing else prints."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from cxresnet.core.errors import CXResnetError, OutputClosedError, StorageError
from cxresnet.core.printable import make_printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from cxresnet.core.finding import Finding


class SafeConsole(Console):
    r"""Shows every text as characters, and never fails because nobody reads its messages.

    A file name or a cell of a table may hold what moves the cursor or hides text; it is shown as an
    escape, as in "\x1b[2J".

    Attributes:
        outlives_output: Whether the command goes on when standard output cannot be written.
    """

    outlives_output = False

    def render_str(self, text: str, **options: Any) -> Text:
        """Turn a text into one that can be laid out; see `rich`."""
        return super().render_str(make_printable(text, keep="\n"), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Render something; see `rich`."""
        for segment in super().render(renderable, options):
            safe = segment.control or segment.text.isprintable()
            yield (
                segment if safe else Segment(make_printable(segment.text, keep="\n"), segment.style)
            )

    def print(self, *objects: Any, **options: Any) -> None:
        """Print something; see `rich`.

        Raises:
            OutputClosedError: It goes to a pipe that nobody reads any more.
            StorageError: It goes to a file on a full disk, or nowhere.
        """
        try:
            super().print(*objects, **options)
        except OSError as error:
            self.quiet = True
            discard_output(self.file)
            if not self.stderr and not self.outlives_output:
                raise explain_lost_output(error) from error

    def on_broken_pipe(self) -> None:
        """Leave the decision to `print`; the base class ends the process without a word."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def explain_lost_output(error: OSError) -> CXResnetError:
    """Explain why standard output cannot be written."""
    if error.errno == errno.EPIPE:
        return OutputClosedError("Nobody reads the output any more.")
    return StorageError(
        f"The output could not be written ({error.strerror}). Write it to a file on a disk with "
        "free space, or show it on the terminal."
    )


def discard_output(stream: IO[str]) -> None:
    """Send what is still to be written to nowhere, so that the end of the process is silent."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def reopen_closed_streams() -> None:
    """Give numbers 0 to 2 to streams that were closed at the start, as by `cxresnet model >&-`.

    Else the next file that is opened would get one of these numbers, and messages would be written
    into it. Writing to standard output fails, because the results are lost; messages may be lost.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            writable = name == "stderr"
            os.open(os.devnull, os.O_WRONLY if writable else os.O_RDONLY)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))


def flush_output() -> None:
    """Write what waits, before Python does it where no error can be shown to the user.

    Raises:
        OutputClosedError: It goes to a pipe that nobody reads any more.
        StorageError: It goes to a file on a full disk, or nowhere.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        discard_output(sys.stdout)
        if not console.outlives_output:
            raise explain_lost_output(error) from error


console = SafeConsole(highlight=False, soft_wrap=True)
"""For results, which a script may want to read."""

error_console = SafeConsole(stderr=True, highlight=False, soft_wrap=True)
"""For everything else: progress, warnings and errors."""

_SHORT_SECONDS = 2.0


def escape_unencodable_output() -> None:
    r"""Let standard output and error show what their encoding lacks as an escape, as in "\u80ba".

    A file name must not end a command because the console, or a pipe on Windows, is not UTF-8.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in {"strict", "surrogateescape"}:
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Print a sentence of results without interpreting markup.

    A terminal gets it folded between words. Elsewhere it stays one line, for `grep` and logs.
    """
    console.print(text, markup=False, soft_wrap=not console.is_terminal)


def say_unfolded(text: str) -> None:
    """Print results for a program or a clipboard in one piece: JSON, CSV, paths."""
    console.print(text, markup=False)


def say_wrote(path: Path) -> None:
    """Print the path of something that was written."""
    say_unfolded(f"Wrote {path}")


def warn(text: str) -> None:
    """Print a sentence that the user should notice."""
    _print_emphasised(f"Note: {text}", style="yellow")


def print_red_flag(title: str, sentence: str) -> None:
    """Print one reason to doubt a result."""
    _print_emphasised(f"RED FLAG: {title}. {sentence}", style="bold red")


def _print_emphasised(text: str, *, style: str) -> None:
    folded = error_console.is_terminal
    error_console.print(text, markup=False, style=style, soft_wrap=not folded)


def show_finding(finding: Finding) -> None:
    """Print one finding, its verdict first and in its colour."""
    colours = {"green": "green", "cannot be tested": "dim", "amber": "yellow", "red": "bold red"}
    line = Text(f"{finding.verdict.upper():<5} ", style=colours[finding.verdict])
    line.append(finding.sentence, style="default")
    console.print(line, soft_wrap=not console.is_terminal)


def show_log_lines(level: int) -> None:
    """Send the package's log lines to the terminal.

    Args:
        level: The least important level still shown, as of `logging`.
    """
    handler = _LogLines()
    handler.setFormatter(_OneLineFormatter())
    logger = logging.getLogger("cxresnet")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False


class _LogLines(logging.Handler):
    """Prints log lines: on a terminal above the bars and folded, elsewhere one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        folded = error_console.is_terminal
        error_console.print(self.format(record), markup=False, soft_wrap=not folded)


class _OneLineFormatter(logging.Formatter):
    """One message, one line, whatever a file is called."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  named by the base
        return make_printable(super().formatMessage(record))


@dataclass
class _Step:
    """A running step."""

    description: str
    task: TaskID | None
    started: float
    count: int = 0


@dataclass
class TerminalReporter:
    """Draws a bar on a terminal; elsewhere prints one line per step that took long.

    Attributes:
        quiet: Whether to draw nothing.
        detailed: Whether steps inside of a step have bars of their own, finished bars stay, and
            each step says how long it took.
    """

    quiet: bool = False
    detailed: bool = False
    _progress: Progress | None = field(default=None, init=False)
    _open: int = field(default=0, init=False)

    def start(self, description: str, total: int | None) -> object:
        """Begin a step; nested steps share one display."""
        step = _Step(description, None, time.monotonic())
        if error_console.is_terminal and not self.quiet:
            if self._progress is None:
                self._progress = _build_progress(transient=not self.detailed)
                self._progress.start()
            if self.detailed or not self._open:
                step.task = self._progress.add_task(description, total=total)
        self._open += 1
        return step

    def advance(self, handle: object, count: int) -> None:
        """Report that `count` more items are done."""
        if isinstance(handle, _Step):
            handle.count += count
            if self._progress is not None and handle.task is not None:
                self._progress.advance(handle.task, count)

    def finish(self, handle: object) -> None:
        """End a step; the last one to end removes the display."""
        self._open = max(0, self._open - 1)
        if self._progress is not None and self._open == 0:
            self._progress.stop()
            self._progress = None
        seconds = time.monotonic() - handle.started if isinstance(handle, _Step) else 0.0
        plain = self.detailed or not error_console.is_terminal
        told = plain and not self.quiet and (self.detailed or seconds > _SHORT_SECONDS)
        if told and isinstance(handle, _Step):
            places = 1 if self.detailed else 0
            line = f"{handle.description}: {handle.count} in {seconds:.{places}f} s"
            error_console.print(line, markup=False)

    def close(self) -> None:
        """Remove the display, also with open steps, so that an error can be shown."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        self._open = 0


reporter = TerminalReporter()
"""The one reporter of this process."""


def _build_progress(*, transient: bool) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description:<28}", markup=False),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=error_console,
        transient=transient,
    )
