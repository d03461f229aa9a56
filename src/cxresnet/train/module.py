"""One step of training and one of validation, as Lightning wants them.

Nothing here holds a stream of random numbers. Each batch draws from seeds that run, epoch and
number of the batch give, so a training that goes on after a crash meets the same chance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from cxresnet.core.config import Config
from cxresnet.core.errors import CheckpointError, TrainingError
from cxresnet.core.seeding import derive_seed
from cxresnet.data.loaders import Batch, EpochSampler, FilmLoader, build_loader, scale_films
from cxresnet.model.presets import build_model
from cxresnet.model.resnet import CXResNet
from cxresnet.train.ema import WeightAverage
from cxresnet.train.identity import describe_identity, find_difference
from cxresnet.train.material import Material
from cxresnet.train.objective import compute_class_weights, compute_loss
from cxresnet.train.optimization import build_optimizer, build_schedule
from cxresnet.train.sampling import build_sampler
from cxresnet.train.validation import judge_logits
from cxresnet.train.variation import vary_batch

__all__ = ["TrainingModule"]

_NAMED_FILMS = 5


class TrainingModule(LightningModule):  # type: ignore[misc]  # mypy does not follow Lightning
    """The network in training, its moving average, and what they learn from.

    Attributes:
        network: Learns.
        average: Its moving average; None where the config wants none.
        epoch_metrics: Of the epoch just validated: train loss and all of `VALIDATION_NAMES`.
    """

    def __init__(self, material: Material, *, config: Config) -> None:
        super().__init__()
        self._material = material
        self._config = config
        settings = config.train
        self.network = build_model(config.model, class_count=len(material.class_names))
        _put_channels_last(self.network)
        has_average = settings.average_decay > 0 or settings.swa_share > 0
        self.average = (
            WeightAverage(self.network, decay=settings.average_decay) if has_average else None
        )
        weights = compute_class_weights(
            material.train.labels,
            class_count=len(material.class_names),
            kind=settings.class_weights,
        )
        self.register_buffer("class_weights", weights, persistent=False)
        self.epoch_metrics: dict[str, float] = {}
        self._losses: list[float] = []
        self._answers: list[Tensor] = []

    @property
    def judged_network(self) -> CXResNet:
        """The network that is validated and kept: the average, where there is one."""
        judged: Any = self.network if self.average is None else self.average.network
        network: CXResNet = judged
        return network

    def train_dataloader(self) -> FilmLoader:
        """Build the feed of this process; Lightning calls it once."""
        return build_loader(self._material.train, sampler=self._build_sampler())

    def val_dataloader(self) -> FilmLoader:
        """Build the feed of validation: all of it, in every process."""
        return build_loader(self._material.val)

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
        """Compute the loss of one batch, varied and blended as its own seed says.

        Raises:
            TrainingError: The loss is not finite; names epoch, batch and films.
        """
        settings = self._config.train
        place = (self.current_epoch, batch_idx, self.global_rank)
        generator = torch.Generator().manual_seed(derive_seed(settings.seed, "augment", *place))
        images, targets = vary_batch(
            batch, material=self._material, config=settings, generator=generator
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
        """Begin to collect answers."""
        self._answers = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Ask the judged network about one batch."""
        del batch_idx
        images = scale_films(batch.films, self._material.preprocessing)
        self._answers.append(self.judged_network(images).float().cpu())

    def on_validation_epoch_end(self) -> None:
        """Judge all answers at once.

        Every process asks about every film, because statistics of norms differ a little between
        processes; the first one's word holds for all, and it is its weights that are kept.

        Raises:
            TrainingError: The validation loss is not finite.
        """
        metrics = judge_logits(
            torch.cat(self._answers),
            np.asarray(self._material.val.labels),
            class_names=self._material.class_names,
            weights=self.class_weights.cpu(),
        )
        train_loss = torch.tensor(self._losses, dtype=torch.float64, device=self.device).mean()
        metrics["train_loss"] = float(self.trainer.strategy.reduce(train_loss, reduce_op="mean"))
        self.epoch_metrics = self.trainer.strategy.broadcast(metrics)
        if not np.isfinite(self.epoch_metrics["val_loss"]):
            raise TrainingError(
                f"The validation loss of epoch {self.current_epoch + 1} is not a finite number: "
                "the weights ran away. Lower the learning rate, for example --set "
                f"train.learning_rate={self._config.train.learning_rate / 3:.1g}."
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save also what the training is and the losses of an epoch begun."""
        checkpoint["identity"] = describe_identity(self._material, config=self._config)
        checkpoint["epoch_losses"] = list(self._losses)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on only with the same training.

        Raises:
            CheckpointError: Config, dataset, classes or versions are not those of the state.
        """
        identity = describe_identity(self._material, config=self._config)
        difference = find_difference(checkpoint["identity"], identity)
        if difference:
            raise CheckpointError(
                f"The training cannot go on, because something changed: {difference}. "
                "Put it back, or begin again with --force."
            )
        self._losses = list(checkpoint["epoch_losses"])

    def _build_sampler(self) -> EpochSampler:
        return build_sampler(
            self._material.train,
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
        rows = (batch.rows[broken] if broken.any() else batch.rows)[:_NAMED_FILMS]
        names = self._material.train.manifest["image_id"].iloc[rows.numpy()]
        films = ", ".join(f"'{name}'" for name in names)
        more = " …" if len(batch.rows) > _NAMED_FILMS else ""
        return (
            f"The loss is not a finite number in epoch {self.current_epoch + 1}, "
            f"batch {batch_idx + 1}, films {films}{more}. Look at these films, or lower the "
            f"learning rate: --set train.learning_rate={self._config.train.learning_rate / 3:.1g}."
        )


def _put_channels_last(network: CXResNet) -> None:
    """Lay the weights out as CPUs and GPUs convolve fastest: `nano` needs 0.6 of the time."""
    for weight in network.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.to(memory_format=torch.channels_last)
