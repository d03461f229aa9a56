"""What the user said about the source: the config's section, and the flags over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxresnet.core.classes import parse_class_table
from cxresnet.core.config import SourceConfig
from cxresnet.core.errors import ConfigError

if TYPE_CHECKING:
    from cxresnet.data.sources.source import AbstractSource

__all__ = ["SourceFlags", "open_films"]


@dataclass(frozen=True, kw_only=True)
class SourceFlags:
    """The flags about the source, as typed; None: not given, so the config's section stands.

    Attributes:
        classes: As of `parse_class_table`.
        columns: As of `parse_columns`.
        patterns: Of the form CLASS=REGEX, one each.
        labels: A table of labels for DICOM films.
        manifest: Whether to use a `manifest.csv` beside the films.
        recipe: Name of a known set.
    """

    classes: str | None = None
    columns: str | None = None
    patterns: Sequence[str] | None = None
    labels: Path | None = None
    manifest: bool | None = None
    recipe: str | None = None


def open_films(
    source: Sequence[str], config: SourceConfig, flags: SourceFlags, *, outside: bool = False
) -> AbstractSource:
    """Open what the user named as SOURCE, with the flags over the config's section.

    Args:
        source: Names of one or several sources.
        config: The section.
        flags: A flag that was not given changes nothing.
        outside: Networks trained elsewhere are judged on the films: one class is enough.

    Raises:
        ConfigError: A flag is not of the form it should be.
        SourceError: There is nothing of that name, or it is of no kind that is read.
    """
    from cxresnet.data.sources.open import SourceOptions, open_source
    from cxresnet.data.sources.table import TableReading

    said = config.model_copy(update=_read_flags(flags, config))
    reading = TableReading(columns=said.columns, patterns=said.patterns, separator=said.separator)
    options = SourceOptions(
        class_table=said.classes or None,
        use_manifest=said.manifest,
        recipe=said.recipe or None,
        labels=Path(said.labels) if said.labels else None,
        outside=outside,
        reading=reading,
    )
    return open_source(source, options)


def _read_flags(flags: SourceFlags, config: SourceConfig) -> dict[str, Any]:
    from cxresnet.data.sources.columns import parse_columns

    changes: dict[str, Any] = {}
    if flags.classes is not None:
        changes["classes"] = {**config.classes, **parse_class_table(flags.classes)}
    if flags.columns is not None:
        changes["columns"] = {**config.columns, **parse_columns(flags.columns)}
    if flags.patterns:
        changes["patterns"] = {**config.patterns, **dict(map(_parse_pattern, flags.patterns))}
    if flags.labels is not None:
        changes["labels"] = str(flags.labels)
    if flags.manifest is not None:
        changes["manifest"] = flags.manifest
    if flags.recipe is not None:
        changes["recipe"] = flags.recipe
    return changes


def _parse_pattern(text: str) -> tuple[str, str]:
    """Read CLASS=REGEX; the expression may hold further equals signs."""
    class_name, equals, pattern = text.partition("=")
    if not (class_name.strip() and equals and pattern):
        raise ConfigError(
            f"--label-pattern: '{text}' is not of the form CLASS=REGEX; write for example "
            "--label-pattern 'pneumonia=pneumon|consolidat'."
        )
    return class_name.strip(), pattern
