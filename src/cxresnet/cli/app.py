"""The command `cxresnet`: runs a command, shows an error as one sentence, sets the exit code."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

from cxresnet import DISCLAIMER, __version__
from cxresnet.cli import terminal
from cxresnet.cli.commands import find_commands
from cxresnet.cli.help import GroupedCommand, format_examples
from cxresnet.cli.options import RENAMED_WORDS
from cxresnet.core.child_processes import SAFE_PATH_VARIABLE
from cxresnet.core.errors import CXResnetError, OutputClosedError
from cxresnet.core.progress import reporting_to

_logger = logging.getLogger(__name__)

_EXIT_USAGE = 2
_EXIT_SYSTEM = 3
_EXIT_FAULT = 70
_EXIT_INTERRUPTED = 130
_OUT_OF_MEMORY = (
    "The memory is full. Close other programs, or use smaller batches (--set train.batch_size=32)."
)
_STOPPED = (
    "Stopped by Ctrl-C. Finished steps are kept; repeat the command to continue, with --resume "
    "where it has that option."
)


def _print_disclaimer(_result: object, **_options: object) -> None:
    if not terminal.reporter.quiet:
        terminal.error_console.print(DISCLAIMER, style="bold")


app = typer.Typer(
    result_callback=_print_disclaimer,
    name="cxresnet",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text reads better in 80 columns, and is there at once
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"{DISCLAIMER} Start with: cxresnet run phantoms --out runs/first",
)
_GROUPS = {"config": "List the ready configs, show one, or explain a config key."}


def _add_commands() -> None:
    """Add every command, those of two words to their group."""
    groups: dict[str, typer.Typer] = {"": app}
    for one in find_commands():
        group, _, name = one.name.rpartition(" ")
        if group not in groups:
            groups[group] = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
            app.add_typer(groups[group], name=group, help=_GROUPS[group])
        groups[group].command(
            name, cls=GroupedCommand, short_help=one.summary, epilog=format_examples(one.examples)
        )(one.function)


_add_commands()
_OUTLIVING = {one.name for one in find_commands() if one.outlives_output}


def _show_version(requested: bool) -> None:  # noqa: FBT001  Typer passes the flag by position
    if requested:
        terminal.say(f"cxresnet {__version__}")
        raise typer.Exit


@app.callback()
def start(
    context: typer.Context,
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Show more messages, how long each step takes, and the traceback of an "
            "unexpected error.",
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show only results and errors.")
    ] = False,
) -> None:
    """Classify chest X-rays as normal, pneumonia or COVID-19, and test how far to trust the result.

    Research and teaching only, not a medical device.
    """
    del version
    terminal.console.outlives_output = context.invoked_subcommand in _OUTLIVING
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    terminal.show_log_lines(level)
    terminal.reporter.quiet = quiet
    terminal.reporter.detailed = verbose


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; the user never sees a traceback.

    Args:
        arguments: The words after `cxresnet`.

    Returns:
        0; 1 where `lint --strict` found something red; 2 for a mistake that the user can correct;
        3 where the system refuses something, for example to write; 130 after Ctrl-C; 141 where
        nobody reads the output any more; 70 for a bug.
    """
    terminal.reopen_closed_streams()
    terminal.escape_unencodable_output()
    try:
        with reporting_to(terminal.reporter):
            return _run_app(arguments)
    except CXResnetError as error:
        return _fail(str(error), error.exit_code)
    except TyperException as error:
        return _fail_at_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        return _fail(_STOPPED, _EXIT_INTERRUPTED)
    except (MemoryError, OSError) as error:
        return _fail_at_system(error)
    except Exception as error:  # noqa: BLE001  last resort: users see no traceback
        return _fail_unexpectedly(error)


def _run_app(arguments: Sequence[str]) -> int:
    started = time.monotonic()
    try:
        code = app(args=list(arguments), prog_name="cxresnet", standalone_mode=False)
    except SystemExit as error:
        if error.code != 1:
            raise
        # The console of the help ends the process where nobody reads it.
        raise OutputClosedError("Nobody reads the help any more.") from error
    if code == _EXIT_INTERRUPTED:
        # Typer turns Ctrl-C inside a command into this code without any message.
        raise KeyboardInterrupt
    _logger.debug("The command took %.1f s.", time.monotonic() - started)
    terminal.flush_output()
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    terminal.reporter.close()
    if code == OutputClosedError.exit_code:  # as usual in a pipe, not a word
        return code
    terminal.error_console.print(f"cxresnet: {message}", markup=False, style="bold red")
    return code


def _fail_at_system(error: MemoryError | OSError) -> int:
    """Name what the system refused, and the file."""
    with contextlib.suppress(CXResnetError):
        terminal.flush_output()
    _show_traceback(error)
    if isinstance(error, MemoryError):
        return _fail(_OUT_OF_MEMORY, _EXIT_SYSTEM)
    what = f"'{error.filename}': " if error.filename else ""
    return _fail(
        f"The system refused something: {what}{error.strerror or error}. Check that the file or "
        "folder is still there and that the disk has space; then repeat the command.",
        _EXIT_SYSTEM,
    )


def _show_traceback(error: Exception) -> None:
    if logging.getLogger("cxresnet").isEnabledFor(logging.DEBUG):
        terminal.error_console.print("".join(traceback.format_exception(error)), markup=False)


def _fail_at_usage(error: TyperException) -> int:
    """Say what is wrong with the words, and which help explains them."""
    message = error.format_message()
    if not message or message.startswith("Usage: "):
        # `cxresnet` or `cxresnet config` without a command: its help is the answer.
        terminal.error_console.print(message, markup=False)
        return _EXIT_USAGE
    renamed = re.match(r"No such (option|command):? '?([\w-]+)", message)
    if renamed is not None and renamed[2] in RENAMED_WORDS:
        message = f"The {renamed[1]} {renamed[2]} is now {RENAMED_WORDS[renamed[2]]}"
    sentence = message if message.endswith(("?", ".")) else f"{message}."
    context = getattr(error, "ctx", None)
    command = "cxresnet" if context is None else context.command_path
    return _fail(f"{sentence} See '{command} --help'.", _EXIT_USAGE)


def _fail_unexpectedly(error: Exception) -> int:
    _show_traceback(error)
    reason = f"{type(error).__name__}: {error}".rstrip(": ")
    return _fail(
        f"Unexpected error ({reason}). This is a bug; please report it with the output of the same "
        "command after 'cxresnet --verbose'.",
        _EXIT_FAULT,
    )


def main() -> None:
    """Entry point of the command `cxresnet`.

    Threads that wait for each other sleep instead of spinning: on a busy machine spinning made an
    epoch seven times slower, and on an idle one it gains nothing. This must be set before torch is
    imported. No Python process that we start imports from the current folder, which may be one of
    images that somebody sent.
    """
    os.environ[SAFE_PATH_VARIABLE] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with contextlib.suppress(RuntimeError, ValueError, OSError):  # standard error may be closed
        faulthandler.enable()  # no crash of a library ends without a word
    sys.exit(run_command_line(sys.argv[1:]))
