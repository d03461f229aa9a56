"""What the reference says: commands, config keys, records and errors, read from the code.

Each `_make_NAME` gives the lines that replace a comment `<!-- make: NAME … -->` of a page.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import json
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from describe import define, describe_type, list_fields, list_sections, read_docstring

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
                yield f"```text\n{inspect.cleandoc(command.epilog)}\n```\n"


def _describe_parameters(command: Any, context: Any) -> Iterator[str]:
    panels: dict[str, list[Any]] = {}
    for parameter in command.get_params(context):
        default = "Arguments" if parameter.param_type_name == "argument" else "Options"
        title = getattr(parameter, "rich_help_panel", None) or default
        panels.setdefault(title, []).append(parameter)
    for title, parameters in panels.items():
        yield f"**{title}**\n"
        for parameter in parameters:
            record = parameter.get_help_record(context)
            if record is not None:
                text, _, extra = record[1].partition("  [")
                name = re.sub(r" ?<[^>]*>", "", record[0]) if title == "Arguments" else record[0]
                name = re.sub(
                    r"<(?:list\[)?(\w+)\]?>",
                    lambda kind: _NAMES.get(kind[1], kind[1].upper()),
                    name,
                )
                yield from define(name, [extra.rstrip("]")], text.replace("<", "&lt;"))


_NAMES = {"str": "TEXT", "int": "NUMBER", "float": "NUMBER"}


def _make_config() -> Iterator[str]:
    for kind, name in list_sections().items():
        yield from _describe_section(name, kind)


def _make_configs() -> Iterator[str]:
    for path in sorted(
        [*ROOT.glob("configs/*.toml"), *ROOT.glob("src/cxresnet/core/config/ready/*.toml")]
    ):
        lines = itertools.takewhile(
            lambda line: line.startswith("#"), path.read_text("utf-8").splitlines()
        )
        text = " ".join(line.removeprefix("#").strip() for line in lines)
        yield from define(path.stem, [], re.split(r"(?<=\.) ", text)[0])


def _describe_section(section: str, kind: Any) -> Iterator[str]:
    text, meanings = read_docstring(kind)
    yield f"## [{section}] {{ #{section} }}\n\n{text}\n"
    nested = []
    for name, (annotation, metadata, default) in list_fields(kind).items():
        if list_fields(annotation):
            nested.append((f"{section}.{name}", annotation))
            continue
        shown = "" if default is None else f"default `{json.dumps(default, ensure_ascii=False)}`"
        details = (describe_type(annotation, metadata), shown)
        yield from define(name, details, meanings.get(name, ""), anchor=f"{section}.{name}")
    for name, annotation in nested:
        yield from _describe_section(name, annotation)


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
        for field, (annotation, metadata, _) in list_fields(kind).items():
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
    from cxresnet.data.decode.pool import FileFacts
    from cxresnet.data.decode.processing_traces import ProcessingTraces
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
                    for code, reason in _find_reasons(
                        function, with_tuples="sources" in path.parts
                    ):
                        found.setdefault(code, set()).add(reason)
    for code, reasons in sorted(found.items()):
        several = [f"- {reason}" for reason in sorted(filter(None, reasons))]
        text = "\n    ".join(several) if len(several) > 1 else "".join(several).removeprefix("- ")
        yield from define(code, [], text or "The sentence says what.", anchor=code)


_WITH_A_CODE = {"ImageError", "GateVerdict"}


def _find_reasons(function: ast.FunctionDef, *, with_tuples: bool) -> Iterator[tuple[str, str]]:
    """Find each code that stands before a sentence: in a call, or in a pair beside it."""
    nodes = list(ast.walk(function))
    known = {
        node.targets[0].id: node.value
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in nodes:
        parts: list[ast.expr] = []
        is_error = isinstance(node, ast.Call) and ast.unparse(node.func) in _WITH_A_CODE
        if isinstance(node, ast.Call):
            named = {one.arg: one.value for one in node.keywords}
            parts = [*node.args, *(named[name] for name in ("code", "reason") if name in named)]
        elif isinstance(node, ast.Tuple) and with_tuples:
            parts = node.elts
        for first, second in itertools.pairwise(parts):
            texts = [one for one in _read_texts(second, known) if re.search(r"\w \w", one)]
            reasons = [" ".join(one.split()).replace("<", "&lt;") for one in texts]
            for code in _read_texts(first, known):
                if re.fullmatch(r"[a-z]+(-[a-z]+)*", code):
                    yield from ((code, one) for one in reasons or [""] * is_error)


def _read_texts(node: ast.expr, known: dict[str, ast.expr]) -> list[str]:
    """Read what a text of the source may be; what it fills in is shown as "…"."""
    if isinstance(node, ast.Name) and node.id in known and not isinstance(known[node.id], ast.Name):
        return _read_texts(known[node.id], {})
    if isinstance(node, ast.IfExp):
        return [*_read_texts(node.body, known), *_read_texts(node.orelse, known)]
    if isinstance(node, ast.JoinedStr):
        return [
            "".join(
                str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
            )
        ]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


MAKERS: dict[str, Callable[..., Iterator[str]]] = {
    name.removeprefix("_make_"): maker
    for name, maker in list(globals().items())
    if name.startswith("_make_")
}
