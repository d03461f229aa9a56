from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cxresnet.core.config.model import StemName
from cxresnet.core.errors import ConfigError
from cxresnet.model.architecture import Architecture
from cxresnet.model.blocks import BasicBlock, BottleneckBlock
from cxresnet.model.presets import list_presets
from cxresnet.model.resnet import CXResNet

TINY = Architecture(stem="flat", stem_width=4, block="basic", widths=(4, 8), depths=(1, 1))
RICH = Architecture(
    stem="deep",
    stem_width=8,
    block="basic",
    widths=(8, 16, 24),
    depths=(1, 2, 1),
    shortcut="average",
    antialias=True,
    squeeze_excite=True,
    harmonic=True,
    stochastic_depth=0.2,
    dropout=0.3,
)
RICH_BOTTLENECK = Architecture(
    stem="classic",
    stem_width=8,
    block="bottleneck",
    widths=(16, 32),
    depths=(2, 1),
    shortcut="average",
    antialias=True,
    squeeze_excite=True,
    norm="group",
)
PLAIN = Architecture(stem="pool", stem_width=4, block="plain", widths=(8, 12), depths=(1, 2))
ALL = {"tiny": TINY, "rich": RICH, "bottleneck": RICH_BOTTLENECK, "plain": PLAIN}


@pytest.fixture(params=list(ALL))
def network(request: pytest.FixtureRequest) -> CXResNet:
    torch.manual_seed(1)
    return _wake(CXResNet(ALL[request.param], class_count=3))


def _wake(network: CXResNet) -> CXResNet:
    """Give every norm a random gain and shift, as after training, so that no branch is silent."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


def test_the_parameters_of_a_tiny_network_are_those_counted_by_hand() -> None:
    # stem     1·4·9 = 36, norm 2·4 = 8                              →   44
    # stage 1  conv 4·4·9 = 144, norm 8; twice; no projection        →  304
    # stage 2  conv 4·8·9 = 288, norm 16; conv 8·8·9 = 576, norm 16;
    #          projection 4·8 = 32, norm 16                          →  944
    # head     8·3 weights + 3 biases                                →   27
    network = CXResNet(TINY, class_count=3)
    assert sum(p.numel() for p in network.parameters()) == 44 + 304 + 944 + 27


@pytest.mark.slow
def test_resnet18_has_the_parameters_of_the_published_one() -> None:
    # torchvision's resnet18: 11,689,512 with 3 channels in and 1000 classes out. One channel
    # saves 2·64·49 in the stem; three classes replace 513·1000 in the head by 513·3.
    preset = {preset.name: preset for preset in list_presets()}["resnet18"]
    network = CXResNet(preset.architecture, class_count=3)
    expected = 11_689_512 - 2 * 64 * 49 - 513 * 1000 + 513 * 3
    assert sum(p.numel() for p in network.parameters()) == expected


def _convolve_and_normalise(x: Tensor, state: dict[str, Tensor], name: str, stride: int) -> Tensor:
    weight = state[f"{name}.convolution.weight"]
    x = functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
    norm = [state[f"{name}.norm.{part}"] for part in ("running_mean", "running_var")]
    affine = [state[f"{name}.norm.{part}"] for part in ("weight", "bias")]
    return functional.batch_norm(x, *norm, *affine)


@pytest.mark.slow
def test_resnet18_computes_what_a_formula_written_out_by_hand_computes() -> None:
    preset = {preset.name: preset for preset in list_presets()}["resnet18"]
    torch.manual_seed(0)
    network = _wake(CXResNet(preset.architecture, class_count=3)).eval()
    state = network.state_dict()
    images = torch.randn(2, 1, 50, 41)

    x = functional.relu(_convolve_and_normalise(images, state, "stem.conv1", 2))
    x = functional.max_pool2d(x, 3, stride=2, padding=1)
    for stage, block in itertools.product((1, 2, 3, 4), (1, 2)):
        stride = 2 if stage > 1 and block == 1 else 1
        name = f"stages.stage{stage}.block{block}"
        branch = functional.relu(_convolve_and_normalise(x, state, f"{name}.conv1", stride))
        branch = _convolve_and_normalise(branch, state, f"{name}.conv2", 1)
        if stride == 2:
            x = _convolve_and_normalise(x, state, f"{name}.shortcut.projection", 2)
        x = functional.relu(branch + x)
    logits = functional.linear(x.mean(dim=(2, 3)), state["head.weight"], state["head.bias"])

    with torch.no_grad():
        assert torch.allclose(network(images), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("stem", "reduction"), [("flat", 1), ("pool", 2), ("classic", 4), ("deep", 4)]
)
@pytest.mark.parametrize("block", ["plain", "basic", "bottleneck"])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("side", [(16, 16), (17, 33), (64, 31)])
def test_any_side_goes_in_and_the_map_is_as_small_as_stem_and_stages_make_it(
    stem: StemName, reduction: int, block: str, antialias: bool, side: tuple[int, int]
) -> None:
    architecture = Architecture(
        stem=stem, stem_width=4, block=block, widths=(8, 8), depths=(1, 1), antialias=antialias
    )
    network = CXResNet(architecture, class_count=2).eval()
    features = network.forward_features(torch.zeros(1, 1, *side))
    expected = tuple(-(-one // (2 * reduction)) for one in side)  # halving rounds up
    assert features.shape == (1, 8, *expected)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("shortcut", ["strided", "average"])
def test_the_shortcut_and_the_branch_always_meet_in_one_shape(norm: str, shortcut: str) -> None:
    for side, antialias in itertools.product(range(16, 24), (False, True)):
        network = CXResNet(
            Architecture(
                stem="flat",
                stem_width=4,
                block="basic",
                widths=(4, 6, 8),
                depths=(1, 1, 1),
                norm=norm,
                shortcut=shortcut,
                antialias=antialias,
            ),
            class_count=2,
        ).eval()
        assert network(torch.zeros(1, 1, side, side)).shape == (1, 2)


@pytest.mark.parametrize("class_count", [2, 14])
def test_there_is_one_logit_a_class(class_count: int) -> None:
    assert CXResNet(TINY, class_count=class_count)(torch.zeros(2, 1, 16, 16)).shape == (
        2,
        class_count,
    )


def test_a_batch_gives_the_same_as_its_images_one_by_one(network: CXResNet) -> None:
    network.eval()
    images = torch.randn(5, 1, 40, 40)
    with torch.no_grad():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    assert torch.allclose(together, alone, atol=1e-4)


def test_the_memory_layout_does_not_change_the_answer(network: CXResNet) -> None:
    network.eval()
    images = torch.randn(3, 1, 33, 47)
    with torch.no_grad():
        usual = network(images)
        network.to(memory_format=torch.channels_last)
        last = network(images.to(memory_format=torch.channels_last))
    assert torch.allclose(usual, last, atol=1e-4)


def test_the_head_sees_the_mean_of_the_features(network: CXResNet) -> None:
    network.eval()
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        expected = network.head(network.forward_features(images).mean(dim=(2, 3)))
        assert torch.allclose(network(images), expected, atol=1e-5)


def test_the_explained_layer_gives_the_features(network: CXResNet) -> None:
    network.eval()
    seen: list[Tensor] = []
    handle = network.target_layer.register_forward_hook(lambda *call: seen.append(call[2]))
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        network(images)
        assert torch.equal(seen[0], network.forward_features(images))
    handle.remove()


def test_no_module_is_used_twice_and_none_works_in_place(network: CXResNet) -> None:
    calls: dict[str, int] = {}
    for name, module in network.named_modules():
        assert not getattr(module, "inplace", False), name
        if not list(module.children()):
            module.register_forward_hook(
                lambda *_, name=name: calls.__setitem__(name, calls.get(name, 0) + 1)
            )
    network(torch.randn(2, 1, 32, 32))
    assert set(calls.values()) == {1}
    leaves = {name for name, module in network.named_modules() if not list(module.children())}
    empty = {name for name in leaves if name.endswith("shortcut")}  # hands its input through
    assert set(calls) | empty == leaves


def test_no_module_writes_over_its_input(network: CXResNet) -> None:
    def compare(module: nn.Module, before: tuple[Tensor, ...]) -> None:
        module.remembered = before[0].clone()  # type: ignore[assignment]

    def check(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        assert torch.equal(module.remembered, given[0])

    for module in network.modules():
        module.register_forward_pre_hook(compare)
        module.register_forward_hook(check)
    network(torch.randn(2, 1, 32, 32))


def test_a_gradient_reaches_every_parameter_and_the_image(network: CXResNet) -> None:
    network.train()
    images = torch.randn(16, 1, 32, 32, requires_grad=True)
    functional.cross_entropy(network(images), torch.arange(16) % 3).backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rich", "bottleneck"])
def test_a_fresh_network_learns_which_way_a_line_runs(name: str) -> None:
    torch.manual_seed(3)
    network = CXResNet(
        dataclasses.replace(ALL[name], stochastic_depth=0.0, dropout=0.0), class_count=2
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)

    def draw(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(count) % 2  # 0: an upright line, 1: a level one
        images = torch.randn(count, 1, 32, 32)
        places = torch.randint(6, 26, (count,))
        for image, label, place in zip(images, labels, places, strict=True):
            line = image[0, place] if label else image[0, :, place]
            line += 3
        return images, labels

    for _ in range(80):
        images, labels = draw(32)
        optimizer.zero_grad()
        functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    images, labels = draw(200)
    with torch.no_grad():
        accuracy = (network.eval()(images).argmax(dim=1) == labels).float().mean().item()
    assert accuracy > 0.9


@pytest.mark.parametrize("architecture", [TINY, RICH, RICH_BOTTLENECK])
def test_fresh_branches_are_silent_and_fresh_logits_near_zero(architecture: Architecture) -> None:
    network = CXResNet(architecture, class_count=3)
    for module in network.modules():
        if isinstance(module, BasicBlock | BottleneckBlock):
            assert not module.last_norm.get_parameter("weight").any()
    logits = network.eval()(torch.randn(4, 1, 32, 32))
    assert logits.abs().max() < 0.5


def test_later_blocks_are_left_out_more_often() -> None:
    network = CXResNet(RICH, class_count=3)
    shares = [
        module.stochastic_depth.drop_probability
        for module in network.modules()
        if isinstance(module, BasicBlock)
    ]
    assert shares == pytest.approx([0.05, 0.10, 0.15, 0.20])


def _measure_change_by_a_shift(*, antialias: bool) -> float:
    """Mean change of the features when a noisy image moves by a pixel, as a share of their size."""
    changes = []
    for seed in range(6):
        torch.manual_seed(seed)
        architecture = Architecture(
            stem="classic",
            stem_width=16,
            block="basic",
            widths=(16, 32),
            depths=(1, 1),
            antialias=antialias,
        )
        network = _wake(CXResNet(architecture, class_count=2)).eval()
        images = torch.randn(4, 1, 65, 65)
        with torch.no_grad():
            here = network.forward_features(images[..., :-1, :-1])
            there = network.forward_features(images[..., 1:, 1:])
        changes.append(float((here - there).norm() / here.norm()))
    return sum(changes) / len(changes)


@pytest.mark.slow
def test_with_antialiasing_a_shift_by_one_pixel_changes_less() -> None:
    assert _measure_change_by_a_shift(antialias=True) < 0.85 * _measure_change_by_a_shift(
        antialias=False
    )


@pytest.mark.parametrize(
    "shape", [(1, 3, 32, 32), (1, 32, 32), (1, 1, 15, 32), (1, 1, 32, 15), (32, 32)]
)
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"images must be \(batch, 1, height, width\)"):
        CXResNet(TINY, class_count=2)(torch.zeros(shape))


def test_a_single_class_is_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigError, match=r"at least two classes.*got 1.*second class"):
        CXResNet(TINY, class_count=1)
