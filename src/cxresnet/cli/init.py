"""`cxresnet init`."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.options import ForceOption
from cxresnet.cli.terminal import say, say_unfolded, say_wrote, warn
from cxresnet.core.classes import name_placeholder
from cxresnet.core.errors import ConfigError, SourceError
from cxresnet.core.files import write_text
from cxresnet.core.printable import make_printable

if TYPE_CHECKING:
    from cxresnet.data.sources.survey import Survey

_KEYS = (
    "source.dataset_preset",
    "data.side_px",
    "data.resize_mode",
    "data.val_share",
    "data.test_share",
    "data.keep_given_split",
    "data.label_conflicts",
    "model.preset",
    "train.epochs",
    "train.patience_epochs",
    "train.class_weights",
    "train.mixup",
    "evaluate.target_sensitivity",
    "explain.methods",
)
"""What people change first; the values are those of the ready config `small`."""

_FEW_IMAGES = 300
"""With fewer images the intervals on the test images are too wide to decide anything."""


@command(order=15, examples=("init chest_xray", "init chest_xray --out mine.toml --force"))
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of images.")],
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The config file to write.")
    ] = Path("cxresnet.toml"),
    force: ForceOption = False,
) -> None:
    """Look at a folder of images and write a commented config for it.

    Nothing is decoded: it shows which classes, formats, patients and tables can be seen, and what
    has to be decided before the images can be used.
    """
    if not folder.is_dir():
        raise SourceError(
            f"'{folder}' is not a folder. 'cxresnet init' looks at folders; 'cxresnet prepare' "
            "also reads tables and archives."
        )
    if out.exists() and not force:
        raise ConfigError(
            f"'{out}' exists already. Give another file with --out, or overwrite it with --force."
        )
    from cxresnet.api.stages import open_configured_source
    from cxresnet.core.config import Config
    from cxresnet.data.sources.survey import survey_folder

    default = Config()
    survey = survey_folder(folder, open_configured_source(folder, default.source, default.data))
    found = list(describe_survey(survey))
    for line in found:
        say(line)
    for warning in survey.warnings:
        warn(warning)
    if survey.problem:
        warn(survey.problem)
    run = (
        f"cxresnet run {shlex.quote(str(folder))} --out runs/mine --config {shlex.quote(str(out))}"
    )
    say_wrote(write_text(out, _format_config(survey, found, folder=folder, run=run)))
    if survey.unclaimed:
        say(f"Name the classes under [source.classes] in '{out}'; then run:")
    else:
        say("Run it with:")
    say_unfolded(f"  {run}")


def describe_survey(survey: Survey) -> Iterator[str]:
    """Describe what was found, one line each."""
    images = sum(survey.classes.values())
    classes = _list_counts(survey.classes) or "none that is known"
    yield f"Classes: {classes} ({images:,} images)"
    if survey.unclaimed:
        yield f"Folders without a class: {_list_counts(survey.unclaimed)}"
    named = {ending or "no ending": count for ending, count in survey.formats.items()}
    yield f"Files: {_list_counts(named)}; {survey.left_out:,} will not be read"
    yield f"Patients: {_describe_patients(survey)}"
    if survey.sources:
        yield f"Sources: {_list_counts(survey.sources)}"
    if survey.given_splits:
        yield f"Published splits: {', '.join(survey.given_splits)}"
    if survey.tables:
        yield f"Tables: {', '.join(survey.tables[:5])}{' …' if len(survey.tables) > 5 else ''}"
    if survey.dataset_preset:
        yield f"Public dataset: {survey.dataset_preset}"
    if images < _FEW_IMAGES:
        yield f"Few images: below {_FEW_IMAGES} most scores have wide intervals"


def _describe_patients(survey: Survey) -> str:
    if survey.patients:
        return f"{survey.patients:,}; {survey.without_patient:,} images without a patient id"
    if survey.unclaimed:
        return "not counted until every folder has a class"
    return "not known; only near-duplicates are kept in one split"


def _list_counts(counts: Mapping[str, int], *, most: int = 6) -> str:
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[:most]]
    more = f", {len(counts) - most} more" if len(counts) > most else ""
    return f"{', '.join(shown)}{more}"


def _format_config(survey: Survey, found: list[str], *, folder: Path, run: str) -> str:
    from cxresnet.core.config import change_config, read_config
    from cxresnet.core.config.keys import format_commented_toml

    start = change_config(
        read_config(Path("small")), {"source.dataset_preset": survey.dataset_preset}
    )
    heading = [
        f"Config for the images in '{folder}', written by 'cxresnet init'.",
        *found,
        f"Run: {run}",
        "'cxresnet config explain' lists every key; those below are what people change first.",
    ]
    return "\n".join(
        [
            *(_comment(line) for line in heading),
            "",
            *_format_classes(survey),
            format_commented_toml(start, _KEYS),
            "",
        ]
    )


def _format_classes(survey: Survey) -> Iterator[str]:
    """List the folders without a class, to be given one; as comments, so that none is forgotten."""
    from cxresnet.core.config.keys import format_toml_value

    if not survey.unclaimed:
        return
    yield _comment(
        "No class claims these folders. Name the class of each (normal, pneumonia, covid-19 or a "
        "new name), or write ignore to leave it out; then remove the # before it and before "
        "[source.classes]."
    )
    yield "# [source.classes]"
    named: dict[str, list[str]] = {}
    for number, name in enumerate(survey.unclaimed, start=1):
        named.setdefault(survey.guesses.get(name, name_placeholder(number)), []).append(name)
    for class_name, folders in named.items():
        count = sum(survey.unclaimed[one] for one in folders)
        pair = f"{format_toml_value(class_name)} = {format_toml_value(folders)}"
        yield f"# {make_printable(pair)}  # {count:,} images"
    yield ""


def _comment(text: str) -> str:
    return textwrap.fill(
        make_printable(text),
        96,
        initial_indent="# ",
        subsequent_indent="#   ",
        break_long_words=False,
        break_on_hyphens=False,
    )
