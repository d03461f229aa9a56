"""`cxresnet serve`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.images import load_network
from cxresnet.cli.options import (
    AnyBodyPartOption,
    BackendOption,
    DecodeMemoryOption,
    DecodeSecondsOption,
    FixOption,
    GateOption,
    HostOption,
    PortOption,
    RunOption,
)
from cxresnet.cli.terminal import say_unfolded, warn
from cxresnet.core.errors import MissingExtraError
from cxresnet.core.run_folder import open_run_folder
from cxresnet.data.decode.limits import DEFAULT_LIMITS, DecodeLimits
from cxresnet.serve.settings import ServeSettings, read_token

_LIBRARIES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")

AllowHostOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="NAME",
        help="A name under which the server may be called, as behind a proxy. May be repeated.",
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="Ask for the token in this file (or in the environment, CXRESNET_SERVE_TOKEN).",
    ),
]
MaxMibOption = Annotated[
    int,
    typer.Option(
        "--max-request-mib", metavar="MIB", min=1, max=1024, help="Largest request, in MiB."
    ),
]
QueueOption = Annotated[
    int,
    typer.Option(
        "--queue",
        metavar="IMAGES",
        min=1,
        max=10_000,
        help="Images that wait at most; then clients are told when to come again.",
    ),
]


@command(order=85, examples=("serve", "serve --run runs/mine --port 8080"))
def serve(  # noqa: PLR0913  each is a flag of the command
    *,
    run: RunOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    token_file: TokenFileOption = None,
    allow_host: AllowHostOption = None,
    any_body_part: AnyBodyPartOption = None,
    gate: GateOption = True,
    fix: FixOption = False,
    max_request_mib: MaxMibOption = 64,
    queue: QueueOption = 128,
    decode_memory_mib: DecodeMemoryOption = DEFAULT_LIMITS.memory_mib,
    decode_seconds: DecodeSecondsOption = DEFAULT_LIMITS.seconds,
    backend: BackendOption = "torch",
) -> None:
    """Offer a network as a page in the browser and as a REST interface, on this machine.

    It runs until Ctrl-C.
    """
    if run is not None:
        open_run_folder(run)  # a wrong path is told before anything is imported
    settings = ServeSettings(
        host=host,
        port=port,
        token=read_token(token_file),
        allowed_hosts=tuple(allow_host or ()),
        max_body_bytes=max_request_mib * 2**20,
        max_bytes_in_flight=4 * max_request_mib * 2**20,
        max_images=min(ServeSettings.max_images, queue),
        queue_images=queue,
    )
    _require_extra()
    if not settings.is_loopback:
        _warn_of_others(has_token=bool(settings.token))
    limits = DecodeLimits(decode_memory_mib, decode_seconds)
    model = load_network(
        run, any_body_part=bool(any_body_part), gate=gate, fix=fix, limits=limits, backend=backend
    )
    from cxresnet.serve.server import run_server

    run_server(model, settings, on_start=lambda url: say_unfolded(f"Open {url} (Ctrl-C stops)"))


def _require_extra() -> None:
    """Check, before the network is loaded, that the libraries of the server are installed.

    Raises:
        MissingExtraError: One is not.
    """
    if any(importlib.util.find_spec(name) is None for name in _LIBRARIES):
        raise MissingExtraError("serve", needed_for="'cxresnet serve'")


def _warn_of_others(*, has_token: bool) -> None:
    token = "" if has_token else " Nothing asks them for a token: set one with --token-file."
    warn(
        "Other machines can reach this server, and images travel to it unencrypted. Put it behind "
        f"a proxy with TLS.{token}"
    )
