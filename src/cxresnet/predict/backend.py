"""What runs the network of a prediction: PyTorch, or ONNX Runtime where it is wanted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from cxresnet.core.backends import BackendName, is_onnxruntime_installed, require_onnxruntime
from cxresnet.core.errors import ConfigError
from cxresnet.model.ensemble import Network
from cxresnet.model.folding import (
    FoldedEnsemble,
    FoldedNetwork,
    NotFoldableError,
    fold_network,
)
from cxresnet.model.onnx_graph import FEATURES, IMAGES, LOGITS, build_onnx_model

_logger = logging.getLogger(__name__)


class InferenceBackend(Protocol):
    """Runs a network whose weights stay as they are, without gradients of the weights."""

    def __call__(self, images: Tensor) -> Tensor:
        """Compute logits, (batch, class), of images (batch, 1, side, side), normalised."""
        ...

    def compute_means(self, images: Tensor) -> Tensor:
        """Compute the means of the last map, (batch, channel), from which the head decides."""
        ...


class OnnxRuntimeBackend:
    """Runs an ONNX file of `build_onnx_model` on the processor, with as many threads as PyTorch."""

    def __init__(self, model: bytes) -> None:
        """Load the file.

        Raises:
            MissingExtraError: The extra `fast` is not installed.
        """
        onnxruntime = require_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        # Threads that wait for work awake would take the cores from PyTorch's and from decoding.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Compute logits; see `InferenceBackend`."""
        return self._run(LOGITS, images)

    def compute_means(self, images: Tensor) -> Tensor:
        """Compute the means of the last map; see `InferenceBackend`."""
        return self._run(FEATURES, images)

    def _run(self, output: str, images: Tensor) -> Tensor:
        (values,) = self._session.run([output], {IMAGES: images.detach().cpu().numpy()})
        return torch.from_numpy(values).to(images.device)


class _PlainBackend:
    """Runs a network that cannot be folded, as it is."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def __call__(self, images: Tensor) -> Tensor:
        logits: Tensor = self._network(images)
        return logits

    def compute_means(self, images: Tensor) -> Tensor:
        return self._network.forward_features(images).mean(dim=(2, 3))


def build_backend(network: Network, name: BackendName, *, side_px: int) -> InferenceBackend:
    """Build what runs a network.

    Args:
        network: In evaluation mode. Its weights must not change afterwards.
        name: See `BackendName`.
        side_px: Side of the images.

    Raises:
        ConfigError: ONNX Runtime is wanted, but the network has parts that cannot be written.
        MissingExtraError: ONNX Runtime is wanted, and the extra `fast` is not installed.
    """
    if name == "onnxruntime" or (name == "auto" and is_onnxruntime_installed()):
        try:
            return OnnxRuntimeBackend(write_network(network, side_px=side_px))
        except ConfigError as error:
            if name == "onnxruntime":
                raise
            _logger.debug("PyTorch runs the network: %s", error)
    folded = fold_network(network)
    return folded if isinstance(folded, FoldedNetwork | FoldedEnsemble) else _PlainBackend(network)


def write_network(
    network: Network, *, side_px: int, facts: Mapping[str, str] | None = None
) -> bytes:
    """Write a network as an ONNX file in memory; see `build_onnx_model`.

    Raises:
        ConfigError: The network has parts that cannot be written.
        MissingExtraError: The extra `fast` is not installed.
    """
    folded = fold_network(network)
    if not isinstance(folded, FoldedNetwork | FoldedEnsemble):
        raise _refuse("it has no batch norms, or a block that does not say how it folds")
    try:
        return build_onnx_model(folded, side_px=side_px, facts=facts)
    except NotFoldableError as error:
        raise _refuse(str(error)) from error


def _refuse(reason: str) -> ConfigError:
    return ConfigError(
        f"This network cannot be written as ONNX: {reason}. Run it with the backend 'torch'."
    )
