"""The flags about the source, declared once for all commands that read images."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, get_type_hints

from cxresnet.cli.options import (
    AnyBodyPartOption,
    ClassesOption,
    ColumnsOption,
    DatasetPresetOption,
    EmptyClassesOption,
    FollowLinksOption,
    LabelPatternOption,
    LabelSeparatorOption,
    LabelsOption,
    ManifestOption,
    NoPatientOption,
    OneHotOption,
)
from cxresnet.core.classes import override_class_table, parse_class_table
from cxresnet.core.errors import ConfigError

if TYPE_CHECKING:
    from cxresnet.core.config import Config, SourceConfig
    from cxresnet.data.sources.source import AbstractSource


@dataclass(frozen=True, kw_only=True)
class SourceFlags:
    """The options about the source as typed; None where not given: the config decides.

    Attributes:
        classes: As of `parse_class_table`.
        columns: As of `parse_columns`.
        label_pattern: Of the form CLASS=REGEX, one each.
        label_separator: Text between the labels of a list.
        one_hot: Headings with commas between.
        labels: A table of labels for DICOM images.
        any_body_part: Whether to read radiographs of any part of the body.
        manifest: Whether to use a `manifest.csv` beside the images.
        follow_links: Whether to read what links in a folder lead to.
        dataset_preset: Name of a public dataset.
        allow_empty_classes: Whether a class may end without an image.
        no_patient: Patient ids that stand for nobody.
    """

    classes: ClassesOption = None
    columns: ColumnsOption = None
    label_pattern: LabelPatternOption = None
    label_separator: LabelSeparatorOption = None
    one_hot: OneHotOption = None
    labels: LabelsOption = None
    any_body_part: AnyBodyPartOption = None
    manifest: ManifestOption = None
    follow_links: FollowLinksOption = None
    dataset_preset: DatasetPresetOption = None
    allow_empty_classes: EmptyClassesOption = None
    no_patient: NoPatientOption = None

    def list_data_values(self) -> dict[str, object]:
        """List the values of the config section `data`, as `change_config` takes them."""
        values = {
            "data.allow_empty_classes": self.allow_empty_classes,
            "data.no_patients": self.no_patient,
        }
        return {key: value for key, value in values.items() if value}


def take_source_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags of `SourceFlags` in place of its parameter `source_flags`."""
    hints = get_type_hints(SourceFlags, include_extras=True)
    names = [field.name for field in fields(SourceFlags)]
    kind = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(name, kind, default=None, annotation=hints[name]) for name in names
    ]

    @functools.wraps(command)
    def run_command(*arguments: Any, **given: Any) -> None:
        source_flags = SourceFlags(**{name: given.pop(name, None) for name in names})
        command(*arguments, source_flags=source_flags, **given)

    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters += options if parameter.name == "source_flags" else [parameter]
    run_command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run_command.__annotations__ = {one.name: one.annotation for one in parameters}
    return run_command


def open_source_from_flags(
    source: Sequence[str], config: Config, flags: SourceFlags
) -> AbstractSource:
    """Open the images that the user named, with the flags taking precedence over the config.

    Args:
        source: Names of one or several sources.
        config: What it says of the source and of the data.
        flags: A flag that was not given changes nothing.

    Raises:
        ConfigError: A flag is malformed.
        SourceError: There is nothing of that name, or its kind cannot be read.
    """
    from cxresnet.api.stages import open_configured_source

    settings = config.source.model_copy(update=_read_flags(flags, config.source))
    return open_configured_source(source, settings, config.data)


def _read_flags(flags: SourceFlags, config: SourceConfig) -> dict[str, Any]:
    from cxresnet.data.sources.table_file import parse_columns

    changes: dict[str, Any] = {}
    if flags.classes is not None:
        changes["classes"] = override_class_table(config.classes, parse_class_table(flags.classes))
    if flags.columns is not None:
        changes["columns"] = {**config.columns, **parse_columns(flags.columns)}
    if flags.label_pattern:
        patterns = dict(map(_parse_pattern, flags.label_pattern))
        changes["patterns"] = {**config.patterns, **patterns}
    if flags.one_hot is not None:
        changes["one_hot"] = [name.strip() for name in flags.one_hot.split(",") if name.strip()]
    given = {
        "separator": flags.label_separator,
        "labels": None if flags.labels is None else str(flags.labels),
        "any_body_part": flags.any_body_part,
        "manifest": flags.manifest,
        "follow_links": flags.follow_links,
        "dataset_preset": flags.dataset_preset,
    }
    changes |= {name: value for name, value in given.items() if value is not None}
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
