"""`cxresnet explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

import typer

from cxresnet.cli.options import ConfigOption, RunArgument, SetOption
from cxresnet.cli.terminal import say, say_wrote
from cxresnet.core.config import ExplainConfig, read_config
from cxresnet.core.config.explain import MethodName
from cxresnet.core.run_folder import RunFolder, open_run_folder

if TYPE_CHECKING:
    from cxresnet.explain.stage import Asked
    from cxresnet.explain.trust.record import TrustCard

__all__ = ["explain", "explain_network"]

MethodsOption = Annotated[
    str | None,
    typer.Option(
        "--methods",
        metavar="NAME,…",
        help=f"Which maps, with commas between: {', '.join(get_args(MethodName))}.",
    ),
]
ClassOption = Annotated[
    str | None,
    typer.Option(
        "--class",
        metavar="CLASS",
        help="Explain the probability of this class, whatever the network says.",
    ),
]
FilmOption = Annotated[
    list[str] | None,
    typer.Option("--film", metavar="IMAGE_ID", help="A film of the test. May be repeated."),
]


def explain(  # noqa: PLR0913  each is a flag of the command
    run: RunArgument,
    *,
    methods: MethodsOption = None,
    class_: ClassOption = None,
    film: FilmOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    trust: Annotated[
        bool, typer.Option("--trust/--no-trust", help="Test what the maps are worth, too.")
    ] = True,
    trust_only: Annotated[
        bool, typer.Option("--trust-only", help="Make only the trust card, and mark the maps.")
    ] = False,
) -> None:
    """Show where in the film the answer comes from, and whether the maps can be trusted.

    Without --class and --film the films that the report shows are explained; with one of them the
    maps go to RUN/explain/asked, and the report stays as it is.
    """
    chosen = [] if methods is None else [f"explain.methods={_list_names(methods)}"]
    settings = read_config(config, settings=[*(set_ or ()), *chosen]).explain
    folder = open_run_folder(run)
    if class_ is None and not film:
        asked: Asked = "trust" if trust_only else "all" if trust else "maps"
        explain_network(folder, config=settings, asked=asked)
        return
    from cxresnet.explain.asked import run_explain_asked

    result = run_explain_asked(folder, config=settings, image_ids=film or (), class_name=class_)
    say_wrote(result.path)


def _list_names(text: str) -> str:
    names = [name.strip().replace("-", "_") for name in text.split(",") if name.strip()]
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def explain_network(run: RunFolder, *, config: ExplainConfig, asked: Asked = "all") -> None:
    """Explain, and say which methods passed and where the pictures are."""
    from cxresnet.explain.stage import run_explain

    result = run_explain(run, config=config, asked=asked)
    if result.card is not None:
        say(describe_card(result.card))
    say_wrote(run.explain)


def describe_card(card: TrustCard) -> str:
    """Say in a line which methods passed the trust card."""
    trusted = [method.title for method in card.methods if method.trusted]
    failed = [method.title for method in card.methods if not method.trusted]
    return (
        f"Trust card on {card.films} films: passed {', '.join(trusted) or 'none'}; "
        f"not trustworthy for this model: {', '.join(failed) or 'none'}."
    )
