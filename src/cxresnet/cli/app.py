"""The command `cxresnet`: finds the command, shows errors as one sentence, sets the exit code."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

from cxresnet import DISCLAIMER, __version__
from cxresnet.cli import terminal
from cxresnet.cli.compare import compare
from cxresnet.cli.evaluate import evaluate
from cxresnet.cli.explain import explain
from cxresnet.cli.lungs import lungs
from cxresnet.cli.model import model
from cxresnet.cli.predict import predict
from cxresnet.cli.prepare import merge, prepare
from cxresnet.cli.report import report
from cxresnet.cli.run import run
from cxresnet.cli.train import train
from cxresnet.cli.verify import verify
from cxresnet.core.errors import CXResnetError
from cxresnet.core.progress import reporting_to

__all__ = ["app", "main", "run_command_line"]

_EXIT_USAGE = 2
_EXIT_FAULT = 70
_EXIT_INTERRUPTED = 130
_STOPPED = "Stopped by Ctrl-C. What was finished stands; the same command with --resume goes on."


def _say_what_it_is_not(_result: object, **_options: object) -> None:
    if not terminal.reporter.quiet:
        terminal.error_console.print(DISCLAIMER, style="bold")


app = typer.Typer(
    result_callback=_say_what_it_is_not,
    name="cxresnet",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"{DISCLAIMER} Start with: cxresnet run phantoms --out runs/first",
)
for _command in (
    run, prepare, merge, verify, train, evaluate, compare, explain, report, predict, lungs, model,
):  # fmt: skip
    app.command()(_command)


def _show_version(asked: bool) -> None:  # noqa: FBT001  Typer hands the flag over by place
    if asked:
        terminal.say(f"cxresnet {__version__}")
        raise typer.Exit


@app.callback()
def start(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say more; show where an unexpected error rose.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors and results only.")] = False,
) -> None:
    """Classify chest X-rays as normal, pneumonia or COVID-19, and say whether to believe it.

    Research and teaching only, not a medical device.
    """
    del version
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    terminal.show_log_lines(level)
    terminal.reporter.quiet = quiet


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code and never lets a traceback through to a user.

    Args:
        arguments: The words after `cxresnet`.

    Returns:
        0; 2 for what the user can mend; 3 for storage; 130 after Ctrl-C; 70 for our own faults.
    """
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
    except Exception as error:  # noqa: BLE001  the last line of defence: no traceback for users
        return _fail_unexpectedly(error)


def _run_app(arguments: Sequence[str]) -> int:
    code = app(args=list(arguments), prog_name="cxresnet", standalone_mode=False)
    if code == _EXIT_INTERRUPTED:
        # Typer turns Ctrl-C inside a command into this code, without a word.
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    terminal.reporter.close()
    terminal.error_console.print(f"cxresnet: {message}", markup=False, style="bold red")
    return code


def _fail_at_usage(message: str) -> int:
    if not message:
        # `cxresnet` alone: the help was shown.
        return _EXIT_USAGE
    sentence = message if message.endswith(("?", ".")) else f"{message}."
    return _fail(f"{sentence} 'cxresnet --help' tells what there is.", _EXIT_USAGE)


def _fail_unexpectedly(error: Exception) -> int:
    if logging.getLogger("cxresnet").isEnabledFor(logging.DEBUG):
        traceback.print_exception(error)
    reason = f"{type(error).__name__}: {error}".rstrip(": ")
    return _fail(
        f"An error that we did not foresee ({reason}). "
        "Please report it with the output of the same command after 'cxresnet --verbose'.",
        _EXIT_FAULT,
    )


def main() -> None:
    """Entry point of the command `cxresnet`.

    Threads that wait for each other sleep instead of spinning: on a machine that has other work to
    do, spinning made an epoch seven times slower, and on an idle one it gains nothing. Must be said
    before torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(run_command_line(sys.argv[1:]))
