"""From the path in a table to the file that is meant."""

from __future__ import annotations

import posixpath
from functools import cached_property

from cxresnet.core.classes import ClassMap
from cxresnet.core.errors import FilmError
from cxresnet.data.sources.layout import find_mask_kind, is_film_name
from cxresnet.data.sources.safe_path import make_printable, normalise_path
from cxresnet.data.sources.store import AbstractStore

__all__ = ["FilmFinder"]


class FilmFinder:
    """Finds files by path; and films by a bare name, wherever below the folder they lie."""

    def __init__(self, store: AbstractStore, class_map: ClassMap, *, base: str) -> None:
        """Keep where to look.

        Args:
            store: With the files.
            class_map: A folder of masks may have the name of a class; then it holds films.
            base: Folder in the store that paths are relative to; "" for the top.
        """
        self.store = store
        self.class_map = class_map
        self.base = base

    def find_file(self, path: str) -> str:
        """Find the member at a path; "" if there is none.

        Raises:
            UnsafePathError: The path leads out of the table's folder.
        """
        return self.store.find_member(posixpath.join(self.base, normalise_path(path)))

    def find_film(self, path: str) -> str:
        """Find the film that a path or a bare name means, with or without its ending.

        Raises:
            FilmError: "missing", or "ambiguous-name" if several films have this name.
            UnsafePathError: The path leads out of the table's folder.
        """
        member = self.find_file(path)
        if member:
            return member
        shown = make_printable(path)
        found = () if "/" in normalise_path(path) else self._by_name.get(path.strip(), ())
        if not found:
            raise FilmError("missing", f"There is no file '{shown}' in the folder of the table.")
        if len(found) > 1:
            raise FilmError(
                "ambiguous-name",
                f"{len(found)} files are called '{shown}', for example '{found[0]}' and "
                f"'{found[1]}'. Write the path in the table.",
            )
        return found[0]

    @cached_property
    def _by_name(self) -> dict[str, tuple[str, ...]]:
        """Every film below the folder, by its name and by its name without the ending."""
        found: dict[str, tuple[str, ...]] = {}
        for member in self.store.list_members().members:
            if is_film_name(member) and not find_mask_kind(member, self.class_map):
                name = posixpath.basename(member)
                for key in {name, posixpath.splitext(name)[0]}:
                    found[key] = (*found.get(key, ()), member)
        return found
