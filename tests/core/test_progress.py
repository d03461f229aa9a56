from __future__ import annotations

from collections.abc import Iterator

import pytest

from cxresnet.core.progress import reporting_to, track


class _Notebook:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def start(self, description: str, total: int | None) -> object:
        self.lines.append(f"start {description} {total}")
        return description

    def advance(self, handle: object, count: int) -> None:
        self.lines.append(f"+{count}")

    def finish(self, handle: object) -> None:
        self.lines.append("finish")


def test_items_pass_through_unchanged_without_a_reporter() -> None:
    assert list(track("abc", "Letters")) == ["a", "b", "c"]


def test_every_item_is_reported_after_it_is_done() -> None:
    notebook = _Notebook()
    with reporting_to(notebook):
        for item in track([1, 2], "Numbers"):
            notebook.lines.append(f"work {item}")
    expected = ["start Numbers 2", "work 1", "+1", "work 2", "+1", "finish"]
    assert notebook.lines == expected


def test_a_stream_of_unknown_length_says_so() -> None:
    notebook = _Notebook()

    def stream() -> Iterator[int]:
        yield 1

    with reporting_to(notebook):
        list(track(stream(), "Stream"))
    assert notebook.lines[0] == "start Stream None"


def test_the_bar_ends_also_after_an_error_and_the_reporter_is_gone() -> None:
    notebook = _Notebook()

    def break_off() -> None:
        with reporting_to(notebook):
            for _ in track([1, 2], "Numbers"):
                raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert notebook.lines[-1] == "finish"
    list(track([1], "Later"))
    assert "start Later 1" not in notebook.lines
