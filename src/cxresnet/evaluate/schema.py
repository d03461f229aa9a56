"""The JSON schema of `metrics.json`, made of the records and of what their docstrings say."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from cxresnet.evaluate.record import Evaluation
from cxresnet.metrics.calibration_noise import CalibrationNoise
from cxresnet.metrics.estimate import Estimate

__all__ = ["build_metrics_schema", "format_metrics_schema"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TITLE = "metrics.json of CXResnet"


def build_metrics_schema() -> dict[str, Any]:
    """Build the schema (JSON Schema 2020-12); every key says what it is."""
    schema = Evaluation.model_json_schema(mode="serialization")
    definitions = schema["$defs"]
    for kind in (Evaluation, *_list_kinds(Evaluation, set())):
        target = schema if kind is Evaluation else definitions.get(kind.__name__)
        if target is not None:
            _describe(target, kind)
    return {"$schema": _DIALECT, **schema, "title": _TITLE}


def format_metrics_schema() -> str:
    """Write the schema out as it stands in `docs/reference/metrics.schema.json`."""
    return json.dumps(build_metrics_schema(), indent=2, ensure_ascii=False) + "\n"


def _list_kinds(kind: type, seen: set[type]) -> Iterator[type]:
    """List the records that a record is made of, however deep."""
    for part in _find_types(kind):
        if part not in seen:
            seen.add(part)
            yield part
            yield from _list_kinds(part, seen)


def _find_types(kind: type) -> Iterator[type]:
    fields = kind.model_fields.values() if issubclass(kind, BaseModel) else ()
    for field in fields:
        yield from _unpack(field.annotation)


def _unpack(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type) and (
        issubclass(annotation, BaseModel) or annotation in {Estimate, CalibrationNoise}
    ):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _unpack(argument)


def _describe(target: dict[str, Any], kind: type) -> None:
    """Move each sentence of the docstring to the key that it is about."""
    docstring = inspect.getdoc(kind) or ""
    summary, _, attributes = docstring.partition("Attributes:\n")
    target["description"] = " ".join(summary.split())
    for name, text in _read_attributes(attributes):
        if name in target.get("properties", {}):
            target["properties"][name]["description"] = text


def _read_attributes(text: str) -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"^    (\w+): (.*(?:\n     .*)*)", text, flags=re.MULTILINE):
        yield found[1], " ".join(found[2].split())
