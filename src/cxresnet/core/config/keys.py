"""What each key of the config does, may be and is by default; and a config as TOML.

Everything is read from the sections themselves, so that it cannot differ from them: defaults and
ranges from their fields, effects from the attributes in their docstrings.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic import BaseModel

from cxresnet.core.config.config import RENAMED_KEYS, Config
from cxresnet.core.errors import ConfigError

UNSET = "as the preset says"
"""The default of a key that takes the value of a preset."""


@dataclass(frozen=True)
class ConfigKey:
    """One key of the config.

    Attributes:
        name: With its section, for example "train.epochs".
        default: As it would stand in a TOML file.
        allowed: Which values it may have, in words.
        effect: What it does.
    """

    name: str
    default: str
    allowed: str
    effect: str

    @property
    def section(self) -> str:
        """The section, for example "train" or "train.augment"."""
        return self.name.rpartition(".")[0]

    @property
    def short_name(self) -> str:
        """The name without its section, for example "epochs"."""
        return self.name.rpartition(".")[2]


def list_config_keys() -> tuple[ConfigKey, ...]:
    """List every key, section by section."""
    schema = Config.model_json_schema()
    return tuple(_list_section(Config, schema, schema["$defs"], prefix=""))


def list_config_sections() -> dict[str, str]:
    """List the sections: from name to what it holds."""
    return dict(_list_sections(Config, prefix=""))


def find_config_keys(name: str) -> tuple[ConfigKey, ...]:
    """Find a key, or the keys of a section.

    Args:
        name: For example "train.epochs"; "epochs" if only one section has it; "train".

    Raises:
        ConfigError: There is none of that name.
    """
    keys = list_config_keys()
    name = RENAMED_KEYS.get(name, name)
    found = tuple(key for key in keys if f"{key.name}.".startswith(f"{name}."))
    found = found or tuple(key for key in keys if key.name.endswith(f".{name}"))
    if found:
        return found
    typed = {short: key.name for key in keys for short in (key.short_name, key.name)}
    close = difflib.get_close_matches(name, typed, n=1, cutoff=0.75)
    hint = f" Did you mean '{typed[close[0]]}'?" if close else ""
    raise ConfigError(
        f"There is no config key '{name}'.{hint} 'cxresnet config explain' lists all keys."
    )


def format_config_toml(config: BaseModel, *, prefix: str = "") -> str:
    """Format every value of a config as TOML; what is unset stands as a comment."""
    lines, sections = [], []
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            inner = f"{prefix}{name}"
            sections.append(f"[{inner}]\n{format_config_toml(value, prefix=f'{inner}.')}")
        elif value is None:
            lines.append(f"# {name}: {UNSET}")
        else:
            lines.append(f"{name} = {format_toml_value(value)}")
    return "\n".join([*lines, *([""] if lines else []), *sections])


def format_commented_toml(config: Config, names: Sequence[str]) -> str:
    """Format some keys of a config as TOML, each below what it does and which values it may have.

    Args:
        config: Of the values.
        names: Keys such as "train.epochs", those of one section together.
    """
    known = {key.name: key for key in list_config_keys()}
    lines: list[str] = []
    for section, keys in groupby((known[name] for name in names), key=lambda key: key.section):
        lines.append(f"\n[{section}]")
        for key in keys:
            text = key.effect if key.allowed == "text" else f"{key.effect} Allowed: {key.allowed}."
            lines += textwrap.wrap(text, 88, initial_indent="# ", subsequent_indent="# ")
            value = functools.reduce(getattr, key.name.split("."), config)
            lines.append(f"{key.short_name} = {format_toml_value(value)}")
    return "\n".join(lines).lstrip()


def format_toml_value(value: object) -> str:
    """Format a value as TOML.

    >>> format_toml_value((True, "a", {"b": 0.5}))
    '[true, "a", {"b" = 0.5}]'
    """
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(key)} = {format_toml_value(one)}" for key, one in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(format_toml_value(one) for one in value)}]"
    return json.dumps(value, ensure_ascii=False)


def _list_section(
    section: type[BaseModel],
    schema: Mapping[str, Any],
    definitions: Mapping[str, Any],
    *,
    prefix: str,
) -> Iterator[ConfigKey]:
    effects = _read_effects(section)
    inner = []
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            inner.append((name, field.annotation))
            continue
        default = field.get_default(call_default_factory=True)
        yield ConfigKey(
            name=f"{prefix}{name}",
            default=UNSET if default is None else format_toml_value(default),
            allowed=_describe_values(schema["properties"][name]),
            effect=effects.get(name, ""),
        )
    for name, kind in inner:
        yield from _list_section(
            kind, definitions[kind.__name__], definitions, prefix=f"{prefix}{name}."
        )


def _list_sections(section: type[BaseModel], *, prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            text, _, _ = (inspect.getdoc(field.annotation) or "").partition("Attributes:\n")
            yield f"{prefix}{name}", " ".join(text.split())
            yield from _list_sections(field.annotation, prefix=f"{prefix}{name}.")


def _read_effects(section: type[BaseModel]) -> dict[str, str]:
    """Read the attributes of a docstring in Google's style, by name."""
    _, _, block = (inspect.getdoc(section) or "").partition("Attributes:\n")
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", block, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _describe_values(schema: Mapping[str, Any]) -> str:
    """Describe in words what a JSON schema allows."""
    if "anyOf" in schema:
        shown = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(_describe_values(one) for one in shown)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        *most, last = map(json.dumps, schema["enum"])
        return f"{', '.join(most)} or {last}"
    kind = schema["type"]
    if kind == "array":
        return f"a list{_describe_length(schema)}; each entry: {_describe_values(schema['items'])}"
    if kind == "object":
        return f"a table of names; each value: {_describe_values(schema['additionalProperties'])}"
    words = {
        "boolean": "true or false",
        "string": "text",
        "integer": "a whole number",
        "number": "a number",
    }
    return f"{words[kind]}{_describe_bounds(schema)}"


def _describe_length(schema: Mapping[str, Any]) -> str:
    """Describe how many entries a list may have; "" for any number."""
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    if most is not None:
        return f" of {least} to {most} entries"
    if least:
        return f" of at least {least} {'entry' if least == 1 else 'entries'}"
    return ""


def _describe_bounds(schema: Mapping[str, Any]) -> str:
    bounds = (
        ("minimum", "at least"),
        ("exclusiveMinimum", "above"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "below"),
    )
    shown = [f"{words} {schema[name]:,}" for name, words in bounds if name in schema]
    return f", {' and '.join(shown)}" if shown else ""
