"""The complete description of a network."""

from __future__ import annotations

from dataclasses import dataclass

from cxresnet.core.config.model import NormName, ShortcutName, StemName
from cxresnet.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Every choice that shapes a network; `ModelConfig` explains each.

    Attributes:
        stem: How the image enters.
        stem_width: Channels that the stem hands over.
        block: What the stages are made of.
        widths: Channels of each stage.
        depths: Blocks of each stage.
        shortcut: How a shortcut halves the side.
        antialias: Whether to blur before dropping pixels.
        squeeze_excite: Whether every block weighs its channels.
        harmonic: Whether 3×3 convolutions are mixes of fixed cosines.
        norm: What normalises.
        stochastic_depth: Share of images for which the last block is left out, 0 to 1.
        dropout: Share of pooled features left out, 0 to 1.
    """

    stem: StemName
    stem_width: int
    block: str
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    shortcut: ShortcutName = "strided"
    antialias: bool = False
    squeeze_excite: bool = False
    harmonic: bool = False
    norm: NormName = "batch"
    stochastic_depth: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse stages that have a width but no depth, or a depth but no width.

        Raises:
            ConfigError: `widths` and `depths` differ in length.
        """
        if len(self.widths) != len(self.depths):
            raise ConfigError(
                f"model.widths names {len(self.widths)} stages but model.depths "
                f"{len(self.depths)}; give both with the same number of values."
            )
