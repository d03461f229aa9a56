"""The words of our own that the field's terms replaced stay away: `docs/reference/glossary.md`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

REPLACED = {
    r"films?": "image",
    r"(the|one|common|same|its|their|a|network's) roads?": "preprocessing pipeline",
    r"betray\w*": "predicts, leaks",
    r"learnt numbers": "parameters",
    r"likeness(es)?": "similarity",
    r"(draw|drawn|drew|drawing) (patients |groups )?again": "resample",
    r"(rules?|baseline|forest|classifier) without (lungs|a lung)": "shortcut baseline",
    r"stor(y|ies)": "text summary",
    r"insights?": "zone means, explanation summary",
    r"judged?|judges|judging": "evaluated",
    r"settled?|settles": "chosen on validation",
    r"ledgers?": "access log",
    r"(?<!origin-)openers?": "access request",  # not the header Cross-Origin-Opener-Policy
    r"sealed test": "held-out test set",
    r"(un)?surest": "most confident, least confident",
    r"lonely": "single-source class",
    r"(?<!deep )lifts?": "difference from the best baseline",
    r"(?<!false )alarms?": "red flag",
    r"(forest|file|source|record|thumbnail|border) tells": "predicts",
    r"nobody (says|said|knows|asked|can tell)": "is not recorded",
    r"cannot tell": "abstains",
    r"(network|networks|model|run) (is|are|was|were) asked": "predicts",
    r"asking (the )?(network|networks|data)": "running inference, auditing",
    r"shines": "performs well",
    r"ran away": "diverged",
    r"right by a hair": "correct, low confidence",
    r"strangers": "unrelated pairs",
    r"trust cards?": "sanity card",
    r"rules? (that|which) cannot know": "shortcut baseline",
    r"at home": "internal",
    r"from elsewhere": "external",
    r"covers apart": "range between baselines",
    r"source oracle": "class-source confounding",
}

ALLOWED = {
    # Names of files, keys and options of version 0.1, which are still read or explained.
    "src/cxresnet/core/config/config.py",
    "src/cxresnet/model/checkpoint.py",
    # The record of what was tried speaks of what things were called then.
    "docs/experiments.md",
}
EARLIER_NAMES = re.compile(
    r"#.*earlier name|_EARLIER|EARLIER_|films/|\"films\"|seed|generator\(", re.I
)


def _find_files() -> list[Path]:
    """All texts that a reader or user meets: code, templates, documents, configs."""
    texts = [
        *(ROOT / "src").rglob("*.py"),
        *(ROOT / "src").rglob("*.j2"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "src").rglob("*.toml"),
        *ROOT.glob("*.md"),
    ]
    return sorted(path for path in texts if str(path.relative_to(ROOT)) not in ALLOWED)


def _find_replaced(text: str) -> list[str]:
    """Name every replaced word of a text with its line; identifiers count word by word."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if EARLIER_NAMES.search(line):
            continue
        words = re.sub(r"_+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", line)).lower()
        found += [
            f"line {number}: '{hit[0]}' → {better}"
            for pattern, better in REPLACED.items()
            if (hit := re.search(rf"\b({pattern})\b", words))
        ]
    return found


@pytest.mark.parametrize("path", _find_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_text_speaks_the_language_of_the_field(path: Path) -> None:
    assert not _find_replaced(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "line",
    [
        "def open_film(path):",
        "class FilmSet:",
        "It takes the common road.",
        "Drawing patients again",
        "judged_images = 3",
        "A random forest tells the class; the file tells covid-19.",
        "It is known of no film.",
        "the weights ran away",
    ],
)
def test_a_replaced_word_is_found(line: str) -> None:
    assert _find_replaced(line)


@pytest.mark.parametrize(
    "line",
    ["The image cannot be read.", "a broad road map is none", "class ImageSet:", "filmography"],
)
def test_a_word_of_the_field_is_left_alone(line: str) -> None:
    assert not _find_replaced(line)


def test_every_module_that_the_glossary_names_is_there() -> None:
    text = (ROOT / "docs/reference/glossary.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([a-z_/]+(?:\.py|/))`", text):
        found = (ROOT / "src/cxresnet" / name).exists() or (ROOT / name).exists()
        assert found, f"{name} is named in the glossary, but not there"


def test_no_two_classes_have_one_name() -> None:
    names: dict[str, list[str]] = {}
    for path in (ROOT / "src").rglob("*.py"):
        for name in re.findall(r"^class ([A-Z]\w+)", path.read_text(encoding="utf-8"), re.M):
            names.setdefault(name, []).append(path.stem)
    assert not {name: where for name, where in names.items() if len(where) > 1}
