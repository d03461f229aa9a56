"""Does pretraining without labels pay on a set of this size?

    python benchmarks/pretraining.py DATASET [--seeds 2] [--epochs 20] [--pretrain-epochs 30]

DATASET is prepared with `data.folds`. Fold 0 is not looked at. Of the others, a share chooses the
epoch and is what both ways are judged by; the rest is learned from, once from fresh weights and
once from weights that first learned to tell images apart by two changed views of each (Chen 2020,
SimCLR: temperature 0.2, two-layer projection), on the same images without their labels.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cxresnet.core.config import Config, ModelConfig, read_config
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import PreparedDataset, open_dataset
from cxresnet.model.presets import build_model
from cxresnet.model.resnet import CXResNet
from cxresnet.train import module as training_module
from cxresnet.train.augmentation import apply_augmentation, sample_augmentation
from cxresnet.train.fit import run_train
from cxresnet.train.inputs import TrainingInputs, gather_training_inputs
from cxresnet.train.loaders import normalise_tensor

_TEMPERATURE = 0.2
_BATCH = 64
_SCORES = ("val_macro_auroc", "val_balanced_accuracy")


def pretrain(inputs: TrainingInputs, *, config: Config, epochs: int) -> dict[str, Tensor]:
    """Learn to tell images apart by two changed views of each; returns the weights."""
    torch.manual_seed(config.train.seed)
    network = build_model(config.model, class_count=len(inputs.class_names)).train()
    width = network.head.in_features
    projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 64))
    parameters = [*network.parameters(), *projection.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.05)
    images = normalise_tensor(
        torch.from_numpy(np.array(inputs.train.images))[:, None], inputs.preprocessing
    )
    steps = epochs * (len(images) // _BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(config.train.seed)
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        for rows in order[: len(images) // _BATCH * _BATCH].split(_BATCH):
            loss = compute_contrast(network, projection, images[rows], config, generator)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.state_dict()


def compute_contrast(
    network: CXResNet,
    projection: nn.Module,
    images: Tensor,
    config: Config,
    generator: torch.Generator,
) -> Tensor:
    """Compute how badly each view finds its twin among all views (normalised cross-entropy)."""
    views = [
        apply_augmentation(
            images, sample_augmentation(len(images), config.train.augment, generator=generator)
        )
        for _ in range(2)
    ]
    pooled = network.pool(network.forward_features(torch.cat(views))).flatten(1)
    codes = functional.normalize(projection(pooled), dim=1)
    likeness = codes @ codes.T / _TEMPERATURE
    likeness.fill_diagonal_(float("-inf"))
    twins = torch.arange(len(codes)).roll(len(images))
    return functional.cross_entropy(likeness, twins)


def finetune(
    dataset: PreparedDataset, *, config: Config, weights: dict[str, Tensor] | None
) -> dict[str, float]:
    """Train as `cxresnet train` does, from the given weights but for the head."""

    def build(settings: ModelConfig, *, class_count: int) -> CXResNet:
        network = build_model(settings, class_count=class_count)
        if weights is not None:
            kept = {name: one for name, one in weights.items() if not name.startswith("head.")}
            network.load_state_dict(kept, strict=False)
        return network

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(training_module, "build_model", build),
    ):
        result = run_train(dataset, config=config, run=RunFolder(Path(folder)), fold=0)
    return result.metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--pretrain-epochs", type=int, default=30)
    given = parser.parse_args()
    dataset = open_dataset(given.dataset)
    found: dict[str, list[dict[str, float]]] = {"fresh": [], "pretrained": []}
    for seed in range(given.seeds):
        settings = ["train.mixup=0.4", f"train.epochs={given.epochs}", f"train.seed={seed}"]
        config = read_config(settings=settings)
        began = time.monotonic()
        weights = pretrain(
            gather_training_inputs(dataset, fold=0), config=config, epochs=given.pretrain_epochs
        )
        seconds = time.monotonic() - began
        found["fresh"].append(finetune(dataset, config=config, weights=None))
        found["pretrained"].append(finetune(dataset, config=config, weights=weights))
        print(f"seed {seed}: pretraining took {seconds:.0f} s", flush=True)
        for way, metrics in found.items():
            print(way, {name: round(metrics[-1][name], 3) for name in _SCORES}, flush=True)
    for way, metrics in found.items():
        means = {name: statistics.fmean(one[name] for one in metrics) for name in _SCORES}
        print(way, "mean over seeds:", {name: round(value, 3) for name, value in means.items()})


if __name__ == "__main__":
    main()
