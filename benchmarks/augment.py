"""What does it cost to vary an image, and would Kornia be faster?

    OMP_NUM_THREADS=1 python benchmarks/augment.py [--side 128] [--batch 32]

Ours and Kornia's nearest operators take turns on the same images; time of the processor, so that
other work on the machine does not count; the fastest and the middle turn. Kornia is no dependency
of ours: `pip install kornia` for this comparison, or only our own rows are printed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import time
from collections.abc import Callable

import torch
from torch import Tensor

from cxresnet.core.config.train import AugmentConfig
from cxresnet.train.augmentation import apply_augmentation, sample_augmentation

_TURNS = 40
_EVERYTHING = AugmentConfig(gamma=0.3, blur=0.5, border_erase_share=0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = torch.rand(options.batch, 1, options.side, options.side)
    ways: dict[str, Callable[[], Tensor]] = {
        "ours, the default": build_ours(images, AugmentConfig()),
        "ours, everything": build_ours(images, _EVERYTHING),
    }
    if importlib.util.find_spec("kornia"):
        ways["Kornia, everything"] = build_kornia(images)
    print(f"{'way':20} fastest  middle   ms an image of {options.side} px, one thread")
    for name, (fastest, middle) in measure(ways, images=options.batch).items():
        print(f"{name:20} {fastest:7.3f} {middle:7.3f}")


def build_ours(images: Tensor, config: AugmentConfig) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(0)
    return lambda: apply_augmentation(
        images, sample_augmentation(len(images), config, generator=generator)
    )


def build_kornia(images: Tensor) -> Callable[[], Tensor]:
    augmentation = importlib.import_module("kornia.augmentation")
    steps = augmentation.AugmentationSequential(
        augmentation.RandomAffine(10, (0.06, 0.06), (0.88, 1.12), p=1.0),
        augmentation.RandomGaussianBlur((3, 3), (0.1, 1.0), p=1.0),
        augmentation.RandomGamma((0.77, 1.3), p=1.0),
        augmentation.RandomContrast((0.5, 1.5), p=1.0),
        augmentation.RandomBrightness((0.5, 1.5), p=1.0),
        augmentation.RandomGaussianNoise(0.0, 0.03, p=1.0),
        augmentation.RandomErasing(p=1.0),
    )
    return lambda: steps(images)


def measure(
    ways: dict[str, Callable[[], Tensor]], *, images: int
) -> dict[str, tuple[float, float]]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_TURNS):
        for name, way in ways.items():
            began = time.process_time()
            way()
            times[name].append((time.process_time() - began) / images * 1000)
    return {name: (min(taken), sorted(taken)[_TURNS // 2]) for name, taken in times.items()}


if __name__ == "__main__":
    main()
