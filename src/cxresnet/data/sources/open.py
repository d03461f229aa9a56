"""What the user named as SOURCE, opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxresnet.core.classes import build_class_map
from cxresnet.core.errors import SourceError
from cxresnet.data.sources.class_folders import ClassFoldersSource
from cxresnet.data.sources.phantom import PhantomSource, parse_phantom_settings
from cxresnet.data.sources.source import AbstractSource

__all__ = ["SourceOptions", "open_source"]


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How to read a source.

    Attributes:
        class_table: From class to the folders or labels that mean it, as of `parse_class_table`.
        use_manifest: Take what a `manifest.csv` beside the films says.
        recipe: Name of a known layout; None: tell by the look of it.
    """

    class_table: Mapping[str, Sequence[str]] | None = None
    use_manifest: bool = True
    recipe: str | None = None


def open_source(texts: str | Sequence[str], options: SourceOptions | None = None) -> AbstractSource:
    """Open the films that the user named.

    Args:
        texts: One or several; several are joined.
        options: How to read them.

    Raises:
        SourceError: There is nothing of that name, or it is of no kind that we read.
    """
    options = options or SourceOptions()
    text = texts if isinstance(texts, str) else texts[0]
    if text == "phantoms" or text.startswith("phantoms:"):
        return PhantomSource(parse_phantom_settings(text.partition(":")[2]))
    path = Path(text).expanduser()
    if not path.is_dir():
        raise SourceError(f"There is no folder '{text}'.")
    return ClassFoldersSource(
        path, build_class_map(options.class_table), use_manifest=options.use_manifest
    )
