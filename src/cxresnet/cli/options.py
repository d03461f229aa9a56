"""Options that several commands share, each defined once with its help."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.completion import (
    complete_class_pair,
    complete_config,
    complete_dataset_preset,
    complete_setting,
)
from cxresnet.core.errors import ConfigError

if TYPE_CHECKING:
    from cxresnet.core.config import Config

SourceArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="A folder with one folder per class, a table (CSV, TSV, Parquet, xlsx), a zip or tar "
        "archive, a DICOM folder, a MedMNIST .npz, kaggle:OWNER/SLUG, or phantoms (synthetic "
        "images). Several sources are joined.",
        show_default=False,
    ),
]
DatasetArgument = Annotated[
    Path, typer.Argument(metavar="DATASET", help="A dataset folder, as written by 'prepare'.")
]
RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder, as written by 'run' or 'train'.")
]
RunOption = Annotated[
    Path | None,
    typer.Option(
        "--run", metavar="RUN", help="The run whose network is used. Default: the bundled network."
    ),
]
HostOption = Annotated[
    str,
    typer.Option(
        "--host",
        metavar="ADDRESS",
        help="Address to listen on. The default lets nobody in but this machine.",
    ),
]
PortOption = Annotated[
    int, typer.Option("--port", metavar="NUMBER", min=0, max=65535, help="Port; 0 for any.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="NAME|FILE",
        help="A ready config by its name ('cxresnet config list'), or a TOML file.",
        autocompletion=complete_config,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUE",
        help="Override one config value, as in train.epochs=3. May be repeated.",
        autocompletion=complete_setting,
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite existing output.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Resume an interrupted run.")]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--classes",
        metavar="CLASS=LABEL,…",
        autocompletion=complete_class_pair,
        help="Map folders or labels to classes, as in covid=Covid-19, with commas between; "
        "'+' joins several, and ignore=FOLDER excludes one. A label with a comma or '+' inside is "
        "put in double quotation marks.",
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="ROLE=HEADING,…",
        help="Name the columns of a table where they are not recognised, as in "
        "'path=Image Index', with commas between; also class, patient, source, view, age, sex, "
        "split, mask.",
    ),
]
LabelPatternOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label-pattern",
        metavar="CLASS=REGEX",
        help="Map the labels of a table to a class with a regular expression, as in "
        "'pneumonia=consolid'; 'ignore=REGEX' excludes labels. May be repeated.",
    ),
]
LabelSeparatorOption = Annotated[
    str | None,
    typer.Option(
        "--label-separator",
        metavar="TEXT",
        help="The text between the labels of a list in one cell, as ';'; '|' by default.",
    ),
]
OneHotOption = Annotated[
    str | None,
    typer.Option(
        "--one-hot",
        metavar="COLUMNS",
        help="Read the class from columns of 0 and 1, one for each class, named here with commas "
        "between.",
    ),
]
FollowLinksOption = Annotated[
    bool | None,
    typer.Option(
        "--follow-links/--no-follow-links",
        help="Read what symbolic links in a folder lead to, also outside of it. Use this only for "
        "links that you trust.",
    ),
]
EmptyClassesOption = Annotated[
    bool | None,
    typer.Option(
        "--allow-empty-classes",
        help="Continue where no image is left of a class that a folder, a label or --classes "
        "names.",
    ),
]
NoPatientOption = Annotated[
    list[str] | None,
    typer.Option(
        "--no-patient",
        metavar="ID",
        help="A patient id that stands for nobody, as 'unknown', 'N/A' and '0' do anyway. May be "
        "repeated.",
    ),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option("--labels", metavar="TABLE", help="A table with the label of each DICOM image."),
]
AnyBodyPartOption = Annotated[
    bool | None,
    typer.Option(
        "--any-body-part",
        help="Read DICOM radiographs whatever part of the body their header names.",
    ),
]
DecodeMemoryOption = Annotated[
    int,
    typer.Option(
        "--decode-memory-mib",
        metavar="MIB",
        min=64,
        max=65536,
        help="Memory that decoding one image may take, in MiB; one that needs more is refused.",
    ),
]
DecodeSecondsOption = Annotated[
    float,
    typer.Option(
        "--decode-seconds",
        metavar="SECONDS",
        min=1,
        max=3600,
        help="Processor time that decoding one image may take; one that needs more is refused.",
    ),
]
GateOption = Annotated[
    bool,
    typer.Option(
        "--gate/--no-gate",
        help="Refuse what is not an upright frontal chest X-ray of usual tone. Without the check "
        "the output is marked 'not checked'. Whether an image is mirrored cannot be decided "
        "without a marker in it: it is not checked.",
    ),
]
FixOption = Annotated[
    bool,
    typer.Option(
        "--fix",
        help="Turn back rotated images and exchange black and white of inverted ones, instead of "
        "refusing them; the output says which.",
    ),
]
BackendOption = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="The library that runs the network: 'torch'; 'onnxruntime', which needs the extra "
        "`fast`; or 'auto', which is onnxruntime where it is installed.",
    ),
]
ManifestOption = Annotated[
    bool | None,
    typer.Option(
        "--manifest/--no-manifest",
        help="Read patients, sources, views and masks from a manifest.csv beside the images.",
    ),
]
ExternalTestOption = Annotated[
    bool,
    typer.Option(
        "--external-test",
        help="Prepare an external test set: all images go to the held-out test set, and one "
        "class is enough.",
    ),
]
DatasetPresetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset-preset",
        metavar="NAME",
        autocompletion=complete_dataset_preset,
        help="Read a public dataset by its known layout, named here; 'none' disables this.",
    ),
]

RENAMED_WORDS = {
    "--leave-one-source-out": "--leave-sources-out",
    "--outside": "--external-test",
    "--recipe": "--dataset-preset",
    "--copies": "--recheck-duplicates",
    "--film": "--test-image",  # earlier name
    "--image": "--test-image",
    "--trust": "--sanity-checks",
    "--no-trust": "--no-sanity-checks",
    "--trust-only": "--sanity-checks-only",
    "--shard": "--engine ray",
    "merge": "prepare --engine ray",
}
"""Options and commands of earlier versions, and what they are called since."""


def read_settings(config: Path | None, settings: Sequence[str] | None) -> Config:
    """Read the config as of `ConfigOption` and `SetOption`.

    Raises:
        ConfigError: There is no such file or setting, or a value is wrong.
    """
    from cxresnet.core.config import read_config

    return read_config(config, settings=settings or ())


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parse the seeds of the command line, as in "0,1,2"; empty for none.

    Raises:
        ConfigError: A part is no number.
    """
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ConfigError(
            f"--seeds '{text}' is not a list of numbers. Write for example --seeds 0,1,2."
        ) from error
