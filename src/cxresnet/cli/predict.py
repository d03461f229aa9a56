"""`cxresnet predict`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from cxresnet.cli.terminal import console, say_unfolded, warn
from cxresnet.core.errors import EmptySourceError
from cxresnet.core.progress import track
from cxresnet.core.run_folder import open_run_folder

if TYPE_CHECKING:
    from cxresnet.evaluate.answer import Answer, AnswerRule
    from cxresnet.predict.files import FilePrediction

__all__ = ["Format", "list_files", "predict"]


class Format(StrEnum):
    """How predictions are shown."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def predict(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Films, or folders of films.")
    ],
    *,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run", help="The run whose network is asked. Default: the one in the package."
        ),
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to show it.")] = Format.TABLE,
) -> None:
    """Ask the network about films: one row a film, or why it was refused."""
    from cxresnet.evaluate.answer import read_answer_rule
    from cxresnet.predict.files import predict_files
    from cxresnet.predict.predictor import load_predictor
    from cxresnet.predict.reference import REFERENCE_RUN, read_reference_headline

    folder = REFERENCE_RUN if run is None else open_run_folder(run)
    predictor = load_predictor(folder.checkpoint)
    rule = read_answer_rule(folder)
    if rule is None:
        warn(
            "This network was not evaluated yet, so its probabilities are raw and it never says "
            "'cannot tell'. 'cxresnet evaluate RUN' mends both."
        )
    if run is None:
        warn(f"The network in the package is asked. {read_reference_headline()}")
    elif verdict := predictor.record.notes.get("data_verdict"):
        warn(str(verdict))
    files = list(list_files(paths))
    answers = list(track(predict_files(predictor, files), "Reading films", total=len(files)))
    _show(answers, predictor.class_names, rule, format_=format_)
    if all(answer.probabilities is None for answer in answers):
        raise EmptySourceError(
            f"No film was answered: {len(answers)} of {len(answers)} were refused, for the reasons "
            "beside them."
        )


def _show(
    answers: Sequence[FilePrediction],
    class_names: Sequence[str],
    rule: AnswerRule | None,
    *,
    format_: Format,
) -> None:
    if format_ is Format.TABLE:
        console.print(_build_table(answers, class_names, rule))
        return
    rows = [_describe(answer, class_names, rule) for answer in answers]
    say_unfolded(_format_csv(rows) if format_ is Format.CSV else json.dumps(rows, indent=2))


def list_files(paths: Sequence[Path]) -> Iterator[Path]:
    """List the files to ask about; in a folder, all that are not hidden.

    Raises:
        EmptySourceError: A folder holds no file.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(
            file
            for file in path.rglob("*")
            if file.is_file() and not any(part.startswith(".") for part in file.parts[-3:])
        )
        if not inside:
            raise EmptySourceError(f"'{path}' holds no file. Name a film or a folder of films.")
        yield from inside


def _describe(
    found: FilePrediction, class_names: Sequence[str], rule: AnswerRule | None
) -> dict[str, Any]:
    answer = _answer(found, class_names, rule)
    shares = answer.probabilities if answer else None
    return {
        "file": str(found.path),
        "answer": answer.said if answer else "",
        "likeliest": answer.class_name if answer else "",
        "possible": "|".join(answer.possible) if answer else "",
        **{
            f"probability_{name}": None if shares is None else round(shares[number], 6)
            for number, name in enumerate(class_names)
        },
        "refused": found.reason,
    }


def _answer(
    found: FilePrediction, class_names: Sequence[str], rule: AnswerRule | None
) -> Answer | None:
    """Answer for one film; without a rule the largest probability wins. None if refused."""
    from cxresnet.evaluate.answer import Answer

    shares = found.probabilities
    if shares is None:
        return None
    if rule is not None:
        return rule.answer(shares)
    likeliest = class_names[shares.index(max(shares))]
    return Answer(likeliest, (likeliest,), likeliest, shares)


def _format_csv(rows: Sequence[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().rstrip("\n")


def _build_table(
    answers: Sequence[FilePrediction], class_names: Sequence[str], rule: AnswerRule | None
) -> Table:
    table = Table(box=SIMPLE)
    table.add_column("film", overflow="fold")
    table.add_column("answer")
    for name in class_names:
        table.add_column(name, justify="right")
    table.add_column("refused", overflow="fold")
    for found in answers:
        answer = _answer(found, class_names, rule)
        shares = [f"{one:.3f}" for one in answer.probabilities] if answer else []
        cells = shares or ["–"] * len(class_names)
        table.add_row(
            Text(str(found.path)), answer.said if answer else "–", *cells, Text(found.reason)
        )
    return table
