"""What the reference says: commands, config keys, records and errors, read from the code.

Each `_make_NAME` gives the lines that replace a comment `<!-- make: NAME … -->` of a page.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import itertools
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from describe import define, describe_type, find_reasons, list_fields, list_sections, read_docstring

ROOT = Path(__file__).parents[2]


def _make_commands() -> Iterator[str]:
    from typer.main import get_command

    from cxresnet.cli.app import app

    group = get_command(app)
    with group.make_context("cxresnet", [], resilient_parsing=True) as context:
        yield from _describe_parameters(group, context)
        yield from _describe_commands(group, context)


def _describe_commands(group: Any, context: Any) -> Iterator[str]:
    for name, command in group.commands.items():
        with command.make_context(name, [], parent=context, resilient_parsing=True) as own:
            if hasattr(command, "commands"):
                yield from _describe_commands(command, own)
                continue
            usage = " ".join(command.get_usage(own).removeprefix("Usage: ").split())
            usage = re.sub(r"{(.+?)}(?:[.]{3})?", r"\1", usage)
            yield f"## {own.command_path}\n\n{inspect.cleandoc(command.help or '')}\n"
            yield f"```text\n{usage}\n```\n"
            yield from _describe_parameters(command, own)
            if command.epilog:
                examples = command.epilog.replace("\b", "").strip()
                yield f"```text\n{examples}\n```\n"


class _Sections:
    """Takes what a command writes into its help, in place of a terminal."""

    width = 100

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[str, str]]] = {}

    @contextlib.contextmanager
    def section(self, name: str) -> Iterator[None]:
        self.rows[name] = []
        yield

    def write_dl(self, rows: list[tuple[str, str]], **_: object) -> None:
        self.rows[list(self.rows)[-1]] += rows


def _describe_parameters(command: Any, context: Any) -> Iterator[str]:
    sections = _Sections()
    command.format_options(context, sections)
    sections.rows.pop("Commands", None)
    for title, rows in sections.rows.items():
        yield f"**{title}**\n"
        for name, said in rows:
            text, _, extra = said.partition("  [")
            plain = name.partition(" <")[0] if title == "Arguments" else name
            shown = re.sub(r"<(?:list\[)?(\w+)\]?>", _name_kind, plain)
            yield from define(shown, [extra.rstrip("]")], text.replace("<", "&lt;"))


def _name_kind(found: re.Match[str]) -> str:
    return _NAMES.get(found[1], found[1].upper())


_NAMES = {"str": "TEXT", "int": "NUMBER", "float": "NUMBER"}


def _make_config() -> Iterator[str]:
    from cxresnet.core.config.keys import UNSET, list_config_keys, list_config_sections

    keys = list_config_keys()
    for section, text in list_config_sections().items():
        yield f"## [{section}] {{ #{section} }}\n\n{text}\n"
        for key in keys:
            if key.section == section:
                allowed = re.sub(r'"[^"]*"', r"`\g<0>`", key.allowed)
                default = key.default if key.default == UNSET else f"`{key.default}`"
                details = (allowed, f"default {default}")
                yield from define(key.short_name, details, key.effect, anchor=key.name)


def _make_configs() -> Iterator[str]:
    for path in sorted(ROOT.glob("src/cxresnet/core/config/ready/*.toml")):
        lines = itertools.takewhile(
            lambda line: line.startswith("#"), path.read_text("utf-8").splitlines()
        )
        text = " ".join(line.removeprefix("#").strip() for line in lines)
        yield from define(path.stem, [], re.split(r"(?<=\.) ", text)[0])


_described: set[Any] = set()


def start_page() -> None:
    """Begin a new page: a record is described once on each."""
    _described.clear()


def _make_record(name: str) -> Iterator[str]:
    module, _, attribute = name.rpartition(".")
    todo = [getattr(importlib.import_module(module), attribute)]
    while todo:
        kind = todo.pop(0)
        if kind in _described:
            continue
        _described.add(kind)
        text, meanings = read_docstring(kind)
        yield f"#### {kind.__name__}\n\n{text}\n"
        for field, (annotation, metadata) in list_fields(kind).items():
            yield from define(field, [describe_type(annotation, metadata)], meanings.get(field, ""))
            todo += _find_records(annotation)


def _find_records(annotation: Any) -> list[Any]:
    inner = [one for part in typing.get_args(annotation) for one in _find_records(part)]
    is_record = list_fields(annotation) and annotation not in list_sections()
    return [annotation, *inner] if is_record else inner


_SPLIT_COLUMNS = {
    "split": "train, val or test.",
    "fold": "Fold of the cross-validation, from 0; −1 where there is none.",
    "group_id": "Images of one patient or cluster share it; a group is never split.",
    "cluster_id": "Near-duplicates share it.",
    "lung_mask_row": "Row of `lung_masks.npy`; −1 where there is no mask.",
    "lesion_mask_row": "Row of `lesion_masks.npy`; −1 where there is no mask.",
}


def _make_columns() -> Iterator[str]:
    from cxresnet.data.decode.processing_traces import ProcessingTraces
    from cxresnet.data.decode.record import FileFacts
    from cxresnet.data.manifest import MANIFEST_COLUMNS, ImageRecord

    meanings: dict[str, str] = {}
    for kind in (ImageRecord, FileFacts, ProcessingTraces):
        meanings |= read_docstring(kind)[1]
    for name, stored in MANIFEST_COLUMNS.items():
        words = {"str": "text", "int64": "whole number", "float64": "number"}
        yield from define(name, [words[stored]], (meanings | _SPLIT_COLUMNS)[name])


def _make_run() -> Iterator[str]:
    from cxresnet.core.run_folder import RunFolder

    folder = RunFolder(Path("RUN"))
    for name, part in vars(RunFolder).items():
        if isinstance(part, property):
            yield from define(getattr(folder, name).as_posix(), [], inspect.getdoc(part) or "")


def _make_exits() -> Iterator[str]:
    from cxresnet.cli.app import run_command_line

    text = (inspect.getdoc(run_command_line) or "").partition("Returns:")[2]
    for part in " ".join(text.split()).rstrip(".").split(";"):
        code, _, meaning = part.strip().partition(" ")
        yield from define(code, [], f"{(meaning or 'it worked').capitalize()}.")


def _make_errors() -> Iterator[str]:
    from cxresnet.core import errors

    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.CXResnetError):
            base = kind.__bases__[0].__name__
            details = (f"exit code {kind.exit_code}", "" if base == "Exception" else f"a `{base}`")
            yield from define(name, details, read_docstring(kind)[0])


def _make_rejections() -> Iterator[str]:
    found: dict[str, set[str]] = {}
    for room in ("api", "core", "data", "predict"):
        for path in (ROOT / "src" / "cxresnet" / room).rglob("*.py"):
            for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(function, ast.FunctionDef):
                    for code, reason in find_reasons(function, with_tuples="sources" in path.parts):
                        found.setdefault(code, set()).add(reason)
    for code, reasons in sorted(found.items()):
        several = [f"- {reason}" for reason in sorted(filter(None, reasons))]
        text = "\n    ".join(several) if len(several) > 1 else "".join(several).removeprefix("- ")
        yield from define(code, [], text or "The sentence says what.", anchor=code)


MAKERS: dict[str, Callable[..., Iterator[str]]] = {
    name.removeprefix("_make_"): maker
    for name, maker in list(globals().items())
    if name.startswith("_make_")
}
