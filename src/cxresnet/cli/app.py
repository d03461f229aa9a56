"""The command `cxresnet`: runs a command, shows an error as one sentence, sets the exit code."""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

from cxresnet import DISCLAIMER, __version__
from cxresnet.cli import terminal
from cxresnet.cli.commands import find_commands
from cxresnet.cli.options import RENAMED_OPTIONS
from cxresnet.core.child_processes import SAFE_PATH_VARIABLE
from cxresnet.core.errors import CXResnetError
from cxresnet.core.progress import reporting_to

_EXIT_USAGE = 2
_EXIT_FAULT = 70
_EXIT_INTERRUPTED = 130
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
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"{DISCLAIMER} Start with: cxresnet run phantoms --out runs/first",
)
for _command in find_commands():
    app.command(_command.name)(_command.function)


def _show_version(requested: bool) -> None:  # noqa: FBT001  Typer passes the flag by position
    if requested:
        terminal.say(f"cxresnet {__version__}")
        raise typer.Exit


@app.callback()
def start(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Show more messages, and the traceback of an unexpected error."
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
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    terminal.show_log_lines(level)
    terminal.reporter.quiet = quiet


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; the user never sees a traceback.

    Args:
        arguments: The words after `cxresnet`.

    Returns:
        0; 2 for a mistake that the user can correct; 3 for a storage error; 130 after Ctrl-C; 70
        for a bug.
    """
    terminal.escape_unencodable_output()
    try:
        with reporting_to(terminal.reporter):
            return _run_app(arguments)
    except CXResnetError as error:
        return _fail(str(error), error.exit_code)
    except TyperException as error:
        return _fail_at_usage(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        return _fail(_STOPPED, _EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  last resort: users see no traceback
        return _fail_unexpectedly(error)


def _run_app(arguments: Sequence[str]) -> int:
    code = app(args=list(arguments), prog_name="cxresnet", standalone_mode=False)
    if code == _EXIT_INTERRUPTED:
        # Typer turns Ctrl-C inside a command into this code without any message.
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    terminal.reporter.close()
    terminal.error_console.print(f"cxresnet: {message}", markup=False, style="bold red")
    return code


def _fail_at_usage(message: str) -> int:
    if not message:
        # `cxresnet` without a command: the help was shown.
        return _EXIT_USAGE
    renamed = re.match(r"No such option: (--[\w-]+)", message)
    if renamed is not None and renamed[1] in RENAMED_OPTIONS:
        message = f"The option {renamed[1]} is now {RENAMED_OPTIONS[renamed[1]]}"
    sentence = message if message.endswith(("?", ".")) else f"{message}."
    return _fail(f"{sentence} See 'cxresnet --help'.", _EXIT_USAGE)


def _fail_unexpectedly(error: Exception) -> int:
    if logging.getLogger("cxresnet").isEnabledFor(logging.DEBUG):
        traceback.print_exception(error)
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
    sys.exit(run_command_line(sys.argv[1:]))
