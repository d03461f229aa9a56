"""`cxresnet prepare`, and `cxresnet merge` for what several machines prepared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.options import (
    ClassesOption,
    ColumnsOption,
    ConfigOption,
    ForceOption,
    LabelPatternOption,
    LabelsOption,
    ManifestOption,
    OutsideOption,
    RecipeOption,
    SetOption,
    SourceArgument,
)
from cxresnet.cli.source import SourceFlags, open_films
from cxresnet.cli.terminal import say, say_wrote, show_finding, warn
from cxresnet.core.config import DataConfig, read_config
from cxresnet.core.errors import ConfigError

if TYPE_CHECKING:
    from cxresnet.data.prepare import PrepareResult
    from cxresnet.data.sources.source import AbstractSource

__all__ = ["merge", "prepare", "prepare_films"]

_OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for the dataset.")]


def prepare(  # noqa: PLR0913  each is a flag of the command
    source: SourceArgument,
    *,
    out: _OutOption,
    config: ConfigOption = None,
    set_: SetOption = None,
    classes: ClassesOption = None,
    columns: ColumnsOption = None,
    label_pattern: LabelPatternOption = None,
    labels: LabelsOption = None,
    manifest: ManifestOption = None,
    recipe: RecipeOption = None,
    outside: OutsideOption = False,
    shard: Annotated[
        str | None,
        typer.Option("--shard", help="Decode only share I of N, as I/N; 'merge' joins them."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Turn films into a dataset: decoded once, split by patient, the test split sealed."""
    settings = read_config(config, settings=[*(set_ or ()), *(["data.outside=true"] * outside)])
    flags = SourceFlags(
        classes=classes,
        columns=columns,
        patterns=label_pattern,
        labels=labels,
        manifest=manifest,
        recipe=recipe,
    )
    films = open_films(source, settings.source, flags, outside=settings.data.outside)
    if shard is None:
        prepare_films(films, config=settings.data, out=out, force=force)
        return
    from cxresnet.data.shards import run_prepare_shard

    share = _parse_shard(shard)
    say_wrote(run_prepare_shard(films, config=settings.data, out=out, shard=share, force=force))


def merge(
    shares: Annotated[
        list[Path], typer.Argument(metavar="SHARE...", help="What 'prepare --shard I/N' wrote.")
    ],
    *,
    out: _OutOption,
    config: ConfigOption = None,
    set_: SetOption = None,
    force: ForceOption = False,
) -> None:
    """Merge what several machines prepared into one dataset."""
    from cxresnet.data.shards import merge_shards

    settings = read_config(config, settings=set_ or ())
    _show(merge_shards(shares, config=settings.data, out=out, force=force))


def prepare_films(films: AbstractSource, *, config: DataConfig, out: Path, force: bool) -> None:
    """Prepare, say what came of it, ask the data what they betray, and write the data report."""
    from cxresnet.data.prepare import run_prepare

    _show(run_prepare(films, config=config, out=out, force=force))


def _show(result: PrepareResult) -> None:
    from cxresnet.audit.data_audit import run_data_audit
    from cxresnet.report.data_report import write_data_report

    for notice in result.notices:
        warn(notice)
    say(result.describe())
    say_wrote(result.path)
    for finding in run_data_audit(result.path):
        show_finding(finding)
    say_wrote(write_data_report(result.path, result.path / "data_report.html"))


def _parse_shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ConfigError(f"--shard '{text}' is not of the form I/N, from 1/N to N/N.")
    return int(found[1]), int(found[2])
