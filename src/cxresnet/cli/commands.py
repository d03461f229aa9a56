"""The register of commands: every module in `cli/` that decorates a function with `@command`.

To add a command, write one file; nothing else has to know of it. The modules are imported to build
the help, so they import their room only inside the command: `cxresnet --help` stays quick.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import cxresnet.cli

_Function = TypeVar("_Function", bound=Callable[..., Any])

_ENTRY_MODULE = "app"
"""Builds the command line from this register, so it is no command itself."""


@dataclass(frozen=True)
class Command:
    """One command of the command line.

    Attributes:
        name: What the user types; the function's name, or two words for a command in a group.
        order: Where it stands in the help: lower numbers first.
        function: What it does; its parameters are the arguments and options.
        examples: Command lines that work, without the word `cxresnet`; at the end of its help.
        outlives_output: Whether it goes on when nobody reads its output any more, because its
            results are files.
    """

    name: str
    order: int
    function: Callable[..., Any]
    examples: tuple[str, ...]
    outlives_output: bool = False

    @property
    def summary(self) -> str:
        """The first sentence of its docstring, whole."""
        return " ".join((self.function.__doc__ or "").split("\n\n")[0].split())


_COMMANDS: dict[str, Command] = {}


def command(
    *, order: int, examples: Sequence[str], name: str = "", outlives_output: bool = False
) -> Callable[[_Function], _Function]:
    """Register a function as a command; its name, docstring and parameters are the interface.

    Args:
        order: Where it stands in `cxresnet --help`: lower numbers first, then by name.
        examples: See `Command`; two are enough.
        name: If it is not the function's name; "config list" is `list` in the group `config`.
        outlives_output: See `Command`.

    Raises:
        ValueError: There is another command of the same name.
    """

    def register(function: _Function) -> _Function:
        typed = name or function.__name__
        known = _COMMANDS.get(typed)
        if known is not None and known.function.__module__ != function.__module__:
            raise ValueError(
                f"two commands are called '{typed}': in {known.function.__module__} "
                f"and in {function.__module__}"
            )
        _COMMANDS[typed] = Command(typed, order, function, tuple(examples), outlives_output)
        return function

    return register


def find_commands() -> tuple[Command, ...]:
    """Import every module in `cli/` and list their commands in the order of the help."""
    for module in pkgutil.iter_modules(cxresnet.cli.__path__):
        if module.name != _ENTRY_MODULE:
            importlib.import_module(f"{cxresnet.cli.__name__}.{module.name}")
    return tuple(sorted(_COMMANDS.values(), key=lambda one: (one.order, one.name)))
