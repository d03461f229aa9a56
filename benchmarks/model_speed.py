"""How fast are our networks, beside a standard ResNet of the same widths and depths?

    .venv/bin/python benchmarks/model_speed.py [--presets nano,small] [--sides 64,128]
    OMP_WAIT_POLICY=PASSIVE .venv/bin/python benchmarks/model_speed.py --backends --presets small

Both networks of a row take turns in the same minutes, and the fastest of all turns counts, so that
other work on the machine hurts the images a second but hardly the ratio. A training step is
forward, loss, backward and AdamW, without loading of images. Float32, channels last.

With `--backends` (extra `fast`): eager PyTorch, the folded network that `predict` runs by default,
and ONNX Runtime, each from normalised images to logits, take turns in batches of 1 and of 32;
ratios are by the clock and by the processor. OMP_WAIT_POLICY=PASSIVE is what the command line sets.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from bench_table import measure_once, take_turns
from cxresnet.core.config import ModelConfig
from cxresnet.model.presets import build_model, list_presets
from cxresnet.model.resnet import CXResNet
from cxresnet.model.summary import compute_totals, summarise_model
from cxresnet.predict.backend import build_backend

CLASS_COUNT = 3
PIXELS_A_BATCH = 32 * 128 * 128
"""Small images go in larger batches, so that each step is as much work."""


@dataclass(frozen=True)
class Row:
    """One network at one side; speeds in images a second, `ratio` to the reference."""

    name: str
    side_px: int
    parameters: int
    multiply_adds: int
    training: float
    training_ratio: float
    inference: float
    inference_ratio: float


def build_reference(model: CXResNet) -> CXResNet:
    """Build the standard residual network of the same widths and depths."""
    ours = model.architecture
    config = ModelConfig(
        preset="resnet18",
        stem="classic" if ours.stem == "deep" else ours.stem,
        stem_width=ours.stem_width,
        widths=ours.widths,
        depths=ours.depths,
    )
    return build_model(config, class_count=CLASS_COUNT)


def build_training_step(model: CXResNet, images: torch.Tensor) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    labels = torch.arange(len(images)) % CLASS_COUNT

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


def build_inference(model: CXResNet, images: torch.Tensor) -> Callable[[], None]:
    def infer() -> None:
        model.eval()
        with torch.inference_mode():
            model(images)

    return infer


def measure_seconds(tasks: Sequence[Callable[[], None]], *, turns: int) -> list[float]:
    """Let the tasks take turns after one turn to warm up; the fastest of each counts."""
    fastest = [float("inf")] * len(tasks)
    for turn in range(turns + 1):
        for index, task in enumerate(tasks):
            start = time.perf_counter()
            task()
            if turn:
                fastest[index] = min(fastest[index], time.perf_counter() - start)
    return fastest


def measure(name: str, *, side_px: int, turns: int) -> Row:
    model = build_model(ModelConfig(preset=name), class_count=CLASS_COUNT)
    totals = compute_totals(summarise_model(model, side_px=side_px))
    batch_size = max(4, min(256, PIXELS_A_BATCH // side_px**2))
    images = torch.randn(batch_size, 1, side_px, side_px)
    pair = [one.to(memory_format=torch.channels_last) for one in (model, build_reference(model))]
    images = images.to(memory_format=torch.channels_last)
    training = measure_seconds([build_training_step(one, images) for one in pair], turns=turns)
    inference = measure_seconds([build_inference(one, images) for one in pair], turns=turns)
    return Row(
        name=name,
        side_px=side_px,
        parameters=totals.parameters,
        multiply_adds=totals.multiply_adds,
        training=batch_size / training[0],
        training_ratio=training[1] / training[0],
        inference=batch_size / inference[0],
        inference_ratio=inference[1] / inference[0],
    )


def measure_backends(name: str, *, side_px: int, batch_size: int, turns: int) -> str:
    """Measure one row of the table of backends."""
    model = build_model(ModelConfig(preset=name), class_count=CLASS_COUNT).eval()
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):  # at the start some norms are 0
            torch.nn.init.uniform_(part.weight, 0.5, 1.0)
    torch.nn.init.normal_(model.head.weight)
    backends = ("torch", "onnxruntime")
    networks = {name: build_backend(model, name, side_px=side_px) for name in backends}
    networks = {"eager": model, **networks}
    conversion = measure_once(lambda: build_backend(model, "onnxruntime", side_px=side_px))
    images = torch.randn(batch_size, 1, side_px, side_px)
    with torch.inference_mode():
        shares = [network(images).softmax(1).numpy() for network in networks.values()]
        costs = take_turns(
            {name: functools.partial(network, images) for name, network in networks.items()},
            turns=turns,
        )
    eager, folded, ours = costs.values()
    speeds = (f"{batch_size / cost.clock_s:.1f}" for cost in costs.values())
    ratios = (eager.divide(folded), eager.divide(ours), folded.divide(ours))
    difference = max(np.abs(other - shares[0]).max() for other in shares[1:])
    cells = (name, side_px, batch_size, *speeds, *ratios, f"{difference:.0e}")
    return f"| {' | '.join(map(str, cells))} | {conversion.processor_s:.2f} |"


def print_backends(options: argparse.Namespace) -> None:
    print("| preset | side px | batch | images/s: eager | folded | ONNX Runtime | folded × eager "
          "| ONNX Runtime × eager | × folded | difference | conversion s |")  # fmt: skip
    print("|" + "---|" * 11)
    for name in options.presets.split(","):
        for side in options.sides.split(","):
            for batch_size in (1, 32):
                row = measure_backends(
                    name, side_px=int(side), batch_size=batch_size, turns=options.turns
                )
                print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", default=",".join(preset.name for preset in list_presets()))
    parser.add_argument("--sides", default="64,128,224")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backends", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    if options.backends:
        print_backends(options)
        return
    print("| preset | side px | parameters | multiply-adds | training images/s | × standard "
          "| inference images/s | × standard |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for name in options.presets.split(","):
        for side in options.sides.split(","):
            row = measure(name, side_px=int(side), turns=options.turns)
            print(
                f"| {row.name} | {row.side_px} | {row.parameters / 1e6:.2f} M "
                f"| {row.multiply_adds / 1e6:.0f} M | {row.training:.0f} "
                f"| {row.training_ratio:.2f} | {row.inference:.0f} | {row.inference_ratio:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
