"""`cxresnet predict`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.engine import EngineName, EngineOption, RayAddressOption, opening_executor
from cxresnet.cli.images import list_files, load_network, write_cards
from cxresnet.cli.options import (
    AnyBodyPartOption,
    BackendOption,
    DecodeMemoryOption,
    DecodeSecondsOption,
    FixOption,
    GateOption,
    RunOption,
)
from cxresnet.cli.terminal import console, say, say_unfolded, say_wrote
from cxresnet.core.errors import EmptySourceError
from cxresnet.core.files import write_json
from cxresnet.core.printable import make_printable
from cxresnet.core.progress import track
from cxresnet.data.decode.limits import DEFAULT_LIMITS, DecodeLimits

if TYPE_CHECKING:
    from rich.table import Table

    from cxresnet.api.classifier import Model
    from cxresnet.api.prediction import Prediction
    from cxresnet.predict.decision import Decision


class Format(StrEnum):
    """How predictions are shown."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


PathsArgument = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Images, or folders of images.")
]
FormatOption = Annotated[
    Format, typer.Option("--format", metavar="table|csv|json", help="Output format.")
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Write the predictions to this file instead, in UTF-8: CSV, or JSON with "
        "'--format json'.",
    ),
]


@command(
    order=80,
    examples=(
        "predict chest.png",
        "predict images --run runs/mine --format csv --out predictions.csv",
    ),
)
def predict(  # noqa: PLR0913  each is a flag of the command
    paths: PathsArgument,
    *,
    run: RunOption = None,
    format_: FormatOption = Format.TABLE,
    any_body_part: AnyBodyPartOption = None,
    gate: GateOption = True,
    fix: FixOption = False,
    decode_memory_mib: DecodeMemoryOption = DEFAULT_LIMITS.memory_mib,
    decode_seconds: DecodeSecondsOption = DEFAULT_LIMITS.seconds,
    backend: BackendOption = "torch",
    engine: EngineOption = EngineName.LOCAL,
    ray_address: RayAddressOption = None,
    out: OutOption = None,
    explain: Annotated[
        Path | None,
        typer.Option(
            "--explain", metavar="DIR", help="Also write a card with attribution maps of each."
        ),
    ] = None,
) -> None:
    """Classify images: one row per image, or the reason why it was refused."""
    files = list(list_files(paths))
    limits = DecodeLimits(decode_memory_mib, decode_seconds)
    choices = {"any_body_part": bool(any_body_part), "gate": gate, "fix": fix}
    with opening_executor(engine, ray_address) as executor:
        model = load_network(run, **choices, limits=limits, backend=backend)
        each = model.predict_each(files, executor=executor)
        predictions = list(track(each, "Classifying images", total=len(files)))
    if out is None:
        _show(predictions, model, format_=format_)
    else:
        say_wrote(_write(out, predictions, model.class_names, format_=format_))
    if explain is not None:
        from cxresnet.core.config import ExplainConfig

        write_cards(model, files, out=explain, config=ExplainConfig())
    if all(prediction.refused for prediction in predictions):
        raise EmptySourceError(
            f"No image was classified: {len(predictions)} of {len(predictions)} were refused; the "
            "reason stands beside each."
        )


def _show(predictions: Sequence[Prediction], model: Model, *, format_: Format) -> None:
    if format_ is Format.TABLE:
        notes: dict[str, int] = {}
        console.print(_build_table(predictions, model.class_names, notes))
        for note, number in notes.items():
            say(f"{number:>3}  {note}")
        for line in _explain_table(predictions, model.decision):
            say(line)
        return
    from cxresnet.data.manifest import format_safe_csv

    rows = [_describe(prediction, model.class_names) for prediction in predictions]
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


def _build_table(
    predictions: Sequence[Prediction], class_names: Sequence[str], notes: dict[str, int]
) -> Table:
    """Build the table; what is to be said of an image stands below it, by the number in `notes`."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE)
    table.add_column("image", overflow="fold")
    table.add_column("decision")
    for name in class_names:
        table.add_column(name, justify="right")
    table.add_column("notes")
    for one in predictions:
        shares = [f"{share:.3f}" for share in one.probabilities.values()]
        numbers = [notes.setdefault(note, len(notes) + 1) for note in _list_notes(one)]
        table.add_row(
            Text(_name(one)),
            "refused" if one.refused else one.decision,
            *(shares or ["–"] * len(class_names)),
            ", ".join(map(str, numbers)),
        )
    return table


def _list_notes(prediction: Prediction) -> Iterator[str]:
    """List what has to be known beside the numbers, or why the image was refused."""
    if prediction.refused:
        yield prediction.reason
    if prediction.note:
        yield prediction.note
    if prediction.abstention_reason:
        names = prediction.prediction_set
        yield f"Possible: {' or '.join(names)}." if names else "No class fits."


def _explain_table(predictions: Sequence[Prediction], decision: Decision) -> Iterator[str]:
    """Explain once, below the table, what stands in many rows."""
    thresholds = decision.describe_thresholds()
    if thresholds and any(one.abstention_reason for one in predictions):
        yield thresholds
    if any(one.is_weighed and not one.abstained for one in predictions):
        yield decision.describe_weights()
