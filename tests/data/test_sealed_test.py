from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from cxresnet.core.errors import DatasetError
from cxresnet.data.safe_csv import write_safe_csv
from cxresnet.data.sealed_test import (
    Opener,
    Opening,
    find_broken_links,
    log_opening,
    read_ledger,
    start_ledger,
)


def _open(reason: str) -> Opener:
    return Opener(reason=reason, run="=first\nrun", network="ef" * 32, config="cd" * 32)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = start_ledger(tmp_path / "test_openings.csv")
    for reason in ("evaluate run 1", "=evaluate\nrun 2", "third"):
        log_opening(path, _open(reason), dataset_hash="ab" * 32)
    return path


def test_openings_are_counted_and_chained(ledger: Path) -> None:
    openings = read_ledger(ledger)
    assert [opening.number for opening in openings] == [1, 2, 3]
    assert openings[1].reason == "=evaluate run 2"
    assert (openings[1].run, openings[1].network) == ("=first run", "ef" * 32)
    assert {opening.config for opening in openings} == {"cd" * 32}
    assert openings[0].previous_hash == "0" * 64
    assert openings[2].previous_hash == openings[1].row_hash
    assert find_broken_links(openings) == []


@pytest.mark.parametrize(
    ("number", "damage", "message"),
    [
        (2, lambda line: line.replace("third", "first"), "Row 3 was changed"),
        (1, lambda line: line.replace("=first run", "other run"), "Row 2 was changed"),
        (0, lambda line: line.replace("cdcd", "abab", 1), "Row 1 was changed"),
        (1, lambda line: "", "Row 2 does not follow"),
        (0, lambda line: "", "Row 1 does not follow"),
    ],
)
def test_a_changed_or_missing_row_breaks_the_chain_and_keeps_the_seal(
    ledger: Path, number: int, damage: object, message: str
) -> None:
    lines = ledger.read_text().splitlines(keepends=True)
    lines[number + 1] = damage(lines[number + 1])  # type: ignore[operator]
    ledger.write_text("".join(lines))
    assert any(message in problem for problem in find_broken_links(read_ledger(ledger)))
    with pytest.raises(DatasetError, match="ledger of test openings was altered"):
        log_opening(ledger, _open("once more"), dataset_hash="ab" * 32)


def _pick(columns: list[str], change: str) -> list[str]:
    return {
        "one is missing": columns[:-1],
        "one is more": [*columns, "signature"],
        "another order": columns[::-1],
    }[change]


@pytest.mark.parametrize("change", ["one is missing", "one is more", "another order"])
def test_a_table_of_other_columns_is_no_ledger_that_was_never_opened(
    tmp_path: Path, change: str
) -> None:
    path = tmp_path / "test_openings.csv"
    columns = [field.name for field in fields(Opening)]
    write_safe_csv(path, columns, [])
    assert read_ledger(path) == ()
    write_safe_csv(path, _pick(columns, change), [])
    with pytest.raises(DatasetError, match="nobody knows how often the test split was opened"):
        read_ledger(path)


@pytest.mark.parametrize(
    "content", [None, b"", b"\xff\xfe", b'"number"\n1\n', b"number\nx\n", b"gone"]
)
def test_a_ledger_that_is_gone_or_none_is_told(ledger: Path, content: bytes | None) -> None:
    if content is None:
        ledger.unlink()
    else:
        ledger.write_bytes(content)
    with pytest.raises(DatasetError, match="gone or cannot be read"):
        read_ledger(ledger)
