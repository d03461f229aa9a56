"""`cxresnet config list`, `config show` and `config explain`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.completion import complete_config, complete_config_key
from cxresnet.cli.terminal import console, say_unfolded

if TYPE_CHECKING:
    from cxresnet.core.config.keys import ConfigKey

_WIDTH_UNFOLDED = 80


@command(
    order=92,
    name="config list",
    examples=(
        "config list",
        "config show small",
    ),
)
def list_configs() -> None:
    """List the ready configs: what each is for, and how long it takes."""
    from cxresnet.core.config import list_named_configs

    for one in list_named_configs():
        say_unfolded(f"{one.name} ({one.time})")
        say_unfolded(_fold(one.purpose))


@command(
    order=93,
    name="config show",
    examples=(
        "config show small",
        "config show small --resolved",
    ),
)
def show_config(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="NAME|FILE",
            help="A ready config, or a TOML file.",
            autocompletion=complete_config,
        ),
    ],
    *,
    resolved: Annotated[
        bool,
        typer.Option("--resolved", help="Show the value of every key, those of defaults too."),
    ] = False,
) -> None:
    """Print a config as TOML, to read it or to start a file of your own."""
    from cxresnet.core.config import find_config_file, read_config
    from cxresnet.core.config.keys import format_config_toml

    read = read_config(config)
    if resolved:
        say_unfolded(format_config_toml(read).rstrip())
    else:
        say_unfolded(find_config_file(config).read_text(encoding="utf-8").rstrip())


@command(
    order=94,
    name="config explain",
    examples=(
        "config explain train.epochs",
        "config explain train",
    ),
)
def explain_key(
    key: Annotated[
        str,
        typer.Argument(
            metavar="[KEY]",
            help="A key as train.epochs, or a section as train; without it, all keys.",
            autocompletion=complete_config_key,
            show_default=False,
        ),
    ] = "",
) -> None:
    """Explain a config key: its default, which values it may have, and what it does."""
    from cxresnet.core.config.keys import find_config_keys, list_config_keys, list_config_sections

    sections = list_config_sections()
    found = find_config_keys(key) if key else list_config_keys()
    for section, keys in groupby(found, key=lambda one: one.section):
        say_unfolded(f"[{section}]  {sections[section]}")
        for one in keys:
            for line in _describe(one):
                say_unfolded(line)


def _describe(key: ConfigKey) -> Iterator[str]:
    yield f"  {key.name}"
    yield _fold(key.effect)
    yield _fold(f"Default: {key.default}. Allowed: {key.allowed}.")


def _fold(text: str) -> str:
    width = console.width if console.is_terminal else _WIDTH_UNFOLDED
    indent = " " * 6
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)
