"""A trained network as one ONNX file with all that its use needs, checked before it is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from cxresnet import DISCLAIMER, __version__
from cxresnet.core.backends import is_onnxruntime_installed
from cxresnet.core.errors import CheckpointError
from cxresnet.core.files import write_bytes
from cxresnet.data.phantoms.draw import draw_phantom
from cxresnet.data.phantoms.plan import PhantomSettings, plan_phantoms
from cxresnet.predict.backend import OnnxRuntimeBackend, write_network
from cxresnet.predict.decision import Decision
from cxresnet.predict.predictor import Predictor

LARGEST_DIFFERENCE = 1e-4
"""Of a probability, between the file in ONNX Runtime and the network in PyTorch."""

_BATCH_SIZE = 32
_NAMES = TypeAdapter(tuple[str, ...])


@dataclass(frozen=True)
class ExportCheck:
    """How far a file and the network that it was made of agree.

    Attributes:
        images: Drawn images that both have classified.
        difference: The largest of all probabilities.
    """

    images: int
    difference: float


def export_onnx(
    predictor: Predictor, decision: Decision, out: Path, *, images: int = 100
) -> ExportCheck | None:
    """Write a network as an ONNX file, whole or not at all.

    Args:
        predictor: The network and its preprocessing.
        decision: Calibration, decision rule and thresholds, which the metadata hold.
        out: The file.
        images: Drawn images to check it on before it is written.

    Returns:
        What the check found; None where ONNX Runtime is not installed and nothing was checked.

    Raises:
        CheckpointError: The file would give other probabilities than the network.
        ConfigError: The network has parts that cannot be written.
        MissingExtraError: The extra `fast` is not installed.
        StorageError: The file cannot be written.
    """
    content = write_network(
        predictor.model,
        side_px=predictor.preprocessing.side_px,
        facts=describe_network(predictor, decision),
    )
    check = None
    if is_onnxruntime_installed():
        check = check_onnx(content, predictor, decision, images=images)
        if not check.difference <= LARGEST_DIFFERENCE:
            raise CheckpointError(
                f"'{out}' was not written: its probabilities would differ from the network's by up "
                f"to {check.difference:.1e}. Use another version of onnxruntime."
            )
    write_bytes(out, content)
    return check


def describe_network(predictor: Predictor, decision: Decision) -> dict[str, str]:
    """Describe a network for the metadata of its file, each entry as text or JSON."""
    return {
        "disclaimer": DISCLAIMER,
        "cxresnet_version": __version__,
        "weights_sha256": decision.network,
        "class_names": _NAMES.dump_json(predictor.class_names).decode(),
        "preprocessing": predictor.preprocessing.model_dump_json(),
        "normalisation": "(grey level / 255 - mean) / sd, with mean and sd of the preprocessing",
        "decision": decision.model_dump_json(),
    }


def check_onnx(
    content: bytes, predictor: Predictor, decision: Decision, *, images: int
) -> ExportCheck:
    """Compare an ONNX file, run by ONNX Runtime, with its network, run by PyTorch, unfolded.

    Args:
        content: The bytes of the file.
        predictor: The network and its preprocessing.
        decision: Turns logits into probabilities.
        images: Drawn images to compare on.
    """
    backend, differences = OnnxRuntimeBackend(content), []
    drawn = _draw_images(predictor, count=images)
    with torch.inference_mode():
        for start in range(0, images, _BATCH_SIZE):
            inputs = predictor.to_tensor(drawn[start : start + _BATCH_SIZE])
            expected = decision.calibrate(predictor.model(inputs).cpu().numpy())
            found = decision.calibrate(backend(inputs).cpu().numpy())
            differences.append(np.abs(found - expected).max())
    return ExportCheck(images=images, difference=float(np.max(differences)))


def _draw_images(predictor: Predictor, *, count: int) -> NDArray[np.uint8]:
    """Draw chest X-rays that show no person, and prepare them: (count, side, side)."""
    settings = PhantomSettings(images_per_class=-(-count // 3), side_px=128)
    plans = plan_phantoms(settings)[:count]
    return np.stack([predictor.prepare(draw_phantom(plan, settings).pixels) for plan in plans])
