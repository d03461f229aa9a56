"""The base of every record that lies on disk as JSON: frozen, strict, written atomically."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cxresnet.core.checksums import record_checksums, require_unaltered
from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import parse_json, write_json


class Record(BaseModel):
    """Frozen; unknown keys are refused, so that a file of another version is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


RecordKind = TypeVar("RecordKind", bound=Record)


def write_record(path: Path, record: Record, *, with_checksum: bool = True) -> Path:
    """Write a record as JSON, whole or not at all, and record its checksum; returns the path.

    Args:
        path: The file.
        record: What to write.
        with_checksum: Whether `checksums.json` beside it gets its SHA-256.

    Raises:
        StorageError: The disk is full or may not be written.
    """
    write_json(path, record.model_dump(mode="json"))
    if with_checksum:
        record_checksums(path)
    return path


def read_record(path: Path, kind: type[RecordKind], *, command: str) -> RecordKind:
    """Read a record that was written as JSON.

    Args:
        path: The file.
        kind: What it holds; where it has a field `format`, that is its version.
        command: What makes the file, for the message.

    Raises:
        RunFolderError: It is missing, damaged, altered, or of another version; says which.
    """
    way_out = f"Make it with '{command}'."
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunFolderError(f"There is no '{path}'. {way_out}") from error
    require_unaltered(path, way_out=way_out)
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise RunFolderError(f"'{path}' {_explain(content, kind)}. {way_out}") from error


def compare_format(content: bytes, kind: type[Record], *, unnumbered: int | None = None) -> int:
    """Compare the format of a record on disk with the one that this version reads.

    Args:
        content: The file.
        kind: What it holds; its field `format` has the number of this version as its default.
        unnumbered: The format of records that do not state one; None if all of them do.

    Returns:
        Below 0 for an older format, above 0 for a newer one; 0 for ours and for other content.
    """
    try:
        document = parse_json(content)
    except ValueError:
        return 0
    found = document.get("format", unnumbered) if isinstance(document, dict) else None
    return found - kind.model_fields["format"].default if isinstance(found, int) else 0


def _explain(content: bytes, kind: type[Record]) -> str:
    """Explain why a file is not a record of its kind: another version, or damaged."""
    try:
        document = parse_json(content)
    except ValueError:
        return "is damaged: it is not valid JSON"
    field = kind.model_fields.get("format")
    found = document.get("format") if isinstance(document, dict) else None
    if field is not None and found != field.default:
        return f"was written by another version (format {found}; this one reads {field.default})"
    return "cannot be read by this version"
