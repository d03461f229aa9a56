"""Named networks, and building a network from a config."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cxresnet.core.config.model import ModelConfig
from cxresnet.core.errors import ConfigError
from cxresnet.model.architecture import Architecture

if TYPE_CHECKING:
    from cxresnet.model.ensemble import Network
    from cxresnet.model.resnet import CXResNet


@dataclass(frozen=True)
class Preset:
    """A network with a name.

    Attributes:
        name: As in `model.preset`.
        purpose: One sentence: what it is for.
        side_px: Side of the images that it was thought out for; takes others too.
        architecture: What it is made of.
    """

    name: str
    purpose: str
    side_px: int
    architecture: Architecture


_PRESETS = (
    Preset(
        name="nano",
        purpose="Ours for a CPU: minutes on two cores.",
        side_px=128,
        architecture=Architecture(
            stem="deep",
            stem_width=16,
            block="basic",
            widths=(16, 32, 64, 128),
            depths=(1, 1, 1, 2),
            shortcut="average",
            antialias=True,
            squeeze_excite=True,
            dropout=0.1,
        ),
    ),
    Preset(
        name="small",
        purpose="Ours for a CPU with some patience, or any GPU.",
        side_px=192,
        architecture=Architecture(
            stem="deep",
            stem_width=32,
            block="basic",
            widths=(32, 64, 128, 256),
            depths=(2, 2, 2, 2),
            shortcut="average",
            antialias=True,
            squeeze_excite=True,
            stochastic_depth=0.05,
            dropout=0.2,
        ),
    ),
    Preset(
        name="base",
        purpose="Ours for a GPU: the standard width with every option that helps.",
        side_px=224,
        architecture=Architecture(
            stem="deep",
            stem_width=64,
            block="basic",
            widths=(64, 128, 256, 512),
            depths=(2, 2, 2, 2),
            shortcut="average",
            antialias=True,
            squeeze_excite=True,
            stochastic_depth=0.1,
            dropout=0.2,
        ),
    ),
    Preset(
        name="mini",
        purpose="Ours for tiny images such as PneumoniaMNIST: a stem that keeps the size.",
        side_px=28,
        architecture=Architecture(
            stem="flat",
            stem_width=48,
            block="basic",
            widths=(48, 96, 192),
            depths=(2, 2, 2),
            shortcut="average",
            antialias=True,
            squeeze_excite=True,
            stochastic_depth=0.1,
            dropout=0.2,
        ),
    ),
    Preset(
        name="convnet",
        purpose="For comparison: a plain convolutional network, 16-64-128-256-512.",
        side_px=128,
        architecture=Architecture(
            stem="pool",
            stem_width=16,
            block="plain",
            widths=(64, 128, 256, 512),
            depths=(1, 1, 1, 1),
        ),
    ),
    Preset(
        name="plain-resnet",
        purpose="For comparison: a plain residual network, 16-64-128-256-512.",
        side_px=128,
        architecture=Architecture(
            stem="pool",
            stem_width=16,
            block="basic",
            widths=(64, 128, 256, 512),
            depths=(1, 1, 1, 1),
        ),
    ),
    Preset(
        name="resnet18",
        purpose="For comparison: the standard ResNet-18 with one input channel.",
        side_px=224,
        architecture=Architecture(
            stem="classic",
            stem_width=64,
            block="basic",
            widths=(64, 128, 256, 512),
            depths=(2, 2, 2, 2),
        ),
    ),
)


def list_presets() -> tuple[Preset, ...]:
    """List the presets: ours from small to large, then those for comparison."""
    return _PRESETS


def resolve_architecture(config: ModelConfig) -> Architecture:
    """Take the preset's architecture, changed where the config differs.

    Raises:
        ConfigError: There is no such preset or block, or widths and depths differ in length.
    """
    preset = _find_preset(config.preset)
    from cxresnet.model.blocks import get_block  # noqa: PLC0415  needs torch; names need none

    changes = config.model_dump(exclude={"preset", "members"}, exclude_none=True)
    architecture = dataclasses.replace(preset.architecture, **changes)
    get_block(architecture.block)
    return architecture


def complete_config(config: ModelConfig) -> ModelConfig:
    """Write out everything from the preset, for a checkpoint that outlives its preset."""
    architecture = resolve_architecture(config)
    return ModelConfig(
        preset=config.preset, members=config.members, **dataclasses.asdict(architecture)
    )


def build_network(config: ModelConfig, *, class_count: int) -> Network:
    """Build what a checkpoint of this config holds: one network, or an ensemble.

    Raises:
        ConfigError: As of `build_model`.
    """
    members = [build_model(config, class_count=class_count) for _ in range(config.members)]
    if len(members) == 1:
        return members[0]
    from cxresnet.model.ensemble import CXResNetEnsemble  # noqa: PLC0415  needs torch; names need none

    return CXResNetEnsemble(members)


def build_model(config: ModelConfig, *, class_count: int) -> CXResNet:
    """Build one network with fresh weights, drawn from torch's current random state.

    Args:
        config: A preset and what differs from it.
        class_count: Number of classes, at least 2.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        ConfigError: The preset is unknown, the stages do not fit, or there are too few classes.
    """
    architecture = resolve_architecture(config)
    from cxresnet.model.resnet import CXResNet  # noqa: PLC0415  needs torch; names need none

    return CXResNet(architecture, class_count=class_count)


def _find_preset(name: str) -> Preset:
    presets = {preset.name: preset for preset in _PRESETS}
    if name in presets:
        return presets[name]
    close = difflib.get_close_matches(name.lower(), presets, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(presets)}."
    raise ConfigError(f"There is no preset '{name}'. {hint}")
