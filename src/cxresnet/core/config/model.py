"""Which network is built."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cxresnet.core.config.section import Section

StemName = Literal["flat", "pool", "classic", "deep"]
ShortcutName = Literal["strided", "average"]
NormName = Literal["batch", "group"]

_Width = Annotated[int, Field(ge=4, le=4096)]
_Depth = Annotated[int, Field(ge=1, le=64)]


class ModelConfig(Section):
    """Which network: a named preset, and what differs from it.

    Everything but the preset may be None, which takes the value of the preset.

    Attributes:
        preset: Name of a preset; `cxresnet model` lists them.
        stem: How the image enters: "flat" (one 3×3 convolution, the size stays), "pool" (the same
            and a max pool: half the size), "classic" (7×7 and a max pool: a quarter), "deep"
            (three 3×3 and a max pool, as in ResNet-D: a quarter).
        stem_width: Channels of the stem's output.
        block: Name of a registered block: "basic" (two 3×3), "bottleneck" (1×1, 3×3, 1×1) or
            "plain" (one 3×3, no shortcut); see `cxresnet.model.blocks`.
        widths: Channels of each stage; every stage but the first halves the side.
        depths: Blocks of each stage.
        shortcut: How the shortcut halves the side: a "strided" 1×1 convolution, which drops three
            pixels of four, or an "average" pool before the 1×1, as in ResNet-D.
        antialias: Blur before dropping pixels (Zhang 2019).
        squeeze_excite: Let every block weigh its channels (Hu 2018).
        harmonic: Make every 3×3 convolution a learned mix of fixed cosines (Ulicny 2019).
        norm: "batch", or "group" for batches below 16 images.
        stochastic_depth: Share of images for which the last block is left out of a training step;
            earlier blocks less, in proportion.
        dropout: Share of pooled features left out of a training step, before the head.
        members: Networks whose logits are averaged; `cxresnet train --seeds` sets it.
    """

    preset: str = Field(default="nano", min_length=1)
    stem: StemName | None = None
    stem_width: _Width | None = None
    block: str | None = Field(default=None, min_length=1)
    widths: tuple[_Width, ...] | None = Field(default=None, min_length=1, max_length=8)
    depths: tuple[_Depth, ...] | None = Field(default=None, min_length=1, max_length=8)
    shortcut: ShortcutName | None = None
    antialias: bool | None = None
    squeeze_excite: bool | None = None
    harmonic: bool | None = None
    norm: NormName | None = None
    stochastic_depth: float | None = Field(default=None, ge=0, lt=1)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    members: int = Field(default=1, ge=1, le=100)

    @model_validator(mode="after")
    def _each_stage_has_a_width_and_a_depth(self) -> Self:
        if self.widths and self.depths and len(self.widths) != len(self.depths):
            raise ValueError(
                f"widths names {len(self.widths)} stages but depths names {len(self.depths)}"
            )
        return self
