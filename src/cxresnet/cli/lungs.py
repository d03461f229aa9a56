"""`cxresnet lungs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.images import list_files
from cxresnet.cli.options import AnyBodyPartOption, DecodeMemoryOption, DecodeSecondsOption
from cxresnet.cli.terminal import say, say_wrote
from cxresnet.core.printable import make_printable
from cxresnet.core.progress import track
from cxresnet.data.decode.limits import DEFAULT_LIMITS, DecodeLimits


@command(order=85, examples=("lungs chest.png --out lungs", "lungs images --out lungs"))
def lungs(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Images, or folders of images.")
    ],
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for masks and contours.")
    ],
    any_body_part: AnyBodyPartOption = None,
    decode_memory_mib: DecodeMemoryOption = DEFAULT_LIMITS.memory_mib,
    decode_seconds: DecodeSecondsOption = DEFAULT_LIMITS.seconds,
) -> None:
    """Segment the lungs on images: a mask and a contour for each, or why it was refused."""
    files = list(list_files(paths))
    from cxresnet.predict.lungs import find_lungs_in_files, write_lung_pictures

    limits = DecodeLimits(decode_memory_mib, decode_seconds)
    found = find_lungs_in_files(files, any_body_part=bool(any_body_part), limits=limits)
    results = list(track(found, "Segmenting lungs", total=len(files)))
    table = write_lung_pictures(out, results)
    refused = [result for result in results if result.reason]
    say(f"Lungs segmented on {len(results) - len(refused)} of {len(results)} images")
    for result in refused:
        say(f"{make_printable(str(result.path))}: {result.reason}")
    say_wrote(table)
