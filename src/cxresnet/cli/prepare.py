"""`cxresnet prepare`, and `cxresnet merge` for the shares of several machines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.engine import Engine, EngineOption, RayAddressOption, opening_executor
from cxresnet.cli.options import (
    ConfigOption,
    ExternalTestOption,
    ForceOption,
    SetOption,
    SourceArgument,
    read_settings,
)
from cxresnet.cli.source import SourceFlags, open_source_from_flags, take_source_flags
from cxresnet.cli.terminal import say, say_wrote, show_finding, warn
from cxresnet.core.errors import ConfigError

if TYPE_CHECKING:
    from cxresnet.core.config import DataConfig
    from cxresnet.core.executor import AbstractExecutor
    from cxresnet.core.finding import Finding
    from cxresnet.data.prepare.prepare import PrepareResult
    from cxresnet.data.sources.source import AbstractSource


_OutOption = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the dataset.")
]


@command(
    order=20,
    examples=(
        "prepare chest_xray --out data/mine",
        "prepare labels.csv --out data/mine --columns path=File --engine ray",
    ),
)
@take_source_flags
def prepare(  # noqa: PLR0913  each is a flag of the command
    source: SourceArgument,
    *,
    out: _OutOption,
    config: ConfigOption = None,
    set_: SetOption = None,
    source_flags: SourceFlags,
    external_test: ExternalTestOption = False,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Decode only shard I of N, as I/N; 'merge' combines them.",
        ),
    ] = None,
    engine: EngineOption = Engine.LOCAL,
    ray_address: RayAddressOption = None,
    force: ForceOption = False,
) -> None:
    """Turn images into a dataset: decode, split by patient and hold out a test set."""
    from cxresnet.core.config import change_config

    flags = source_flags.list_data_values() | (
        {"data.external_test": True} if external_test else {}
    )
    settings = change_config(read_settings(config, set_), flags)
    opened = open_source_from_flags(source, settings, source_flags)
    if shard is None:
        with opening_executor(engine, ray_address) as executor:
            prepare_dataset(
                opened, config=settings.data, out=out, force=force, executor=executor
            )
        return
    from cxresnet.data.prepare.shards import run_prepare_shard

    share = _parse_shard(shard)
    say_wrote(run_prepare_shard(opened, config=settings.data, out=out, shard=share, force=force))


@command(
    order=25,
    examples=("prepare chest_xray --out data/a --shard 1/2", "merge data/a data/b --out data/mine"),
)
def merge(
    shares: Annotated[
        list[Path],
        typer.Argument(metavar="SHARE...", help="Folders that 'prepare --shard I/N' wrote."),
    ],
    *,
    out: _OutOption,
    config: ConfigOption = None,
    set_: SetOption = None,
    force: ForceOption = False,
) -> None:
    """Merge the shards that several machines prepared into one dataset."""
    from cxresnet.api import stages
    from cxresnet.data.prepare.shards import merge_shards

    settings = read_settings(config, set_)
    result = merge_shards(shares, config=settings.data, out=out, force=force)
    _show(result, stages.audit_dataset(result.path))


def prepare_dataset(
    opened: AbstractSource,
    *,
    config: DataConfig,
    out: Path,
    force: bool,
    executor: AbstractExecutor | None = None,
) -> None:
    """Prepare and audit a dataset, and show the counts and the findings."""
    from cxresnet.api import stages
    from cxresnet.core.config import Config
    from cxresnet.core.finding import read_findings
    from cxresnet.data.prepare.prepare import PrepareResult

    dataset = stages.prepare(
        opened, out=out, config=Config(data=config), force=force, executor=executor
    )
    _show(PrepareResult(dataset.path, dataset.record), read_findings(dataset.path))


def _show(result: PrepareResult, findings: Sequence[Finding]) -> None:
    from cxresnet.api.stages import DATA_REPORT_NAME

    for warning in result.warnings:
        warn(warning)
    say(result.describe())
    say_wrote(result.path)
    for finding in findings:
        show_finding(finding)
    say_wrote(result.path / DATA_REPORT_NAME)


def _parse_shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ConfigError(f"--shard '{text}' is not of the form I/N, from 1/N to N/N.")
    return int(found[1]), int(found[2])
