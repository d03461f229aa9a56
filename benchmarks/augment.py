"""What does it cost to vary a film, and would Kornia be faster?

    OMP_NUM_THREADS=1 python benchmarks/augment.py [--side 128] [--batch 32]

Ours and Kornia's nearest operators take turns on the same films; time of the processor, so that
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
from cxresnet.data.augment import apply_changes, sample_changes

_TURNS = 40
_EVERYTHING = AugmentConfig(gamma=0.3, blur=0.5, border_erase_share=0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    films = torch.rand(options.batch, 1, options.side, options.side)
    ways: dict[str, Callable[[], Tensor]] = {
        "ours, the default": build_ours(films, AugmentConfig()),
        "ours, everything": build_ours(films, _EVERYTHING),
    }
    if importlib.util.find_spec("kornia"):
        ways["Kornia, everything"] = build_kornia(films)
    print(f"{'way':20} fastest  middle   ms a film of {options.side} px, one thread")
    for name, (fastest, middle) in measure(ways, films=options.batch).items():
        print(f"{name:20} {fastest:7.3f} {middle:7.3f}")


def build_ours(films: Tensor, config: AugmentConfig) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(0)
    return lambda: apply_changes(films, sample_changes(len(films), config, generator=generator))


def build_kornia(films: Tensor) -> Callable[[], Tensor]:
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
    return lambda: steps(films)


def measure(ways: dict[str, Callable[[], Tensor]], *, films: int) -> dict[str, tuple[float, float]]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_TURNS):
        for name, way in ways.items():
            began = time.process_time()
            way()
            times[name].append((time.process_time() - began) / films * 1000)
    return {name: (min(taken), sorted(taken)[_TURNS // 2]) for name, taken in times.items()}


if __name__ == "__main__":
    main()
