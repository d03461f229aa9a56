"""`cxresnet listen`."""

from __future__ import annotations

import importlib.util
import logging
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.images import load_network
from cxresnet.cli.options import (
    AnyBodyPartOption,
    BackendOption,
    DecodeMemoryOption,
    DecodeSecondsOption,
    GateOption,
    HostOption,
    PortOption,
    RunOption,
)
from cxresnet.cli.terminal import say_unfolded, show_log_lines, warn
from cxresnet.core.errors import MissingExtraError
from cxresnet.core.run_folder import open_run_folder
from cxresnet.data.decode.limits import DEFAULT_LIMITS, DecodeLimits
from cxresnet.serve.dicom_settings import NodeSettings, check_title, parse_receiver

if TYPE_CHECKING:
    from cxresnet.api.classifier import Model

_LIBRARIES = ("pynetdicom", "highdicom", "pydicom")

OutOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder that reports and maps are written to.")
]
TitleOption = Annotated[
    str, typer.Option("--aet", metavar="TITLE", help="AE title under which the node is called.")
]
SendToOption = Annotated[
    str | None,
    typer.Option(
        "--send-to",
        metavar="AET@HOST:PORT",
        help="Also send what is written to this node, by C-STORE; again later where it is down.",
    ),
]
AllowOption = Annotated[
    str | None,
    typer.Option(
        "--allow",
        metavar="AET,AET",
        help="AE titles of the nodes that may call. Default: any.",
    ),
]


@command(
    order=86,
    examples=(
        "listen --out reports",
        "listen --out reports --send-to PACS@127.0.0.1:4242",
    ),
)
def listen(  # noqa: PLR0913  each is a flag of the command
    *,
    out: OutOption,
    run: RunOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 11112,
    aet: TitleOption = "CXRESNET",
    allow: AllowOption = None,
    send_to: SendToOption = None,
    any_body_part: AnyBodyPartOption = None,
    gate: GateOption = True,
    decode_memory_mib: DecodeMemoryOption = DEFAULT_LIMITS.memory_mib,
    decode_seconds: DecodeSecondsOption = DEFAULT_LIMITS.seconds,
    backend: BackendOption = "torch",
) -> None:
    """Take chest radiographs over DICOM, and write or send back reports and maps.

    It runs until Ctrl-C, and then finishes what was taken. What the other node does not take stays
    in the folder and is sent again.
    """
    if run is not None:
        open_run_folder(run)  # a wrong path is told before anything is imported
    settings = NodeSettings(
        out=out,
        host=host,
        port=port,
        aet=check_title(aet),
        allowed=tuple(map(check_title, allow.split(","))) if allow else (),
        send_to=parse_receiver(send_to) if send_to else None,
    )
    if any(importlib.util.find_spec(name) is None for name in _LIBRARIES):
        raise MissingExtraError("listen", needed_for="'cxresnet listen'")
    if not settings.is_loopback:
        warn(
            "Other machines can reach this node, and images travel to it unencrypted. An AE title "
            "is no password: keep it in a network that you trust."
        )
    limits = DecodeLimits(decode_memory_mib, decode_seconds)
    model = load_network(
        run, any_body_part=bool(any_body_part), gate=gate, fix=False, limits=limits, backend=backend
    )
    _listen(model, settings)


def _listen(model: Model, settings: NodeSettings) -> None:
    from cxresnet.serve.dicom_node import Node
    from cxresnet.serve.dicom_objects import choose_method

    show_log_lines(logging.INFO)
    stop = threading.Event()
    before = {
        kind: signal.signal(kind, lambda *_: stop.set()) for kind in (signal.SIGINT, signal.SIGTERM)
    }
    node = Node(model, replace(settings, method=choose_method(model)))
    try:
        node.start()
        say_unfolded(f"{settings.aet} listens on {settings.host}:{node.port} (Ctrl-C stops)")
        stop.wait()
    except BaseException:
        node.close()
        raise
    finally:
        for kind, handler in before.items():  # a second Ctrl-C ends it at once
            signal.signal(kind, handler)
    say_unfolded("Finishing what was taken (Ctrl-C drops it)")
    unsent = node.close()
    if unsent and settings.send_to is not None:
        warn(
            f"Images not sent to {settings.send_to.aet}: {unsent}. Their objects are in "
            f"'{settings.out}'; the next 'cxresnet listen' with this folder sends them."
        )
    say_unfolded(f"{settings.aet} has stopped")
