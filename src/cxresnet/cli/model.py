"""`cxresnet model`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.completion import complete_preset
from cxresnet.cli.options import SetOption, read_settings
from cxresnet.cli.terminal import console, say, say_wrote
from cxresnet.core.classes import DEFAULT_CLASS_NAMES
from cxresnet.core.files import write_text

if TYPE_CHECKING:
    from rich.table import Table

    from cxresnet.model.presets import Preset
    from cxresnet.model.summary import LayerRow


@command(order=90, examples=("model", "model nano --side 128 --out nano.svg"))
def model(
    preset: Annotated[
        str | None,
        typer.Argument(
            metavar="[PRESET]",
            help="A preset; without it, all presets are listed.",
            autocompletion=complete_preset,
        ),
    ] = None,
    *,
    side: Annotated[
        int | None,
        typer.Option("--side", metavar="PX", help="Side of the image in pixels.", min=16, max=4096),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Where to write the picture (SVG)."),
    ] = None,
    set_: SetOption = None,
) -> None:
    """Show a network: a table of its layers and a picture of its architecture."""
    from cxresnet.model.presets import build_model, list_presets

    if preset is None:
        _show_presets(list_presets())
        return
    settings = read_settings(None, [*(set_ or ()), f'model.preset="{preset}"'])
    network = build_model(settings.model, class_count=len(DEFAULT_CLASS_NAMES))
    from cxresnet.model.diagram import draw_architecture
    from cxresnet.model.summary import summarise_model

    side_px = side or next(known.side_px for known in list_presets() if known.name == preset)
    console.print(
        _build_table(summarise_model(network, side_px=side_px), f"{preset}, {side_px} px")
    )
    picture = draw_architecture(network, side_px=side_px, class_names=DEFAULT_CLASS_NAMES)
    say_wrote(write_text(out or Path(f"{preset}.svg"), picture))


def _show_presets(presets: tuple[Preset, ...]) -> None:
    for known in presets:
        say(f"{known.name:<14}{known.side_px:>4} px  {known.purpose}")


def _build_table(rows: list[LayerRow], title: str) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    from cxresnet.model.summary import compute_totals

    table = Table(
        title=title,
        box=SIMPLE,
        title_justify="left",
        title_style="bold",
        show_footer=True,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    totals = compute_totals(rows)
    table.add_column("layer", footer="all", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    # Narrow enough for a terminal of 80 columns: a shape broken over two lines cannot be read.
    right: dict[str, Any] = {"justify": "right", "no_wrap": True}
    table.add_column("output", **right)
    table.add_column("parameters", footer=f"{totals.parameters:,}", **right)
    table.add_column("multiply-adds", footer=_show_millions(totals.multiply_adds), **right)
    table.add_column("field px", **right)
    for row in rows:
        window = "all" if row.receptive_field_px is None else str(row.receptive_field_px)
        shape = " × ".join(str(length) for length in row.output_shape)
        numbers = (f"{row.parameters:,}", _show_millions(row.multiply_adds), window)
        table.add_row(row.layer, row.kind, shape, *numbers)
    return table


def _show_millions(count: int) -> str:
    return f"{count / 1e6:,.1f} M"
