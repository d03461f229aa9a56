"""The options that choose where images are read and decoded: on this machine, or on a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.core.errors import ConfigError

if TYPE_CHECKING:
    from cxresnet.core.executor import AbstractExecutor


class EngineName(StrEnum):
    """Where images are read and decoded."""

    LOCAL = "local"
    RAY = "ray"


EngineOption = Annotated[
    EngineName,
    typer.Option(
        "--engine",
        metavar="local|ray",
        help="Where images are read and decoded: 'local' is this machine, 'ray' all machines of a "
        "Ray cluster that is running. The result is the same.",
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        help="The Ray cluster. Default: that of $RAY_ADDRESS, else the one on this machine.",
    ),
]


@contextlib.contextmanager
def opening_executor(
    engine: EngineName, ray_address: str | None
) -> Iterator[AbstractExecutor | None]:
    """Open what the options choose; None for this machine, as a room does by default.

    Raises:
        ConfigError: There is no such cluster, or an address and no `--engine ray`.
        MissingExtraError: Ray is not installed.
    """
    if engine is EngineName.LOCAL:
        if ray_address is not None:
            raise ConfigError("--ray-address needs '--engine ray'.")
        yield None
        return
    from cxresnet.api.ray_executor import connecting_to_ray

    with connecting_to_ray(ray_address or "") as executor:
        yield executor
