"""Finding the file that a path in a table means, however people and systems spell it."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Iterable
from functools import cached_property


class NameIndex:
    """Files by their paths in any spelling: upper or lower case, composed letters or not."""

    def __init__(self, members: Iterable[str]) -> None:
        """Keep what there is.

        Args:
            members: Paths with "/" between the parts.
        """
        self.members = tuple(members)

    def find(self, path: str, *, any_ending: bool = False) -> tuple[str, ...]:
        """Find the files that a path means: those spelled exactly so, else in any spelling.

        Args:
            path: With "/" between the parts.
            any_ending: Ask also without the ending of the file, where the path has none.
        """
        if path in self._exact:
            return (path,)
        found = self._spelled.get(fold_spelling(path), ())
        return found or (self._bare.get(fold_spelling(path), ()) if any_ending else ())

    @cached_property
    def _exact(self) -> frozenset[str]:
        return frozenset(self.members)

    @cached_property
    def _spelled(self) -> dict[str, tuple[str, ...]]:
        return group_spellings(self.members, self.members)

    @cached_property
    def _bare(self) -> dict[str, tuple[str, ...]]:
        return group_spellings(
            (posixpath.splitext(member)[0] for member in self.members), self.members
        )


def group_spellings(keys: Iterable[str], members: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Group members whose keys differ only in their spelling, under the folded key."""
    grouped: dict[str, list[str]] = {}
    for key, member in zip(keys, members, strict=True):
        grouped.setdefault(fold_spelling(key), []).append(member)
    return {key: tuple(found) for key, found in grouped.items()}


def fold_spelling(path: str) -> str:
    """Bring the spellings of one name to one text: lower case, letters composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
