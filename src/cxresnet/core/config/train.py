"""How the network is trained."""

from __future__ import annotations

import importlib.util
import os
from typing import Literal

from pydantic import Field

from cxresnet.core.config.section import Section
from cxresnet.core.errors import ConfigError, MissingExtraError
from cxresnet.core.run_folder import is_numbered_process


class AugmentConfig(Section):
    """How far a training image may be changed; drawn anew for each image, between 0 and the most.

    Images are never turned upside down. Left and right are swapped only on request, because the
    heart is on the left.

    Attributes:
        rotation_degrees: Rotated by at most this angle, either way.
        scale_share: Larger or smaller by at most this share.
        aspect_share: Wider and lower, or narrower and higher, by at most this share each: what an
            image squeezed to a square was before.
        shift_share: Moved by at most this share of the side, both ways.
        contrast: Contrast multiplied by 1 ± at most this.
        brightness: Brightness moved by ± at most this, in standard deviations of the images.
        gamma: Exponent of the tone curve, between 1 / (1 + gamma) and 1 + gamma.
        blur: An image blurred over 3×3 pixels is mixed in with at most this share.
        noise: Standard deviation of added noise, at most, in standard deviations of the images.
        border_erase_share: Width of a grey frame laid over the border, at most, as a share of the
            side, so that the network does not rely on text in a corner or on how an image was cut.
        horizontal_flip: Swap left and right of half of the images.
    """

    rotation_degrees: float = Field(default=10, ge=0, le=45)
    scale_share: float = Field(default=0.12, ge=0, le=0.5)
    aspect_share: float = Field(default=0.0, ge=0, le=0.5)
    shift_share: float = Field(default=0.06, ge=0, le=0.5)
    contrast: float = Field(default=0.5, ge=0, lt=1)
    brightness: float = Field(default=0.5, ge=0, le=3)
    gamma: float = Field(default=0.0, ge=0, le=3)
    blur: float = Field(default=0.0, ge=0, le=1)
    noise: float = Field(default=0.05, ge=0, le=1)
    border_erase_share: float = Field(default=0.0, ge=0, le=0.25)
    horizontal_flip: bool = False


class TrainConfig(Section):
    """How the network is trained.

    Attributes:
        epochs: Passes over the training images, at most.
        batch_size: Images a step, on each device.
        learning_rate: Peak of the schedule: a linear warm-up, then half a cosine down to zero.
        weight_decay: Decoupled (AdamW); not applied to norms and biases.
        warmup_epochs: Length of the warm-up.
        label_smoothing: Share of the label that is spread over all classes.
        mixup: Blend pairs of images, weight drawn from Beta(mixup, mixup); 0 turns it off.
        cutmix: Lay a part of one image over another, size drawn from Beta(cutmix, cutmix); 0
            turns it off. With mixup too, each batch takes one of them.
        class_weights: Weigh rare classes more in the loss: not at all ("none"), by the square root
            of their rarity ("sqrt"), or fully ("balanced").
        sampling: "shuffle" every image once an epoch; or draw images so that all classes ("class"),
            or all pairs of class and source ("class-and-source"), come up equally often; or
            "class-and-capped-source": all classes equally often, and within a class the sources by
            their size up to `source_cap`.
        source_cap: From so many images of a class on, a source counts no more for being larger.
        ema_decay: The evaluated network is an exponential moving average of the weights (EMA) with
            this decay at each step; 0 evaluates the last weights.
        swa_share: Over this last share of the epochs, the evaluated network is the plain mean of
            the weights instead (SWA), and the learning rate stays constant; 0 turns it off.
        gradient_clip: Largest norm of the gradient; 0 turns clipping off.
        monitor: Validation score that selects the epoch; "last" takes the last epoch, and
            validation is only reported.
        patience_epochs: Stop when the score has not improved for this many epochs; 0 never stops
            early.
        seed: Of weights, order and augmentation.
        accelerator: "auto" takes a GPU if there is one.
        devices: How many to use, "auto" for all.
        num_nodes: Machines that train together; the same command has to be started on each.
        strategy: Strategy for several devices, as Lightning names it.
        precision: "auto" is mixed on a GPU and full on a CPU; else as Lightning names it.
        logger: What follows the training beside `history.csv`, which is always written: "auto" is
            TensorBoard where it is installed; "tensorboard", "mlflow" and "wandb" are Lightning's
            loggers of these names; "csv" is `history.csv` alone. MLflow writes to
            MLFLOW_TRACKING_URI. Weights & Biases ("wandb") sends to the servers of its makers,
            unless WANDB_MODE is "offline".
        save_minutes: The state for --resume is saved after each epoch, and at this interval within
            one.
        augment: How far a training image may be changed.
    """

    epochs: int = Field(default=40, ge=1, le=100_000)
    batch_size: int = Field(default=32, ge=2, le=65_536)
    learning_rate: float = Field(default=3e-3, gt=0, le=10)
    weight_decay: float = Field(default=0.05, ge=0, le=10)
    warmup_epochs: float = Field(default=2.0, ge=0)
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    mixup: float = Field(default=0.2, ge=0, le=10)
    cutmix: float = Field(default=0.0, ge=0, le=10)
    class_weights: Literal["none", "sqrt", "balanced"] = "sqrt"
    sampling: Literal["shuffle", "class", "class-and-source", "class-and-capped-source"] = "shuffle"
    source_cap: int = Field(default=300, ge=1)
    ema_decay: float = Field(default=0.99, ge=0, lt=1)
    swa_share: float = Field(default=0.0, ge=0, le=0.9)
    gradient_clip: float = Field(default=5.0, ge=0)
    monitor: Literal["val_loss", "val_macro_auroc", "val_balanced_accuracy", "last"] = (
        "val_macro_auroc"
    )
    patience_epochs: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)
    accelerator: str = "auto"
    devices: int | Literal["auto"] = 1
    num_nodes: int = Field(default=1, ge=1, le=1024)
    strategy: str = "auto"
    precision: str = "auto"
    logger: Literal["auto", "tensorboard", "csv", "mlflow", "wandb"] = "auto"
    save_minutes: float = Field(default=10.0, ge=0)
    augment: AugmentConfig = AugmentConfig()

    @property
    def is_on_several_devices(self) -> bool:
        """Whether several processes train together; "auto" counts as one device."""
        return self.devices not in {1, "auto"} or self.num_nodes > 1


def is_training_helper(config: TrainConfig) -> bool:
    """Say whether this process is one of several that train together, and not the first.

    Only the first writes. Where one device trains, the numbers of processes are somebody else's: of
    trainings that a cluster runs side by side.
    """
    return (config.devices != 1 or config.num_nodes > 1) and is_numbered_process()


# What has to be there for a logger, checked before anything is read or written.


_LOGGER_PACKAGES = {"tensorboard": "track", "mlflow": "mlflow", "wandb": "wandb"}
"""From logger, which is also the name of its package, to the extra that brings it."""

MLFLOW_VARIABLE = "MLFLOW_TRACKING_URI"


def require_logger(config: TrainConfig) -> None:
    """Check that the logger of a training can be used.

    Raises:
        MissingExtraError: Its package is not installed.
        ConfigError: It is MLflow, and nothing says where that writes.
    """
    extra = _LOGGER_PACKAGES.get(config.logger)
    if extra is not None and importlib.util.find_spec(config.logger) is None:
        raise MissingExtraError(extra, needed_for=f"train.logger={config.logger}")
    if config.logger == "mlflow" and not os.environ.get(MLFLOW_VARIABLE):
        raise ConfigError(
            f"train.logger=mlflow needs the environment variable {MLFLOW_VARIABLE}: the address of "
            "your server, or for example sqlite:///mlflow.db (with the package mlflow) for a file."
        )
