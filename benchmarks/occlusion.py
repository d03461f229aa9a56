"""How fast is our occlusion beside Captum's, and is it the same?

    OMP_NUM_THREADS=2 .venv/bin/python benchmarks/occlusion.py [--turns 3]

One image of 224 px, window 45, stride 9 (441 patches), preset `small` with weights that make places
matter. Captum's default call, Captum with its best batch, and ours take turns in the same minutes;
the fastest turn of each counts for the seconds, and the processor's seconds (all threads) stand
beside them, as other work on the machine hurts those less.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from captum.attr import Occlusion
from torch import Tensor, nn

from cxresnet.core.config import ModelConfig
from cxresnet.explain.methods.occlusion import compute_occlusion
from cxresnet.model.presets import build_model
from cxresnet.model.resnet import CXResNet

TARGET = 1


@dataclass
class Timing:
    """Of one way: seconds of each turn, by the clock and of the processor."""

    name: str
    run: Callable[[], Tensor]
    clock: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    answer: Tensor | None = None

    def take_turn(self) -> None:
        """Run once, and note how long it took."""
        clock, processor = time.perf_counter(), time.process_time()
        self.answer = self.run()
        self.clock.append(time.perf_counter() - clock)
        self.processor.append(time.process_time() - processor)


def build_network(image: Tensor, preset: str) -> CXResNet:
    """Build a network that is undecided about the image, with norms and a head that are awake."""
    model = build_model(ModelConfig(preset=preset), class_count=3).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            module.running_var.uniform_(0.5, 1.5)
            module.running_mean.normal_(0, 0.2)
    nn.init.normal_(model.head.weight, std=4.0)
    with torch.no_grad():
        model.head.bias -= model(image)[0]
    return model


def build_image(side_px: int) -> Tensor:
    cells = torch.randn(1, 1, 8, 8)
    image = nn.functional.interpolate(cells, size=(side_px, side_px), mode="bilinear")
    return 1.5 * image + 0.3 * torch.randn(image.shape)


def build_ways(model: CXResNet, image: Tensor, options: argparse.Namespace) -> list[Timing]:
    window, stride = options.window, options.stride

    def ask_captum(batch: int | None) -> Tensor:
        chosen = {} if batch is None else {"perturbations_per_eval": batch}
        found: Tensor = Occlusion(lambda images: model(images).softmax(1)).attribute(
            image, (1, window, window), strides=(1, stride, stride), target=TARGET, **chosen
        )
        return found[0]

    def ask_ours(*, coarse: bool) -> Tensor:
        targets = torch.tensor([TARGET])
        return compute_occlusion(
            model, image, targets=targets, window_px=window, stride_px=stride, coarse_to_fine=coarse
        )

    captum = [Timing("Captum, default call", lambda: ask_captum(None))]
    captum += [
        Timing(f"Captum, {batch} patches at once", lambda batch=batch: ask_captum(batch))
        for batch in map(int, options.batches.split(","))
    ]
    return [
        *captum,
        Timing("ours", lambda: ask_ours(coarse=False)),
        Timing("ours, coarse to fine", lambda: ask_ours(coarse=True)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--window", type=int, default=45)
    parser.add_argument("--stride", type=int, default=9)
    parser.add_argument("--batches", default="4,16,64")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    image = build_image(options.side)
    ways = build_ways(build_network(image, options.preset), image, options)
    for _ in range(options.turns):
        for way in ways:
            way.take_turn()
    reference = ways[0]
    print(f"{torch.get_num_threads()} threads; largest value {reference.answer.abs().max():.3f}")
    print("| way | seconds | × default | processor seconds | × default | median of the turns' × "
          "| largest difference |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for way in ways:
        ratios = [theirs / ours for theirs, ours in zip(reference.clock, way.clock, strict=True)]
        difference = (way.answer - reference.answer).abs().max()
        print(
            f"| {way.name} | {min(way.clock):.2f} | {min(reference.clock) / min(way.clock):.2f} "
            f"| {min(way.processor):.2f} | {min(reference.processor) / min(way.processor):.2f} "
            f"| {statistics.median(ratios):.2f} | {difference:.1e} |"
        )


if __name__ == "__main__":
    main()
