"""Appendix: every value of metrics.json, so that folding and choosing lose nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cxresnet.evaluate.record import Evaluation
from cxresnet.metrics.estimate import Estimate, format_estimate
from cxresnet.report.registry import register_section

_LABELS = ("class_name", "title", "name", "rule", "source", "number")
_ESTIMATE = {"value", "low", "high", "n", "groups", "reason"}


@dataclass(frozen=True)
class ValueRow:
    """One value: where it lies in metrics.json, and what it is."""

    name: str
    text: str


@dataclass(frozen=True)
class ValueGroup:
    """The values below one key of metrics.json."""

    name: str
    rows: tuple[ValueRow, ...]


@dataclass(frozen=True)
class AppendixView:
    """What the template shows."""

    groups: tuple[ValueGroup, ...]
    values: int


@register_section(
    "appendix",
    title="Appendix: every number",
    short_title="Appendix",
    order=150,
    needs=("evaluation",),
)
def build_appendix_view(evaluation: Evaluation) -> AppendixView:
    """List every value of the evaluation by its key."""
    groups = tuple(
        ValueGroup(_name(key), tuple(_list_values(value)))
        for key, value in evaluation.model_dump().items()
        if value not in (None, "", ())
    )
    return AppendixView(groups, sum(len(group.rows) for group in groups))


def _list_values(value: object, *path: str) -> Iterator[ValueRow]:
    """List the leaves of a nested value; an estimate and a list of plain values are one leaf."""
    if isinstance(value, Mapping) and set(value) != _ESTIMATE:
        for key, part in value.items():
            yield from _list_values(part, *path, _name(key))
    elif isinstance(value, list | tuple) and any(_is_nested(part) for part in value):
        for number, part in enumerate(value, start=1):
            yield from _list_values(part, *path, _find_label(part, number))
    else:
        yield ValueRow(" / ".join(path), _show(value))


def _is_nested(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _find_label(value: object, number: int) -> str:
    """Find what an element of a list is called; its place where it has no name."""
    if isinstance(value, Mapping):
        for label in _LABELS:
            if value.get(label) not in (None, ""):
                return str(value[label])
    return str(number)


def _show(value: object) -> str:
    if isinstance(value, Mapping):
        return _show_estimate(Estimate(**value))
    if isinstance(value, list | tuple):
        return ", ".join(map(_show, value)) or "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "–" if value in (None, "") else str(value)


def _show_estimate(estimate: Estimate) -> str:
    shown = format_estimate(estimate, digits=4, with_count=True)
    if estimate.value is None:
        shown += f" (n = {estimate.n})"
    return f"{shown}, {estimate.groups} groups. {estimate.reason}".rstrip(" .")


def _name(key: object) -> str:
    return str(key).replace("_", " ")
