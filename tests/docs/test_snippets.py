"""What the documents tell a reader to type is there: commands, options and config keys."""

from __future__ import annotations

import functools
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cxresnet.cli.app import app
from cxresnet.core.config import read_config
from cxresnet.core.errors import ConfigError

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

# Whether it stands in a sentence or in a block of code, a command ends with the line, a comment or
# the next command; what is optional stands in square brackets.
_COMMAND = re.compile(r"(?:^(?: {4}|\t|> )*\s*(?:\$ )?|`|&& |; )cxresnet ([^`#;&|]+)", re.MULTILINE)


def find_faults(text: str) -> Iterator[str]:
    """Name each command, option and config key of a document that is not there."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for found in _COMMAND.finditer(joined):
        line = " ".join(found[1].split("\n")[0].replace("[", " ").replace("]", " ").split())
        yield from (f"'cxresnet {line}': {fault}" for fault in _check(line))


def _check(line: str) -> Iterator[str]:
    words = shlex.split(line.replace("'", "").replace('"', ""))
    command = _get_app()
    options = _list_options(command)
    while words and hasattr(command, "commands"):
        word = words.pop(0)
        if word in command.commands:
            command = command.commands[word]
            options |= _list_options(command)
        elif re.match(r"[A-Z…]", word):  # a placeholder such as COMMAND
            return
        elif word not in options:
            yield f"there is no command '{word}'"
            return
    for word, following in itertools.pairwise([*words, ""]):
        if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in options:
            yield f"there is no option '{word}'"
        if word in {"--set", "-s"}:
            yield from _check_setting(following)


@functools.cache
def _get_app() -> Any:
    return get_command(app)


def _list_options(command: Any) -> set[str]:
    named = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    return named | {"-h", "--help"}


def _check_setting(setting: str) -> Iterator[str]:
    try:
        read_config(settings=[setting])
    except ConfigError as error:
        if "is unknown" in str(error) or "is now" in str(error):
            yield str(error)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_tells_to_type_is_there(path: Path) -> None:
    assert not list(find_faults(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("    cxresnet fly phantoms", "no command 'fly'"),
        ("Type `cxresnet train data --epochs 3` now.", "no option '--epochs'"),
        ("```\n$ cxresnet prepare x && cxresnet train x --outt y\n```", "no option '--outt'"),
        ("    cxresnet run x \\\n      --set train.epoch=3", "Did you mean 'epochs'?"),
        ("    cxresnet run x --out y [--sett a.b=c]   # a comment", "no option '--sett'"),
    ],
)
def test_what_is_not_there_is_found(text: str, fault: str) -> None:
    (found,) = find_faults(text)
    assert fault in found


@pytest.mark.parametrize(
    "text",
    [
        "    cxresnet run phantoms --out runs/x --set train.epochs=3 -s data.side_px=64",
        "`cxresnet --verbose COMMAND --help` and `cxresnet --version`",
        "    cxresnet evaluate RUN [--data OTHER]  # --not an option",
    ],
)
def test_what_is_there_is_let_through(text: str) -> None:
    assert not list(find_faults(text))
