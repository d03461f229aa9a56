"""No value of metrics.json is lost on the page."""

from __future__ import annotations

from collections.abc import Iterator

from cxresnet.evaluate.record import Evaluation
from cxresnet.report.sections.appendix import build_appendix_view


def _list_leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _list_leaves(part)
    elif value not in (None, ""):
        yield value


def test_every_value_of_the_metrics_is_shown(evaluation: Evaluation) -> None:
    view = build_appendix_view(evaluation)
    text = " ".join(row.text for group in view.groups for row in group.rows)
    for leaf in _list_leaves(evaluation.model_dump()):
        shown = f"{leaf:.6g}" if isinstance(leaf, float) else str(leaf)
        assert shown in text
    assert view.values == sum(len(group.rows) for group in view.groups)


def test_a_row_is_named_by_what_it_belongs_to(evaluation: Evaluation) -> None:
    groups = {group.name: group.rows for group in build_appendix_view(evaluation).groups}
    rows = {row.name: row.text for row in groups["classes"]}
    assert rows["normal / sensitivity"] == "0.8000 (0.7000–0.9000, n = 1234), 17 groups"
    assert rows["normal / ppv"] == "– (n = 1234), 17 groups"
    assert rows["normal / roc / thresholds"] == "–, 0.5, 0"
    assert {row.name: row.text for row in groups["confusion"]}["1"] == "30, 8, 2"
