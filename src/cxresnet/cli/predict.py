"""`cxresnet predict`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from cxresnet.cli.commands import command
from cxresnet.cli.images import list_files, load_network, write_cards
from cxresnet.cli.options import AnyBodyPartOption, FixOption, GateOption
from cxresnet.cli.terminal import console, say_unfolded, say_wrote
from cxresnet.core.config import ExplainConfig
from cxresnet.core.errors import EmptySourceError
from cxresnet.core.files import write_json
from cxresnet.core.printable import make_printable
from cxresnet.core.progress import track

if TYPE_CHECKING:
    from cxresnet.api.prediction import Prediction


class Format(StrEnum):
    """How predictions are shown."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@command(order=80)
def predict(  # noqa: PLR0913  each is a flag of the command
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Images, or folders of images.")
    ],
    *,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="The run whose network is used. Default: the bundled network."),
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TABLE,
    any_body_part: AnyBodyPartOption = None,
    gate: GateOption = True,
    fix: FixOption = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write the predictions to this file instead, in UTF-8: CSV, or JSON with "
            "'--format json'.",
        ),
    ] = None,
    explain: Annotated[
        Path | None,
        typer.Option(
            "--explain", metavar="DIR", help="Also write a card with attribution maps of each."
        ),
    ] = None,
) -> None:
    """Classify images: one row per image, or the reason why it was refused."""
    model = load_network(run, any_body_part=bool(any_body_part), gate=gate, fix=fix)
    files = list(list_files(paths))
    predictions = list(track(model.predict_each(files), "Classifying images", total=len(files)))
    if out is None:
        _show(predictions, model.class_names, format_=format_)
    else:
        say_wrote(_write(out, predictions, model.class_names, format_=format_))
    if explain is not None:
        write_cards(model, files, out=explain, config=ExplainConfig())
    if all(prediction.refused for prediction in predictions):
        raise EmptySourceError(
            f"No image was classified: {len(predictions)} of {len(predictions)} were refused; the "
            "reason stands beside each."
        )


def _show(
    predictions: Sequence[Prediction], class_names: Sequence[str], *, format_: Format
) -> None:
    if format_ is Format.TABLE:
        console.print(_build_table(predictions, class_names))
        return
    from cxresnet.data.manifest import format_safe_csv

    rows = [_describe(prediction, class_names) for prediction in predictions]
    if format_ is Format.JSON:
        say_unfolded(json.dumps(rows, indent=2))
    else:
        say_unfolded(format_safe_csv(rows[0], [row.values() for row in rows]).rstrip("\n"))


def _write(
    out: Path, predictions: Sequence[Prediction], class_names: Sequence[str], *, format_: Format
) -> Path:
    from cxresnet.data.manifest import write_safe_csv

    rows = [_describe(prediction, class_names) for prediction in predictions]
    if format_ is Format.JSON:
        return write_json(out, rows)
    return write_safe_csv(out, rows[0], [row.values() for row in rows])


def _describe(prediction: Prediction, class_names: Sequence[str]) -> dict[str, Any]:
    shares = prediction.probabilities
    return {
        "file": _name(prediction),
        "decision": prediction.decision,
        "predicted_class": prediction.class_name,
        "prediction_set": "|".join(prediction.prediction_set),
        **{
            f"probability_{name}": round(shares[name], 6) if shares else None
            for name in class_names
        },
        "gate": prediction.gate,
        "note": prediction.note,
        "abstention_reason": prediction.abstention_reason,
        "refused": prediction.reason,
    }


def _name(prediction: Prediction) -> str:
    return make_printable(str(prediction.path))


def _build_table(predictions: Sequence[Prediction], class_names: Sequence[str]) -> Table:
    table = Table(box=SIMPLE)
    table.add_column("image", overflow="fold")
    table.add_column("decision")
    for name in class_names:
        table.add_column(name, justify="right")
    table.add_column("gate")
    table.add_column("refused, or note", overflow="fold")
    for one in predictions:
        shares = [f"{share:.3f}" for share in one.probabilities.values()]
        cells = shares or ["–"] * len(class_names)
        table.add_row(
            Text(_name(one)),
            one.decision or "–",
            *cells,
            one.gate,
            Text(one.reason or " ".join(filter(None, (one.note, one.abstention_reason)))),
        )
    return table
