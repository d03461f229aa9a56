"""A folded network as an ONNX graph, written node by node, for programs other than PyTorch.

The graph has the steps of `folding.py` in their order, so that it says what they compute and needs
neither a trace nor PyTorch's exporter: from normalised `images` (batch, 1, side, side) to `logits`
(batch, class), and to `features` (batch, channel), the means of the last map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from cxresnet.core.backends import require_onnx
from cxresnet.model.folding import (
    FoldedBlock,
    FoldedBlur,
    FoldedConv,
    FoldedEnsemble,
    FoldedGate,
    FoldedNetwork,
    NotFoldableError,
    Step,
)

IMAGES, LOGITS, FEATURES = "images", "logits", "features"
"""Names of the input and of the two outputs."""

_OPSET, _IR_VERSION = 17, 8
"""Of 2022: what runs the file need not be the newest."""


def build_onnx_model(
    network: FoldedNetwork | FoldedEnsemble, *, side_px: int, facts: Mapping[str, str] | None = None
) -> bytes:
    """Build the ONNX file of a folded network.

    Args:
        network: Its weights are copied.
        side_px: Side of its images; the size of the batch is free.
        facts: Text that the file carries as metadata, by name.

    Returns:
        The bytes of the file.

    Raises:
        MissingExtraError: The extra `fast` is not installed.
        NotFoldableError: A step has no counterpart in ONNX.
    """
    graph = _Graph(require_onnx())
    members = network.members if isinstance(network, FoldedEnsemble) else (network,)
    means, logits = zip(*(graph.add_network(one, IMAGES) for one in members), strict=True)
    if len(members) > 1:
        means, logits = (graph.add("Concat", means, axis=1),), (graph.add("Mean", logits),)
    graph.add("Identity", logits, name=LOGITS)
    graph.add("Identity", means, name=FEATURES)
    channels = sum(one.head.in_features for one in members)
    widths = {LOGITS: members[0].head.out_features, FEATURES: channels}
    return graph.serialise(side_px=side_px, widths=widths, facts=facts or {})


class _Graph:
    """Nodes and weights of a graph that is being written; each node is called as its output."""

    def __init__(self, onnx: Any) -> None:
        self._onnx = onnx
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def add(self, kind: str, inputs: Sequence[str], *, name: str = "", **attributes: Any) -> str:
        """Add a node with one output; returns the output's name."""
        name = name or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(
            self._onnx.helper.make_node(kind, inputs, [name], name=name, **attributes)
        )
        return name

    def store(self, weight: Tensor | None) -> str:
        """Store a tensor; returns its name."""
        if weight is None:
            raise NotFoldableError("a layer without a bias cannot be written")
        name = f"weight_{len(self._weights)}"
        values = np.ascontiguousarray(weight.detach().cpu().numpy())
        self._weights.append(self._onnx.numpy_helper.from_array(values, name))
        return name

    def add_network(self, network: FoldedNetwork, images: str) -> tuple[str, str]:
        """Add a whole network; returns the names of its means and logits."""
        last_map = self.add_steps((*network.stem, *network.blocks), images)
        means = self.add("Flatten", [self.add("GlobalAveragePool", [last_map])])
        head = [self.store(network.head.weight), self.store(network.head.bias)]
        return means, self.add("Gemm", [means, *head], transB=1)

    def add_steps(self, steps: Sequence[Step], features: str) -> str:
        """Add steps one after the other."""
        for step in steps:
            features = self._add_step(step, features)
        return features

    def _add_step(self, step: Step, features: str) -> str:
        if isinstance(step, FoldedConv):
            return self._add_conv(step, features)
        if isinstance(step, FoldedBlock):
            return self._add_block(step, features)
        if isinstance(step, FoldedBlur):
            # [1, 2, 1] is a mean of two neighbours, twice. At the edge, a mean of those inside is
            # that of a repeated edge. The blur as a convolution would need a copy with a border.
            pairs = self.add(
                "AveragePool", [features], kernel_shape=[2, 2], strides=[1, 1], pads=[1, 1, 1, 1]
            )
            return self.add("AveragePool", [pairs], kernel_shape=[2, 2], strides=[2, 2])
        if isinstance(step, nn.MaxPool2d | nn.AvgPool2d):
            return self._add_pool(step, features)
        raise NotFoldableError(f"{type(step).__name__} cannot be written")

    def _add_conv(self, conv: FoldedConv, features: str) -> str:
        out = self.add(
            "Conv",
            [features, self.store(conv.weight), self.store(conv.bias)],
            kernel_shape=[conv.kernel_px] * 2,
            strides=[conv.stride] * 2,
            pads=[conv.kernel_px // 2] * 4,
        )
        return self.add("Relu", [out]) if conv.relu else out

    def _add_pool(self, pool: nn.MaxPool2d | nn.AvgPool2d, features: str) -> str:
        attributes: dict[str, Any] = {
            "kernel_shape": _pair(pool.kernel_size),
            "strides": _pair(pool.stride),
            "pads": _pair(pool.padding) * 2,
            "ceil_mode": int(pool.ceil_mode),
        }
        if isinstance(pool, nn.MaxPool2d):
            return self.add("MaxPool", [features], dilations=_pair(pool.dilation), **attributes)
        if pool.divisor_override is not None:
            raise NotFoldableError("a pool with a divisor of its own cannot be written")
        inside = int(pool.count_include_pad)
        return self.add("AveragePool", [features], count_include_pad=inside, **attributes)

    def _add_block(self, block: FoldedBlock, features: str) -> str:
        branch = self.add_steps(block.branch, features)
        if block.shortcut is None:
            return branch
        shortcut = self.add_steps(block.shortcut, features)
        if block.gate is not None:
            branch = self.add("Mul", [branch, self._add_gate(block.gate, branch)])
        return self.add("Relu", [self.add("Add", [branch, shortcut])])

    def _add_gate(self, gate: FoldedGate, branch: str) -> str:
        means = self.add("GlobalAveragePool", [branch])
        narrow = self.add("Relu", [self._add_point(gate.part.squeeze, means)])
        return self.add("Sigmoid", [self._add_point(gate.part.excite, narrow)])

    def _add_point(self, conv: nn.Conv2d, means: str) -> str:
        return self.add("Conv", [means, self.store(conv.weight), self.store(conv.bias)])

    def serialise(
        self, *, side_px: int, widths: Mapping[str, int], facts: Mapping[str, str]
    ) -> bytes:
        """Put the file together."""
        helper, kind = self._onnx.helper, self._onnx.TensorProto.FLOAT
        inputs = [helper.make_tensor_value_info(IMAGES, kind, ["batch", 1, side_px, side_px])]
        outputs = [
            helper.make_tensor_value_info(name, kind, ["batch", width])
            for name, width in widths.items()
        ]
        graph = helper.make_graph(self._nodes, "cxresnet", inputs, outputs, self._weights)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="cxresnet",
        )
        helper.set_model_props(model, dict(facts))
        self._onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def _pair(length: int | tuple[int, int] | tuple[int, ...]) -> list[int]:
    return list(length) if isinstance(length, tuple) else [length, length]
