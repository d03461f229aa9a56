"""`cxresnet explain`: the test images of a run, or any images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.completion import complete_class, complete_methods
from cxresnet.cli.images import holds, list_files, load_network, write_cards
from cxresnet.cli.options import (
    AnyBodyPartOption,
    ConfigOption,
    DecodeMemoryOption,
    DecodeSecondsOption,
    FixOption,
    GateOption,
    SetOption,
    read_settings,
)
from cxresnet.cli.terminal import say, say_wrote
from cxresnet.core.errors import ConfigError, EmptySourceError
from cxresnet.core.run_folder import RunFolder, open_run_folder
from cxresnet.data.decode.limits import DEFAULT_LIMITS, DecodeLimits

if TYPE_CHECKING:
    from cxresnet.core.config import ExplainConfig
    from cxresnet.explain.run import ExplainOutputs
    from cxresnet.explain.sanity.record import SanityCard

_DEFAULT_OUT = Path("explanations")

PathsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN|IMAGE...",
        help="A run folder, whose test images are explained; or images, or folders of images.",
        show_default=False,
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="For images: the run whose network is used. Default: the bundled network.",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help=f"For images: the folder for their cards. Default: {_DEFAULT_OUT}. Complete cards in "
        "it are kept.",
    ),
]
MethodsOption = Annotated[
    str | None,
    typer.Option(
        "--methods",
        metavar="NAME,…",
        autocompletion=complete_methods,
        help="Attribution methods, separated by commas: occlusion, grad_cam, guided_grad_cam, "
        "guided_backprop, integrated_gradients, smooth_grad, gradient_shap, deep_lift, "
        "shapley_regions, kernel_shap.",
    ),
]
ClassOption = Annotated[
    str | None,
    typer.Option(
        "--class",
        metavar="CLASS",
        autocompletion=complete_class,
        help="Explain the probability of this class, whatever the prediction.",
    ),
]
TestImageOption = Annotated[
    list[str] | None,
    typer.Option(
        "--test-image",
        metavar="IMAGE_ID",
        help="For a run: an image of its test set. May be repeated.",
    ),
]
SanityChecksOption = Annotated[
    bool,
    typer.Option(
        "--sanity-checks/--no-sanity-checks",
        help="For a run: also test whether the maps can be trusted for this network.",
    ),
]
SanityChecksOnlyOption = Annotated[
    bool,
    typer.Option(
        "--sanity-checks-only",
        help="For a run: run only the sanity checks, and mark existing maps.",
    ),
]


@command(
    order=60,
    examples=("explain runs/mine", "explain chest.png --out cards --methods occlusion,grad_cam"),
)
def explain(  # noqa: PLR0913  each is a flag of the command
    paths: PathsArgument,
    *,
    run: RunOption = None,
    out: OutOption = None,
    methods: MethodsOption = None,
    class_: ClassOption = None,
    test_image: TestImageOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    any_body_part: AnyBodyPartOption = None,
    gate: GateOption = True,
    fix: FixOption = False,
    decode_memory_mib: DecodeMemoryOption = DEFAULT_LIMITS.memory_mib,
    decode_seconds: DecodeSecondsOption = DEFAULT_LIMITS.seconds,
    sanity_checks: SanityChecksOption = True,
    sanity_checks_only: SanityChecksOnlyOption = False,
) -> None:
    """Show which parts of an image a prediction depends on, and whether the maps can be trusted.

    Of a RUN, without --class and --test-image, the images of its report are explained. With one of
    them, the maps are written to RUN/explain/requested, and the report does not change.

    Of each IMAGE a card is written (HTML, PNG, JSON and .npz), and a page that links the cards.
    """
    chosen = [] if methods is None else [f"explain.methods={_list_names(methods)}"]
    settings = read_settings(config, [*(set_ or ()), *chosen]).explain
    if not _is_run(paths):
        _refuse_options_of_runs(test_image, sanity_checks_only=sanity_checks_only)
        files = _list_images(paths, out=out or _DEFAULT_OUT)
        limits = DecodeLimits(decode_memory_mib, decode_seconds)
        model = load_network(
            run, any_body_part=bool(any_body_part), gate=gate, fix=fix, limits=limits
        )
        write_cards(model, files, out=out or _DEFAULT_OUT, config=settings, class_name=class_)
        return
    if run is not None or out is not None:
        raise ConfigError(
            f"'{paths[0]}' is a run: its test images are explained, in its own folder. --run and "
            "--out are for images; leave them out, or name an image."
        )
    folder = open_run_folder(paths[0])
    if class_ is not None or test_image:
        _explain_requested(folder, settings, test_image or (), class_)
        return
    outputs: ExplainOutputs = "sanity" if sanity_checks_only else "all" if sanity_checks else "maps"
    explain_network(folder, config=settings, outputs=outputs)


def _explain_requested(
    run: RunFolder, config: ExplainConfig, image_ids: Sequence[str], class_name: str | None
) -> None:
    from cxresnet.explain.run import run_explain_requested

    result = run_explain_requested(run, config=config, image_ids=image_ids, class_name=class_name)
    say_wrote(result.path)


def _is_run(paths: Sequence[Path]) -> bool:
    """Say whether a run is to be explained.

    Raises:
        ConfigError: The only path is not there, or a run stands among other paths.
    """
    if len(paths) == 1 and not holds(paths[0].exists):
        raise ConfigError(
            f"There is no '{paths[0]}'. Name a run folder, an image or a folder of images."
        )
    runs = [path for path in paths if holds(RunFolder(path).mark.is_file)]
    if runs and len(paths) > 1:
        raise ConfigError(
            f"'{runs[0]}' is a run. Explain one run at a time, or name its network for the images "
            f"with --run '{runs[0]}'."
        )
    return bool(runs)


def _refuse_options_of_runs(test_image: list[str] | None, *, sanity_checks_only: bool) -> None:
    for name, is_set in (
        ("--test-image", bool(test_image)),
        ("--sanity-checks-only", sanity_checks_only),
    ):
        if is_set:
            raise ConfigError(f"{name} is for a run: name its folder in the place of the images.")


def _list_images(paths: Sequence[Path], *, out: Path) -> list[Path]:
    """List the images to explain, without the pictures of cards that lie among them.

    Raises:
        ConfigError: The cards would lie in the very folder of the images.
        EmptySourceError: A folder holds no image, and is no run.
    """
    if any(holds(path.is_dir) and path.resolve() == out.resolve() for path in paths):
        raise ConfigError(f"--out '{out}' is the folder of the images. Give another folder.")
    files = [file for file in list_files(paths) if out.resolve() not in file.resolve().parents]
    if not files:
        raise EmptySourceError(f"'{paths[0]}' holds no image besides the cards in '{out}'.")
    return files


def _list_names(text: str) -> str:
    names = [name.strip().replace("-", "_") for name in text.split(",") if name.strip()]
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def explain_network(
    run: RunFolder, *, config: ExplainConfig, outputs: ExplainOutputs = "all"
) -> None:
    """Explain a run, and show which methods passed and where the figures are."""
    from cxresnet.explain.run import run_explain

    result = run_explain(run, config=config, outputs=outputs)
    if result.card is not None:
        say(describe_card(result.card))
    say_wrote(run.explain)


def describe_card(card: SanityCard) -> str:
    """Describe in one line which methods passed the sanity checks."""
    passed = [method.title for method in card.methods if method.passed]
    failed = [method.title for method in card.methods if not method.passed]
    return (
        f"Sanity checks on {card.images} images: passed by {', '.join(passed) or 'no method'}; "
        f"not trustworthy for this model: {', '.join(failed) or 'none'}."
    )
