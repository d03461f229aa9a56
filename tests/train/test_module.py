"""The moving average of the weights, by hand and against PyTorch's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cxresnet.core.config import Config
from cxresnet.train.engine import quiet_lightning, reproducible
from cxresnet.train.inputs import gather_training_inputs
from cxresnet.train.loaders import normalise_tensor
from cxresnet.train.module import TrainingModule, WeightAverage, compute_validation_metrics


def build_network(value: float) -> nn.Linear:
    network = nn.Linear(1, 1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(value)
    return network


def test_the_first_steps_by_hand() -> None:
    # Kept in the first step: (1 + 0) / (10 + 0) = 0.1; in the second: 2 / 11.
    average = WeightAverage(build_network(0.0), decay=0.99)

    average.update(build_network(1.0))
    after_one = float(average.network.weight)
    average.update(build_network(1.0))

    assert after_one == pytest.approx(0.9)
    assert float(average.network.weight) == pytest.approx(1 - 0.1 * 2 / 11)


def test_a_long_run_is_pytorch_s_average_and_counts_are_copied() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    ours = WeightAverage(network, decay=0.05)  # below (1 + 0) / (10 + 0): never short
    theirs = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.05), use_buffers=True)
    theirs.update_parameters(network)  # its first update only copies
    for _ in range(5):
        with torch.no_grad():
            network[0].weight.add_(torch.randn_like(network[0].weight))
        network(torch.randn(4, 1, 8, 8))
        ours.update(network)
        theirs.update_parameters(network)

    expected = theirs.module.state_dict()
    for name, mean in ours.network.state_dict().items():
        if mean.is_floating_point():
            torch.testing.assert_close(mean, expected[name], msg=name)
    assert int(ours.network[1].num_batches_tracked) == 5


def test_the_network_learns_nothing_of_its_average() -> None:
    network = build_network(2.0)
    average = WeightAverage(network, decay=0.9)

    average.update(build_network(5.0))

    assert network.weight.item() == 2.0
    assert not any(weight.requires_grad for weight in average.parameters())


def test_the_plain_mean_by_hand_forgets_what_was_before() -> None:
    average = WeightAverage(build_network(7.0), decay=0.9)
    average.update(build_network(9.0))

    for value in (1.0, 2.0, 6.0):
        average.update(build_network(value), evenly=True)

    assert float(average.network.weight) == pytest.approx(3.0)


def test_the_mean_begins_anew_however_many_steps_were_taken_before() -> None:
    average = WeightAverage(build_network(0.0), decay=0.5)
    for _ in range(30):
        average.update(build_network(8.0))
    assert float(average.network.weight) == pytest.approx(8.0)

    average.update(build_network(2.0), evenly=True)

    assert float(average.network.weight) == pytest.approx(2.0)
    assert (int(average.steps), int(average.even_steps)) == (30, 1)


def test_steps_counted_are_part_of_the_state_so_that_a_resumed_average_goes_on() -> None:
    first = WeightAverage(build_network(0.0), decay=0.99)
    for value in (1.0, 2.0):
        first.update(build_network(value))
    restored = WeightAverage(build_network(5.0), decay=0.99)

    restored.load_state_dict(first.state_dict())
    for average in (first, restored):
        average.update(build_network(3.0))
        average.update(build_network(4.0), evenly=True)
        average.update(build_network(6.0), evenly=True)

    assert float(first.network.weight) == pytest.approx(5.0)
    assert float(restored.network.weight) == float(first.network.weight)


def test_running_statistics_of_norms_are_averaged_too() -> None:
    # Kept in the first step: 0.1.
    network = nn.BatchNorm1d(1)
    average = WeightAverage(network, decay=0.99)
    with torch.no_grad():
        network.running_mean.fill_(10.0)

    average.update(network)

    assert float(average.network.running_mean) == pytest.approx(9.0)


# How a training is wired: chance of each epoch, schedule, average, class weights.


BuildConfig = Callable[..., Config]
UNCHANGED = {
    "rotation_degrees": 0.0,
    "scale_share": 0.0,
    "shift_share": 0.0,
    "contrast": 0.0,
    "brightness": 0.0,
    "noise": 0.0,
}


class Recorder(Callback):  # type: ignore[misc]  # mypy does not follow Lightning
    """Notes the learning rate before each step and the weights after it."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.weights: list[dict[str, torch.Tensor]] = []

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(self, _: Trainer, module: TrainingModule, *__: Any) -> None:
        state = module.network.state_dict()
        self.weights.append({name: tensor.clone() for name, tensor in state.items()})


def _fit(dataset: Any, config: Config) -> tuple[TrainingModule, Recorder]:
    recorder = Recorder()
    with quiet_lightning(), reproducible(0):
        module = TrainingModule(gather_training_inputs(dataset), config=config)
        Trainer(
            max_epochs=config.train.epochs,
            accelerator="cpu",
            callbacks=[recorder],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        ).fit(module)
    return module, recorder


class Stepper:
    """One step of training at any epoch, batch and rank, on the same eight images."""

    def __init__(self, dataset: Any, config: Config) -> None:
        torch.manual_seed(0)
        self.module = TrainingModule(gather_training_inputs(dataset), config=config)
        self.trainer = SimpleNamespace(current_epoch=0, global_rank=0, world_size=1)
        self.module.trainer = self.trainer
        self.batch = next(iter(self.module.train_dataloader()))
        self.images: list[torch.Tensor] = []
        self.module.network.register_forward_pre_hook(
            lambda _, inputs: self.images.append(inputs[0].clone())
        )

    def step(self, *, epoch: int = 0, batch: int = 0, rank: int = 0) -> tuple[torch.Tensor, float]:
        """Return what the network saw, and the loss."""
        torch.manual_seed(epoch + 1000)  # what came before must not matter
        self.trainer.current_epoch, self.trainer.global_rank = epoch, rank
        loss = float(self.module.training_step(self.batch, batch).detach())
        return self.images[-1], loss


def test_augmentation_is_another_in_each_epoch_batch_and_process_and_the_same_again(
    squares: Any, tiny_config: BuildConfig
) -> None:
    stepper = Stepper(squares, tiny_config())

    first, _ = stepper.step()
    others = [
        stepper.step(**place)[0]
        for place in ({"epoch": 1}, {"epoch": 2}, {"batch": 1}, {"rank": 1})
    ]
    again, _ = stepper.step()

    assert torch.equal(first, again)
    for number, one in enumerate([first, *others]):
        assert not any(torch.equal(one, other) for other in others[number:] if other is not one)


def test_another_seed_augments_otherwise(squares: Any, tiny_config: BuildConfig) -> None:
    images = [Stepper(squares, tiny_config(seed=seed)).step()[0] for seed in (0, 1)]
    assert not torch.equal(*images)


def test_dropout_is_another_in_each_epoch_and_the_same_again(
    squares: Any, tiny_config: BuildConfig
) -> None:
    stepper = Stepper(squares, tiny_config(augment=UNCHANGED))

    losses = [stepper.step(epoch=epoch)[1] for epoch in (0, 1, 2, 0)]

    torch.testing.assert_close(stepper.images[0], stepper.images[1], atol=1e-4, rtol=0)
    assert min(abs(losses[a] - losses[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > 1e-4
    assert losses[0] == losses[3]


@pytest.mark.slow
def test_the_learning_rate_climbs_and_falls_step_by_step(
    squares: Any, tiny_config: BuildConfig
) -> None:
    # 48 images in batches of 8 are 6 steps an epoch: half an epoch climbs over 3 steps by quarters,
    # then 15 steps of half a cosine.
    config = tiny_config(epochs=3, learning_rate=0.01, warmup_epochs=0.5)

    _, recorder = _fit(squares, config)

    falling = 0.5 * (1 + np.cos(np.pi * np.arange(15) / 15))
    assert recorder.rates == pytest.approx([0.0025, 0.005, 0.0075, *(0.01 * falling)])


@pytest.mark.slow
def test_stochastic_weight_averaging_levels_the_rate_and_takes_the_plain_mean_of_the_last_steps(
    squares: Any, tiny_config: BuildConfig
) -> None:
    # A third of 3 epochs of 6 steps: the last 6 steps stay at a tenth, and only they are averaged.
    config = tiny_config(
        epochs=3, learning_rate=0.01, warmup_epochs=0, ema_decay=0, swa_share=1 / 3
    )

    module, recorder = _fit(squares, config)

    falling = 0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * np.arange(12) / 12))
    assert recorder.rates == pytest.approx([*(0.01 * falling), *[0.001] * 6])
    assert module.average is not None
    evaluated = module.evaluated_network.state_dict()
    for name in ("head.weight", "head.bias"):
        mean = torch.stack([weights[name] for weights in recorder.weights[-6:]]).mean(dim=0)
        torch.testing.assert_close(evaluated[name], mean)
        assert not torch.equal(evaluated[name], recorder.weights[-1][name])


@pytest.mark.slow
def test_the_moving_average_is_what_validation_judges(
    squares: Any, tiny_config: BuildConfig
) -> None:
    module, recorder = _fit(squares, tiny_config(epochs=2, learning_rate=0.02, ema_decay=0.9))

    assert module.average is not None
    assert module.evaluated_network is module.average.network
    expected = torch.zeros_like(recorder.weights[0]["head.weight"])
    kept = [min(0.9, (1 + step) / (10 + step)) for step in range(12)]
    for share, weights in zip(kept, recorder.weights, strict=True):
        expected = share * expected + (1 - share) * weights["head.weight"]
    # What the average began with has by now a weight of the product of all shares.
    assert np.prod(kept) < 1e-5
    torch.testing.assert_close(
        module.evaluated_network.state_dict()["head.weight"], expected, atol=1e-5, rtol=1e-5
    )
    assert module.epoch_metrics["val_loss"] == pytest.approx(
        _compute_val_loss(module, module.average.network, squares), abs=1e-5
    )
    raw = _compute_val_loss(module, module.network, squares)
    assert module.epoch_metrics["val_loss"] != pytest.approx(raw, abs=1e-3)


def test_without_an_average_the_network_itself_is_judged(
    squares: Any, tiny_config: BuildConfig
) -> None:
    material = gather_training_inputs(squares)
    config = tiny_config(ema_decay=0, swa_share=0)
    module = TrainingModule(material, config=config)
    assert module.average is None
    assert module.evaluated_network is module.network


def _compute_val_loss(module: TrainingModule, network: torch.nn.Module, dataset: Any) -> float:
    val = gather_training_inputs(dataset).val
    images = normalise_tensor(torch.from_numpy(val.images)[:, None], dataset.preprocessing)
    with torch.no_grad():
        logits = network.eval()(images)
    metrics = compute_validation_metrics(
        logits,
        np.asarray(val.labels),
        class_names=dataset.class_names,
        weights=module.class_weights,
    )
    return metrics["val_loss"]


def test_class_weights_are_those_of_the_training_images(
    uneven: Any, tiny_config: BuildConfig
) -> None:
    # Training images: 32 left, 8 middle, 4 right, of 44; validation has 2, 3 and 4 of them.
    # Full: 1/32, 1/8, 1/4 times 44 / 3.
    material = gather_training_inputs(uneven)
    assert np.bincount(material.train.labels).tolist() == [32, 8, 4]
    assert np.bincount(material.val.labels).tolist() == [2, 3, 4]

    module = TrainingModule(material, config=tiny_config(class_weights="balanced"))

    expected = torch.tensor([44 / 96, 44 / 24, 44 / 12])
    torch.testing.assert_close(module.class_weights, expected)


@pytest.mark.slow
def test_class_weights_count_in_training_and_in_validation(
    uneven: Any, tiny_config: BuildConfig
) -> None:
    plain = {"augment": UNCHANGED, "label_smoothing": 0, "mixup": 0, "cutmix": 0}
    losses = [
        Stepper(uneven, tiny_config(class_weights=kind, **plain)).step()[1]
        for kind in ("none", "balanced")
    ]
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)

    module, _ = _fit(uneven, tiny_config(epochs=1, class_weights="balanced"))
    weighted = _compute_val_loss(module, module.evaluated_network, uneven)
    assert module.epoch_metrics["val_loss"] == pytest.approx(weighted, abs=1e-5)


@pytest.mark.parametrize(
    ("broken", "named", "more"), [([2], 1, False), ([], 5, True), ([0, 1, 2, 3, 4, 5], 5, True)]
)
def test_the_images_whose_loss_is_no_number_are_named_or_the_whole_batch(
    broken: list[int], named: int, *, more: bool, squares: Any, tiny_config: BuildConfig
) -> None:
    stepper = Stepper(squares, tiny_config())
    logits = torch.zeros(len(stepper.batch.rows), 2)
    logits[broken] = torch.nan
    sentence = stepper.module._explain_not_finite(logits, stepper.batch, 3)
    shown = stepper.batch.rows[broken] if broken else stepper.batch.rows
    names = [squares.select("train").manifest["image_id"].iloc[row] for row in shown.tolist()]
    listed = ", ".join(f"'{name}'" for name in names[:named])
    assert f"in epoch 1, batch 4, images {listed}{' …' if more else ''}. Look at" in sentence


def test_a_helper_thread_that_fails_prints_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise OSError("File too large")

    before = threading.excepthook
    with quiet_lightning():
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
    assert threading.excepthook is before
    assert "Traceback" not in capfd.readouterr().err
