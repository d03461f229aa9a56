"""The Lightning module: one step of training and one of validation.

Nothing here holds a stream of random numbers. Each batch draws from a seed that depends on run,
epoch and number of the batch, so a training that is resumed after a crash draws the same numbers.
"""

from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor, nn

from cxresnet.core.config import Config, TrainConfig
from cxresnet.core.errors import CheckpointError, TrainingError
from cxresnet.core.seeding import derive_seed
from cxresnet.metrics.classification import ClassifiedImages, build_headline_statistics
from cxresnet.metrics.statistic import compute_value
from cxresnet.model.presets import build_model
from cxresnet.model.resnet import CXResNet
from cxresnet.train.augmentation import apply_augmentation, sample_augmentation
from cxresnet.train.inputs import TrainingInputs, describe_identity, find_difference
from cxresnet.train.loaders import (
    Batch,
    EpochSampler,
    ImageLoader,
    build_loader,
    build_sampler,
    normalise_tensor,
)
from cxresnet.train.objective import (
    blend_images,
    build_optimizer,
    build_schedule,
    compute_class_weights,
    compute_loss,
    smooth_labels,
)

# The moving average of the weights, which is evaluated and kept instead of the last, noisy step.


class WeightAverage(nn.Module):
    """An exponential moving average of a network, running statistics of its norms included.

    Lies in the training module, so that its state is saved and comes back with everything else.

    The average begins short, or the random weights of the start would weigh on it for long: after
    t steps the share kept is at most (1 + t) / (10 + t).

    Towards the end it may turn into the plain mean of all steps from there on, which is stochastic
    weight averaging with a step, not an epoch, as its stride.

    Args:
        network: What is averaged; copied, and not held.
        decay: Share of the average kept in a step, 0 to 1.

    References:
        Polyak and Juditsky 1992; Izmailov et al. 2018 for the plain mean. They compute the
        statistics of norms again from the images; here they are averaged like the weights.
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        super().__init__()
        self._decay = decay
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("even_steps", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, network: nn.Module, *, evenly: bool = False) -> None:
        """Take in the weights of `network` after a step.

        Args:
            network: What is averaged.
            evenly: From now on every step counts the same, and none from before.
        """
        taken = self._count_even_step() if evenly else self._count_step()
        given = network.state_dict()
        for name, mean in self.network.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(given[name], taken)
            else:
                mean.copy_(given[name])  # counts, which have no mean

    def _count_step(self) -> float:
        steps = cast("Tensor", self.steps)
        done = int(steps)
        steps.add_(1)
        return 1 - min(self._decay, (1 + done) / (10 + done))

    def _count_even_step(self) -> float:
        steps = cast("Tensor", self.even_steps)
        steps.add_(1)
        return 1 / int(steps)


# From a batch of images to the inputs of the network: augmented, scaled, blended.


def augment_batch(
    batch: Batch, *, inputs: TrainingInputs, config: TrainConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Vary the images of a batch and soften their labels.

    Args:
        batch: On the device of the network.
        inputs: Gives the scale of the images and the number of classes.
        config: How far images may be changed and blended.
        generator: Source of all randomness, on the CPU.

    Returns:
        Images, (batch, 1, height, width), and targets, (batch, classes), each row summing to 1.
    """
    changes = sample_augmentation(len(batch.labels), config.augment, generator=generator)
    images = apply_augmentation(normalise_tensor(batch.images, inputs.preprocessing), changes)
    targets = smooth_labels(
        batch.labels, class_count=len(inputs.class_names), smoothing=config.label_smoothing
    )
    return blend_images(
        images, targets, mixup=config.mixup, cutmix=config.cutmix, generator=generator
    )


# Scores of a network on validation images; they select the epoch.


VALIDATION_NAMES = ("val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_auroc")
"""In the order of the history's columns."""


def compute_validation_metrics(
    logits: Tensor, labels: NDArray[np.int64], *, class_names: tuple[str, ...], weights: Tensor
) -> dict[str, float]:
    """Compute the validation metrics from the logits of all validation images.

    Args:
        logits: (images, classes), on the CPU.
        labels: (images,).
        class_names: Order of the logits.
        weights: How much each class counts in the loss, (classes,).

    Returns:
        From each of `VALIDATION_NAMES` to its value; NaN where it is not defined, for example an
        AUROC without images of a class. Means run over the classes that the images show.
    """
    targets = smooth_labels(torch.from_numpy(labels), class_count=len(class_names), smoothing=0.0)
    probabilities = logits.double().softmax(dim=1).numpy()
    evaluated = ClassifiedImages(
        class_names=class_names,
        truth=labels,
        predicted=probabilities.argmax(axis=1),
        probabilities=probabilities,
    )
    shown = np.unique(labels).tolist()
    values = {
        f"val_{statistic.name}": compute_value(statistic)
        for statistic in build_headline_statistics(evaluated, classes=shown)
    }
    values["val_loss"] = float(compute_loss(logits, targets, weights))
    return {name: _fill(values[name]) for name in VALIDATION_NAMES}


def _fill(value: float | None) -> float:
    return float("nan") if value is None else value


_MAX_NAMED_IMAGES = 5


class TrainingModule(LightningModule):  # type: ignore[misc]  # mypy does not follow Lightning
    """The network in training, its moving average, and what they learn from.

    Attributes:
        network: Learns.
        average: Its moving average; None where the config wants none.
        epoch_metrics: Of the epoch just validated: train loss and all of `VALIDATION_NAMES`.
    """

    def __init__(self, inputs: TrainingInputs, *, config: Config) -> None:
        super().__init__()
        self._inputs = inputs
        self._config = config
        settings = config.train
        self.network = build_model(config.model, class_count=len(inputs.class_names))
        _use_channels_last(self.network)
        has_average = settings.ema_decay > 0 or settings.swa_share > 0
        self.average = (
            WeightAverage(self.network, decay=settings.ema_decay) if has_average else None
        )
        weights = compute_class_weights(
            inputs.train.labels,
            class_count=len(inputs.class_names),
            kind=settings.class_weights,
        )
        self.register_buffer("class_weights", weights, persistent=False)
        self.epoch_metrics: dict[str, float] = {}
        self._losses: list[float] = []
        self._validation_logits: list[Tensor] = []

    @property
    def evaluated_network(self) -> CXResNet:
        """The network that is validated and kept: the average, where there is one."""
        evaluated: Any = self.network if self.average is None else self.average.network
        network: CXResNet = evaluated
        return network

    def train_dataloader(self) -> ImageLoader:
        """Build the feed of this process; Lightning calls it once."""
        return build_loader(self._inputs.train, sampler=self._build_sampler())

    def val_dataloader(self) -> ImageLoader:
        """Build the feed of validation: all of it, in every process."""
        return build_loader(self._inputs.val)

    def configure_optimizers(self) -> dict[str, Any]:
        """Build AdamW and its schedule over all steps."""
        settings = self._config.train
        steps = len(self._build_sampler())
        total = settings.epochs * steps
        share = build_schedule(
            warmup_steps=round(settings.warmup_epochs * steps),
            total_steps=total,
            level_steps=round(settings.swa_share * total),
        )
        optimizer = build_optimizer(self.network, settings)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_train_start(self) -> None:
        """Lay out a restored optimizer state as its weights are: bits must not depend on a stop."""
        for weight, state in self.optimizers().optimizer.state.items():
            for name, tensor in state.items():
                if tensor.shape == weight.shape:
                    state[name] = torch.empty_like(weight).copy_(tensor)

    def on_train_epoch_start(self) -> None:
        """Begin to collect the losses of the epoch."""
        self._losses = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss of one batch, augmented and blended by its own seed.

        Raises:
            TrainingError: The loss is not finite; names epoch, batch and images.
        """
        settings = self._config.train
        place = (self.current_epoch, batch_idx, self.global_rank)
        generator = torch.Generator().manual_seed(derive_seed(settings.seed, "augment", *place))
        images, targets = augment_batch(
            batch, inputs=self._inputs, config=settings, generator=generator
        )
        torch.manual_seed(derive_seed(settings.seed, "dropout", *place))
        logits = self.network(images)
        loss = compute_loss(logits, targets, self.class_weights)
        self._note_loss(loss, logits=logits, batch=batch, batch_idx=batch_idx)
        return loss

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """Step, then let the average take the new weights in."""
        super().optimizer_step(*arguments, **options)
        if self.average is not None:
            settings = self._config.train
            level = settings.epochs - round(settings.swa_share * settings.epochs)
            self.average.update(self.network, evenly=self.current_epoch >= level)

    def on_validation_epoch_start(self) -> None:
        """Begin to collect predictions."""
        self._validation_logits = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Predict one batch with the evaluated network."""
        del batch_idx
        images = normalise_tensor(batch.images, self._inputs.preprocessing)
        self._validation_logits.append(self.evaluated_network(images).float().cpu())

    def on_validation_epoch_end(self) -> None:
        """Score all predictions at once.

        Every process asks about every image, because statistics of norms differ a little between
        processes; the first one's word holds for all, and it is its weights that are kept.

        Raises:
            TrainingError: The validation loss is not finite.
        """
        metrics = compute_validation_metrics(
            torch.cat(self._validation_logits),
            np.asarray(self._inputs.val.labels),
            class_names=self._inputs.class_names,
            weights=self.class_weights.cpu(),
        )
        train_loss = torch.tensor(self._losses, dtype=torch.float64, device=self.device).mean()
        metrics["train_loss"] = float(self.trainer.strategy.reduce(train_loss, reduce_op="mean"))
        self.epoch_metrics = self.trainer.strategy.broadcast(metrics)
        if not np.isfinite(self.epoch_metrics["val_loss"]):
            raise TrainingError(
                f"The validation loss of epoch {self.current_epoch + 1} is not a finite number: "
                "training diverged. Lower the learning rate, for example --set "
                f"train.learning_rate={self._config.train.learning_rate / 3:.1g}."
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save also what the training is and the losses of an epoch begun."""
        checkpoint["identity"] = describe_identity(self._inputs, config=self._config)
        checkpoint["epoch_losses"] = list(self._losses)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on only with the same training.

        Raises:
            CheckpointError: Config, dataset, classes or versions are not those of the state.
        """
        identity = describe_identity(self._inputs, config=self._config)
        difference = find_difference(checkpoint["identity"], identity)
        if difference:
            raise CheckpointError(
                f"The training cannot be resumed, because something changed: {difference}. "
                "Restore it, or start again with --force."
            )
        self._losses = list(checkpoint["epoch_losses"])

    def _build_sampler(self) -> EpochSampler:
        return build_sampler(
            self._inputs.train,
            config=self._config.train,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
        )

    def _note_loss(self, loss: Tensor, *, logits: Tensor, batch: Batch, batch_idx: int) -> None:
        value = float(loss.detach())
        if not np.isfinite(value):
            raise TrainingError(self._explain_not_finite(logits, batch, batch_idx))
        self._losses.append(value)

    def _explain_not_finite(self, logits: Tensor, batch: Batch, batch_idx: int) -> str:
        broken = ~torch.isfinite(logits.detach()).all(dim=1).cpu()
        rows = batch.rows[broken] if broken.any() else batch.rows
        names = self._inputs.train.manifest["image_id"].iloc[rows[:_MAX_NAMED_IMAGES].numpy()]
        images = ", ".join(f"'{name}'" for name in names)
        more = " …" if len(rows) > _MAX_NAMED_IMAGES else ""
        return (
            f"The loss is not a finite number in epoch {self.current_epoch + 1}, "
            f"batch {batch_idx + 1}, images {images}{more}. Look at these images, or lower the "
            f"learning rate: --set train.learning_rate={self._config.train.learning_rate / 3:.1g}."
        )


def _use_channels_last(network: CXResNet) -> None:
    """Lay the weights out as CPUs and GPUs convolve fastest: `nano` needs 0.6 of the time."""
    for weight in network.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.to(memory_format=torch.channels_last)
