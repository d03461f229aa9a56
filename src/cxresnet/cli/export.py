"""`cxresnet export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxresnet.cli.commands import command
from cxresnet.cli.options import RunOption
from cxresnet.cli.terminal import say, say_wrote, warn
from cxresnet.core.backends import require_onnx
from cxresnet.core.run_folder import open_run_folder

OutOption = Annotated[
    Path, typer.Option("--out", "-o", metavar="FILE", help="The file to write, in ONNX format.")
]


@command(
    order=91,
    examples=("export --out network.onnx", "export --run runs/mine --out mine.onnx"),
)
def export(*, out: OutOption, run: RunOption = None) -> None:
    """Write a network as an ONNX file, for programs that do without PyTorch.

    Classes, preprocessing, calibration and thresholds are in its metadata.
    """
    if run is not None:
        open_run_folder(run)  # a wrong path is told before torch is imported
    require_onnx()
    from cxresnet.api.classifier import load
    from cxresnet.predict.decision import compute_network_hash
    from cxresnet.predict.onnx_export import LARGEST_DIFFERENCE, export_onnx

    model = load(run)
    network = compute_network_hash(model.run)
    check = export_onnx(
        model.predictor, model.decision.model_copy(update={"network": network}), out
    )
    say_wrote(out)
    if check is None:
        warn(
            "The file was not checked, because onnxruntime is not installed: "
            'pip install "cxresnet[fast]"'
        )
    else:
        say(
            f"Checked on {check.images} drawn images: its probabilities in ONNX Runtime differ "
            f"from those in PyTorch by at most {check.difference:.0e} ({LARGEST_DIFFERENCE:.0e} is "
            "allowed)."
        )
    say(
        "It holds the network alone: whoever runs it has to prepare images as its metadata say, "
        "and nothing checks that they are frontal chest X-rays."
    )
    if model.verdict:
        warn(model.verdict)
