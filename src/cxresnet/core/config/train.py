"""How the network is trained."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cxresnet.core.config.section import Section

__all__ = ["AugmentConfig", "TrainConfig"]


class AugmentConfig(Section):
    """How far a training film may be changed; each film anew, evenly between no and most.

    Never upside down. Left and right are swapped only on request, because the heart lies left.

    Attributes:
        rotation_degrees: Turned by at most so much, either way.
        scale_share: Larger or smaller by at most this share.
        shift_share: Moved by at most this share of the side, both ways.
        contrast: Contrast multiplied by 1 ± at most this.
        brightness: Brightness moved by ± at most this, in standard deviations of the films.
        gamma: Tone curve: exponent between 1 / (1 + gamma) and 1 + gamma.
        blur: A film blurred over 3×3 pixels is mixed in with at most this share.
        noise: Standard deviation of added noise, at most, in standard deviations of the films.
        border_erase_share: Width of a grey frame laid over the border, at most, as a share of the
            side: what is written in a corner, and how a film was cut, is not always to be had.
        horizontal_flip: Swap left and right of half of the films.
    """

    rotation_degrees: float = Field(default=10, ge=0, le=45)
    scale_share: float = Field(default=0.12, ge=0, le=0.5)
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
        epochs: Passes over the training films, at most.
        batch_size: Films a step, on each device.
        learning_rate: Peak of the schedule: a linear climb, then half a cosine down to zero.
        weight_decay: Decoupled (AdamW); not applied to norms and biases.
        warmup_epochs: Length of the climb.
        label_smoothing: Share of the truth spread over all classes.
        mixup: Blend pairs of films, weight drawn from Beta(mixup, mixup); 0 does not.
        cutmix: Lay a part of one film over another, size drawn from Beta(cutmix, cutmix); 0 does
            not. With mixup too, each batch takes one of them.
        class_weights: Weigh rare classes more in the loss: not at all, by the square root of their
            rarity, or fully.
        sampling: "shuffle" every film once an epoch; or draw films so that all classes, or all
            pairs of class and source, come up equally often.
        average_decay: The network that is judged is a moving average of the weights, which keeps
            this share a step (EMA); 0 judges the last weights.
        swa_share: Over this last share of the epochs, the network that is judged is the plain mean
            of the weights instead (SWA), and the learning rate stays level; 0 does not.
        gradient_clip: Longest gradient; longer ones are shortened. 0 does not.
        monitor: What chooses the epoch, on validation films; "last" takes the last one, whatever
            they say, and they only watch.
        patience_epochs: Stop when that has not improved for so long; 0 never stops early.
        seed: Of weights, order and augmentation.
        accelerator: "auto" takes a GPU if there is one.
        devices: How many of them, "auto" for all.
        num_nodes: Machines.
        strategy: How several devices work together, as Lightning names it.
        precision: "auto" is mixed on a GPU and full on a CPU; else as Lightning names it.
        save_minutes: The state for --resume is saved after each epoch, and so often within one.
        augment: How far a training film may be changed.
    """

    epochs: int = Field(default=40, ge=1, le=100_000)
    batch_size: int = Field(default=32, ge=2, le=65_536)
    learning_rate: float = Field(default=3e-3, gt=0, le=10)
    weight_decay: float = Field(default=0.05, ge=0, le=10)
    warmup_epochs: float = Field(default=2.0, ge=0)
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    mixup: float = Field(default=0.2, ge=0, le=10)
    cutmix: float = Field(default=0.0, ge=0, le=10)
    class_weights: Literal["none", "root", "full"] = "root"
    sampling: Literal["shuffle", "class", "class-and-source"] = "shuffle"
    average_decay: float = Field(default=0.99, ge=0, lt=1)
    swa_share: float = Field(default=0.0, ge=0, le=0.9)
    gradient_clip: float = Field(default=5.0, ge=0)
    monitor: Literal["val_loss", "val_macro_auroc", "val_balanced_accuracy", "last"] = (
        "val_macro_auroc"
    )
    patience_epochs: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)
    accelerator: str = "auto"
    devices: int | Literal["auto"] = 1
    num_nodes: int = Field(default=1, ge=1)
    strategy: str = "auto"
    precision: str = "auto"
    save_minutes: float = Field(default=10.0, ge=0)
    augment: AugmentConfig = AugmentConfig()
