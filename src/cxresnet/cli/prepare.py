"""`cxresnet prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.engine import EngineName, EngineOption, RayAddressOption, opening_executor
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

if TYPE_CHECKING:
    from cxresnet.core.config import DataConfig
    from cxresnet.core.executor import AbstractExecutor
    from cxresnet.data.sources.source import AbstractSource


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
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the dataset.")
    ],
    config: ConfigOption = None,
    set_: SetOption = None,
    source_flags: SourceFlags,
    external_test: ExternalTestOption = False,
    engine: EngineOption = EngineName.LOCAL,
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
    with opening_executor(engine, ray_address) as executor:
        prepare_dataset(opened, config=settings.data, out=out, force=force, executor=executor)


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
    result = PrepareResult(dataset.path, dataset.record)
    for warning in result.warnings:
        warn(warning)
    say(result.describe())
    say_wrote(result.path)
    for finding in read_findings(result.path):
        show_finding(finding)
    say_wrote(result.path / stages.DATA_REPORT_NAME)
