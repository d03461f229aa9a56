"""The documents name what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "cxresnet"


def _find_table_paths() -> list[str]:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text[text.index("## Where is") : text.index("## Decisions")]
    return sorted(set(re.findall(r"`([a-z_/]+(?:\.py|/))`", table)))


@pytest.mark.parametrize("name", _find_table_paths())
def test_every_place_in_the_map_is_there(name: str) -> None:
    assert (SOURCE / name).exists() or (ROOT / name).exists()


def test_every_room_is_on_the_map() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for room in SOURCE.iterdir():
        if room.is_dir() and room.name != "__pycache__":
            assert re.search(rf"^{room.name} ", text, flags=re.MULTILINE), room.name


DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def _find_dead_links(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)[^)]*\)", text)
    return [target for target in targets if not (path.parent / target).exists()]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(path: Path) -> None:
    assert not _find_dead_links(path)


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](page.md#part) [b](gone.md) [c](https://gone.example/x) [d](#part)")
    assert _find_dead_links(page) == ["gone.md"]


def test_the_readme_says_what_it_must_not_be_used_for() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "Research and teaching only, not a medical device" in text
    assert "make demo" in text
    assert "make test" in text


def _find_named_tests() -> list[str]:
    text = (ROOT / "docs" / "reference" / "inputs.md").read_text(encoding="utf-8")
    names, last = set(), ""
    for file, function in re.findall(r"`([\w/]+\.py)?::(\w+)`", text):
        last = file or last
        names.add(f"{last}::{function}")
    return sorted(names)


@pytest.mark.parametrize("name", _find_named_tests())
def test_every_test_that_the_inputs_name_is_there(name: str) -> None:
    file, _, function = name.partition("::")
    places = [
        path
        for path in (ROOT / "tests").rglob(Path(file).name)
        if path.as_posix().endswith(f"/{file}")
    ]
    assert any(f"def {function}(" in path.read_text(encoding="utf-8") for path in places)
