"""`cxresnet prepare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.options import (
    ClassesOption,
    ConfigOption,
    ForceOption,
    ManifestOption,
    RecipeOption,
    SetOption,
    SourceArgument,
)
from cxresnet.cli.terminal import say, say_wrote, show_finding, warn
from cxresnet.core.config import DataConfig, read_config

if TYPE_CHECKING:
    from cxresnet.data.prepare import PrepareResult
    from cxresnet.data.sources.source import AbstractSource

__all__ = ["open_films", "prepare", "prepare_films"]


def prepare(  # noqa: PLR0913  each is a flag of the command
    source: SourceArgument,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the dataset.")],
    config: ConfigOption = None,
    set_: SetOption = None,
    classes: ClassesOption = None,
    manifest: ManifestOption = True,
    recipe: RecipeOption = None,
    force: ForceOption = False,
) -> None:
    """Turn films into a dataset: decoded once, split by patient, the test split sealed."""
    settings = read_config(config, settings=set_ or ())
    films = open_films(source, classes=classes, manifest=manifest, recipe=recipe)
    prepare_films(films, config=settings.data, out=out, force=force)


def open_films(
    source: Sequence[str], *, classes: str | None, manifest: bool, recipe: str | None
) -> AbstractSource:
    """Open what the user named as SOURCE."""
    from cxresnet.core.classes import parse_class_table
    from cxresnet.data.sources.open import SourceOptions, open_source

    options = SourceOptions(
        class_table=parse_class_table(classes) if classes else None,
        use_manifest=manifest,
        recipe=recipe,
    )
    return open_source(source, options)


def prepare_films(
    films: AbstractSource, *, config: DataConfig, out: Path, force: bool
) -> PrepareResult:
    """Prepare, say what came of it, and write the data report."""
    from cxresnet.data.prepare import run_prepare

    result = run_prepare(films, config=config, out=out, force=force)
    for notice in result.notices:
        warn(notice)
    say(result.describe())
    say_wrote(result.path)
    audit_films(result.path)
    return result


def audit_films(dataset: Path) -> None:
    """Ask the data what they betray, show the answers, and write the data report."""
    from cxresnet.audit.data_audit import run_data_audit
    from cxresnet.report.data_report import write_data_report

    for finding in run_data_audit(dataset):
        show_finding(finding)
    say_wrote(write_data_report(dataset, dataset / "data_report.html"))
