"""`cxresnet explain`."""

from __future__ import annotations

from cxresnet.cli.options import ConfigOption, RunArgument, SetOption
from cxresnet.cli.terminal import say_wrote
from cxresnet.core.config import ExplainConfig, read_config
from cxresnet.core.run_folder import RunFolder, open_run_folder

__all__ = ["explain", "explain_network"]


def explain(run: RunArgument, *, config: ConfigOption = None, set_: SetOption = None) -> None:
    """Show where in the film the answer comes from: Occlusion and Grad-CAM."""
    settings = read_config(config, settings=set_ or ())
    explain_network(open_run_folder(run), config=settings.explain)


def explain_network(run: RunFolder, *, config: ExplainConfig) -> None:
    """Explain, and say where the pictures are."""
    from cxresnet.explain.attribution import run_explain

    run_explain(run, config=config)
    say_wrote(run.explain)
