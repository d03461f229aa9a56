"""What the reference says: commands, config keys, records and errors, read from the code.

Each `_make_NAME` gives the lines that replace a comment `<!-- make: NAME … -->` of a page.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from griffe import Docstring, DocstringSectionKind

ROOT = Path(__file__).parents[2]

# What the code says: docstrings and types.


def _read_docstring(thing: object) -> tuple[str, dict[str, str]]:
    """Read the text of a Google docstring, and what it says of each attribute."""
    sections = Docstring(inspect.getdoc(thing) or "").parse("google", warnings=False)
    text = "\n\n".join(one.value for one in sections if one.kind is DocstringSectionKind.text)
    attributes = {
        part.name: " ".join(part.description.split())
        for one in sections
        if one.kind is DocstringSectionKind.attributes
        for part in one.value
    }
    return text, attributes


_PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def _describe_type(kind: Any, metadata: Sequence[Any] = ()) -> str:
    """Describe a type in plain words, with its limits, as in "whole number, 16 to 2048"."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _describe_type(arguments[0], (*arguments[1:], *metadata))
    if origin is typing.Literal:
        text = ", ".join(f"`{json.dumps(one)}`" for one in arguments)
    elif origin in (typing.Union, types.UnionType):
        text = " or ".join(_describe_type(one) for one in arguments if one is not types.NoneType)
    elif origin in (tuple, list):
        text = f"list of {_describe_type(arguments[0])}"
    elif origin in (dict, Mapping):
        text = f"table of {_describe_type(arguments[1])}"
    elif _list_fields(kind):
        text = f"[{kind.__name__}](#{kind.__name__.lower()})"
    else:
        text = _PLAIN.get(kind, "any value")
    return ", ".join(filter(None, (text, _describe_limits(metadata))))


def _describe_limits(metadata: Sequence[Any]) -> str:
    limits = {
        name: getattr(one, name)
        for one in metadata
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length")
        if getattr(one, name, None) is not None
    }
    if "ge" in limits and "le" in limits:
        return f"{limits['ge']:,} to {limits['le']:,}"
    words = {
        "ge": "at least",
        "gt": "above",
        "le": "at most",
        "lt": "below",
        "min_length": "length at least",
        "max_length": "length at most",
    }
    return ", ".join(f"{word} {limits[name]:,}" for name, word in words.items() if name in limits)


def _list_fields(kind: Any) -> dict[str, tuple[Any, Sequence[Any], Any]]:
    """List the fields of a record: type, limits, default (`...` where it has none)."""
    if hasattr(kind, "model_fields"):
        return {
            name: (
                one.annotation,
                one.metadata,
                ... if one.is_required() else one.get_default(call_default_factory=True),
            )
            for name, one in kind.model_fields.items()
        }
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        return {one.name: (hints[one.name], (), ...) for one in dataclasses.fields(kind)}
    return {}


def _define(name: str, details: Sequence[str], text: str, *, anchor: str = "") -> Iterator[str]:
    """Write one entry of a list of definitions."""
    mark = f"{{ #{anchor} }}" if anchor else ""
    yield f"`{name}`{mark} {' · '.join(('', *filter(None, details))).strip()}".rstrip()
    yield f":   {text or 'Not described.'}\n"


# The makers: each gives the lines that replace `<!-- make: NAME … -->`.


def _make_commands() -> Iterator[str]:
    from typer.main import get_command

    from cxresnet.cli.app import app

    group = get_command(app)
    with group.make_context("cxresnet", [], resilient_parsing=True) as context:
        yield from _describe_parameters(group, context)
        for name, command in group.commands.items():
            with command.make_context(name, [], parent=context, resilient_parsing=True) as own:
                yield f"## cxresnet {name}\n\n{inspect.cleandoc(command.help or '')}\n"
                yield f"```text\n{command.get_usage(own).removeprefix('Usage: ')}\n```\n"
                yield from _describe_parameters(command, own)
                yield f"{command.epilog or ''}\n"


def _describe_parameters(command: Any, context: Any) -> Iterator[str]:
    panels: dict[str, list[Any]] = {}
    for parameter in command.get_params(context):
        default = "Arguments" if parameter.param_type_name == "argument" else "Options"
        panels.setdefault(getattr(parameter, "rich_help_panel", None) or default, []).append(
            parameter
        )
    for title, parameters in panels.items():
        yield f"**{title}**\n"
        for parameter in parameters:
            record = parameter.get_help_record(context)
            if record is not None:
                text, _, extra = record[1].partition("  [")
                yield from _define(record[0], [extra.rstrip("]")], text.replace("<", "&lt;"))


def _make_config() -> Iterator[str]:
    from cxresnet.core.config import Config

    for name, (kind, _, _) in _list_fields(Config).items():
        yield from _describe_section(name, kind)


def _describe_section(section: str, kind: Any) -> Iterator[str]:
    text, meanings = _read_docstring(kind)
    yield f"## [{section}] {{ #{section} }}\n\n{text}\n"
    nested = []
    for name, (annotation, metadata, default) in _list_fields(kind).items():
        if _list_fields(annotation):
            nested.append((f"{section}.{name}", annotation))
            continue
        shown = "" if default is None else f"default `{json.dumps(default, ensure_ascii=False)}`"
        details = (_describe_type(annotation, metadata), shown)
        yield from _define(name, details, meanings.get(name, ""), anchor=f"{section}.{name}")
    for name, annotation in nested:
        yield from _describe_section(name, annotation)


def _make_record(name: str, level: str = "3") -> Iterator[str]:
    module, _, attribute = name.rpartition(".")
    todo, done = [getattr(__import__(module, fromlist=[attribute]), attribute)], set()
    while todo:
        kind = todo.pop(0)
        if kind in done:
            continue
        done.add(kind)
        text, meanings = _read_docstring(kind)
        yield f"{'#' * int(level)} {kind.__name__}\n\n{text}\n"
        for field, (annotation, metadata, _) in _list_fields(kind).items():
            yield from _define(
                field, [_describe_type(annotation, metadata)], meanings.get(field, "")
            )
            todo += _find_records(annotation)


def _find_records(annotation: Any) -> list[Any]:
    inner = [one for part in typing.get_args(annotation) for one in _find_records(part)]
    return [annotation, *inner] if _list_fields(annotation) else inner


_SPLIT_COLUMNS = {
    "split": "train, val or test.",
    "fold": "Fold of the cross-validation, from 0; −1 where there is none.",
    "group_id": "Images of one patient or cluster share it; a group is never split.",
    "cluster_id": "Near-duplicates share it.",
    "lung_mask_row": "Row of `lung_masks.npy`; −1 where there is no mask.",
    "lesion_mask_row": "Row of `lesion_masks.npy`; −1 where there is no mask.",
}


def _make_columns() -> Iterator[str]:
    from cxresnet.data.decode.pool import FileFacts
    from cxresnet.data.decode.processing_traces import ProcessingTraces
    from cxresnet.data.manifest import MANIFEST_COLUMNS, ImageRecord

    meanings: dict[str, str] = {}
    for kind in (ImageRecord, FileFacts, ProcessingTraces):
        meanings |= _read_docstring(kind)[1]
    for name, kind in MANIFEST_COLUMNS.items():
        words = {"str": "text", "int64": "whole number", "float64": "number"}
        yield from _define(name, [words[kind]], (meanings | _SPLIT_COLUMNS)[name])


def _make_run() -> Iterator[str]:
    from cxresnet.core.run_folder import RunFolder

    folder = RunFolder(Path("RUN"))
    for name, part in vars(RunFolder).items():
        if isinstance(part, property):
            yield from _define(getattr(folder, name).as_posix(), [], inspect.getdoc(part) or "")


def _make_exits() -> Iterator[str]:
    from cxresnet.cli.app import run_command_line

    text = (inspect.getdoc(run_command_line) or "").partition("Returns:")[2]
    for part in " ".join(text.split()).rstrip(".").split(";"):
        code, _, meaning = part.strip().partition(" ")
        yield from _define(code, [], f"{(meaning or 'it worked').capitalize()}.")


def _make_errors() -> Iterator[str]:
    from cxresnet.core import errors

    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.CXResnetError):
            base = kind.__bases__[0].__name__
            details = (f"exit code {kind.exit_code}", "" if base == "Exception" else f"a `{base}`")
            yield from _define(name, details, _read_docstring(kind)[0])


def _make_rejections() -> Iterator[str]:
    found: dict[str, set[str]] = {}
    for room in ("api", "core", "data", "predict"):
        for path in (ROOT / "src" / "cxresnet" / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                for code, reason in _find_reasons(node, with_tuples="sources" in path.parts):
                    found.setdefault(code, set()).add(reason)
    for code, reasons in sorted(found.items()):
        yield from _define(code, [], "\n\n    ".join(sorted(reasons)), anchor=code)


def _find_reasons(node: ast.AST, *, with_tuples: bool) -> Iterator[tuple[str, str]]:
    """Find a code that stands before a sentence, in a call or beside it."""
    parts: list[ast.expr] = []
    if isinstance(node, ast.Call):
        named = {one.arg: one.value for one in node.keywords}
        parts = [
            *node.args,
            *(named[name] for name in ("code", "reason") if {"code", "reason"} <= set(named)),
        ]
    elif isinstance(node, ast.Tuple) and with_tuples:
        parts = node.elts
    for first, second in itertools.pairwise(parts):
        code, reason = _read_text(first), " ".join(_read_text(second).split())
        if re.fullmatch(r"[a-z]+(-[a-z]+)*", code) and " " in reason:
            yield code, reason.replace("<", "&lt;")


def _read_text(node: ast.expr) -> str:
    """Read a text of the source; what it fills in is shown as "…"."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_read_text(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "…"
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


MAKERS: dict[str, Callable[..., Iterator[str]]] = {
    name.removeprefix("_make_"): maker
    for name, maker in list(globals().items())
    if name.startswith("_make_")
}
