"""What the code says of itself: docstrings, fields and types, in plain words."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import itertools
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from griffe import Docstring, DocstringSectionKind


def read_docstring(thing: object) -> tuple[str, dict[str, str]]:
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


def describe_type(kind: Any, metadata: Sequence[Any] = ()) -> str:
    """Describe a type in plain words, with its limits, as in "whole number, 16 to 2048"."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return describe_type(arguments[0], (*arguments[1:], *metadata))
    if origin is typing.Literal:
        text = ", ".join(f"`{json.dumps(one)}`" for one in arguments)
    elif origin in (typing.Union, types.UnionType):
        text = " or ".join(describe_type(one) for one in arguments if one is not types.NoneType)
    elif origin in (tuple, list):
        text = f"list of {describe_type(arguments[0])}"
    elif origin in (dict, Mapping):
        text = f"table of {describe_type(arguments[1])}"
    elif kind in list_sections():
        text = f"[{list_sections()[kind]}](config.md#{list_sections()[kind]}) of the config"
    elif list_fields(kind):
        text = f"[{kind.__name__}](#{kind.__name__.lower()})"
    else:
        text = _PLAIN.get(kind, "any value")
    return ", ".join(filter(None, (text, _describe_limits(metadata))))


@functools.cache
def list_sections() -> dict[Any, str]:
    """List the sections of the config, with their names."""
    from cxresnet.core.config import Config

    return {kind: name for name, (kind, _) in list_fields(Config).items()}


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


def list_fields(kind: Any) -> dict[str, tuple[Any, Sequence[Any]]]:
    """List the fields of a record, each with its type and its limits."""
    if hasattr(kind, "model_fields"):
        return {name: (one.annotation, one.metadata) for name, one in kind.model_fields.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        return {one.name: (hints[one.name], ()) for one in dataclasses.fields(kind)}
    return {}


def define(name: str, details: Sequence[str], text: str, *, anchor: str = "") -> Iterator[str]:
    """Write one entry of a list of definitions."""
    mark = f"{{ #{anchor} }}" if anchor else ""
    yield f"`{name}`{mark} {' · '.join(('', *filter(None, details))).strip()}".rstrip()
    yield f":   {text or 'Not described.'}\n"


# Sentences in the source.


_WITH_A_CODE = {"ImageError", "GateVerdict"}


def find_reasons(function: ast.FunctionDef, *, with_tuples: bool) -> Iterator[tuple[str, str]]:
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
