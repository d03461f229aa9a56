"""The options that several commands share, each with its help, once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "ClassesOption",
    "ColumnsOption",
    "ConfigOption",
    "DatasetArgument",
    "ForceOption",
    "LabelPatternOption",
    "LabelsOption",
    "ManifestOption",
    "OutsideOption",
    "RecipeOption",
    "ResumeOption",
    "RunArgument",
    "SetOption",
    "SourceArgument",
]

SourceArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="A folder of class folders, a table (CSV, TSV, Parquet, xlsx), a zip or tar archive, "
        "a DICOM folder, a MedMNIST .npz, kaggle:OWNER/SLUG, or phantoms. Several are joined.",
        show_default=False,
    ),
]
DatasetArgument = Annotated[
    Path, typer.Argument(metavar="DATASET", help="A folder that 'prepare' wrote.")
]
RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A folder that 'run' or 'train' wrote.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="A TOML file; the ready ones lie in configs/.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="Change one value: section.key=value. May be repeated."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Write over what is there.")]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")
]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--classes",
        help="Which folders or labels mean which class: covid=Covid-19,pneumonia=viral+bacterial; "
        "ignore=FOLDER leaves one out.",
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="Headings of a table where the guess is wrong: path=Image Index,class=Finding,"
        "patient=Patient ID; also source, view, age, sex, split, mask.",
    ),
]
LabelPatternOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label-pattern",
        metavar="CLASS=REGEX",
        help="Which labels of a table mean which class, as a regular expression: "
        "'pneumonia=pneumon|consolidat'; 'ignore=REGEX' leaves some out. May be repeated.",
    ),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option("--labels", help="A table that says which DICOM film shows what."),
]
ManifestOption = Annotated[
    bool | None,
    typer.Option(
        "--manifest/--no-manifest",
        help="Take patients, sources, views and masks from a manifest.csv beside the films.",
    ),
]
OutsideOption = Annotated[
    bool,
    typer.Option(
        "--outside",
        help="Films from elsewhere, to judge a trained network on: all go to the sealed test, and "
        "one class is enough.",
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option("--recipe", help="The known layout of a public set, by name; 'none' for none."),
]
