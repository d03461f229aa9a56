"""`cxresnet explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.options import ConfigOption, RunArgument, SetOption
from cxresnet.cli.terminal import say, say_wrote
from cxresnet.core.config import ExplainConfig, read_config
from cxresnet.core.config.explain import MethodName
from cxresnet.core.run_folder import RunFolder, open_run_folder

if TYPE_CHECKING:
    from cxresnet.explain.run import ExplainOutputs
    from cxresnet.explain.sanity.record import SanityCard


MethodsOption = Annotated[
    str | None,
    typer.Option(
        "--methods",
        metavar="NAME,…",
        help=f"Attribution methods, separated by commas: {', '.join(get_args(MethodName))}.",
    ),
]
ClassOption = Annotated[
    str | None,
    typer.Option(
        "--class",
        metavar="CLASS",
        help="Explain the probability of this class, whatever the prediction.",
    ),
]
ImageOption = Annotated[
    list[str] | None,
    typer.Option("--image", metavar="IMAGE_ID", help="An image of the test set. May be repeated."),
]


@command(order=60)
def explain(  # noqa: PLR0913  each is a flag of the command
    run: RunArgument,
    *,
    methods: MethodsOption = None,
    class_: ClassOption = None,
    image: ImageOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    sanity_checks: Annotated[
        bool,
        typer.Option(
            "--sanity-checks/--no-sanity-checks",
            help="Also test whether the maps can be trusted for this network.",
        ),
    ] = True,
    sanity_checks_only: Annotated[
        bool,
        typer.Option(
            "--sanity-checks-only", help="Run only the sanity checks, and mark existing maps."
        ),
    ] = False,
) -> None:
    """Show which parts of an image a prediction depends on, and whether the maps can be trusted.

    Without --class and --image, the images of the report are explained. With one of them, the maps
    are written to RUN/explain/requested, and the report does not change.
    """
    chosen = [] if methods is None else [f"explain.methods={_list_names(methods)}"]
    settings = read_config(config, settings=[*(set_ or ()), *chosen]).explain
    folder = open_run_folder(run)
    if class_ is None and not image:
        outputs: ExplainOutputs = (
            "sanity" if sanity_checks_only else "all" if sanity_checks else "maps"
        )
        explain_network(folder, config=settings, outputs=outputs)
        return
    from cxresnet.explain.run import run_explain_requested

    result = run_explain_requested(
        folder, config=settings, image_ids=image or (), class_name=class_
    )
    say_wrote(result.path)


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
