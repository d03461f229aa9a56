"""What the user said about the source: the config's section, and the flags over it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxresnet.core.classes import parse_class_table
from cxresnet.core.config import SourceConfig

if TYPE_CHECKING:
    from cxresnet.data.sources.source import AbstractSource

__all__ = ["open_films"]


def open_films(
    source: Sequence[str],
    config: SourceConfig,
    *,
    classes: str | None,
    columns: str | None,
    labels: Path | None,
    manifest: bool | None,
    recipe: str | None,
    outside: bool,
) -> AbstractSource:
    """Open what the user named as SOURCE, with the flags over the config's section.

    A flag that was not given changes nothing. With `outside` one class is enough.

    Raises:
        ConfigError: A flag is not of the form it should be.
        SourceError: There is nothing of that name, or it is of no kind that is read.
    """
    from cxresnet.data.sources.columns import parse_columns

    changes: dict[str, Any] = {}
    if classes is not None:
        changes["classes"] = {**config.classes, **parse_class_table(classes)}
    if columns is not None:
        changes["columns"] = {**config.columns, **parse_columns(columns)}
    if labels is not None:
        changes["labels"] = str(labels)
    if manifest is not None:
        changes["manifest"] = manifest
    if recipe is not None:
        changes["recipe"] = recipe
    return _open(source, config.model_copy(update=changes), outside=outside)


def _open(source: Sequence[str], config: SourceConfig, *, outside: bool) -> AbstractSource:
    from cxresnet.data.sources.open import SourceOptions, open_source
    from cxresnet.data.sources.table import TableReading

    reading = TableReading(
        columns=config.columns, patterns=config.patterns, separator=config.separator
    )
    options = SourceOptions(
        class_table=config.classes or None,
        use_manifest=config.manifest,
        recipe=config.recipe or None,
        labels=Path(config.labels) if config.labels else None,
        outside=outside,
        reading=reading,
    )
    return open_source(source, options)
