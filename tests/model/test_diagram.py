from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pytest
import torch

from cxresnet import DISCLAIMER
from cxresnet.core.config import ModelConfig
from cxresnet.model.diagram import draw_architecture
from cxresnet.model.presets import build_model, list_presets

CLASSES = ("normal", "pneumonia", "covid-19")
NETWORKS = {preset.name: ModelConfig(preset=preset.name) for preset in list_presets()} | {
    "deep bottleneck": ModelConfig(
        preset="base", block="bottleneck", depths=(3, 4, 23, 3), widths=(64, 128, 256, 512)
    ),
    "harmonic": ModelConfig(preset="resnet18", harmonic=True, shortcut="average"),
    "one stage": ModelConfig(preset="nano", widths=(2048,), depths=(1,), antialias=False),
}


def _draw(config: ModelConfig, *, class_names: tuple[str, ...] = CLASSES) -> str:
    network = build_model(config, class_count=len(class_names))
    return draw_architecture(network, side_px=128, class_names=class_names)


def _read(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own text


def _list_texts(svg: str) -> Iterator[ET.Element]:
    yield from _read(svg).iter("{http://www.w3.org/2000/svg}text")


@pytest.fixture(scope="module", params=list(NETWORKS))
def svg(request: pytest.FixtureRequest) -> str:
    return _draw(NETWORKS[request.param])


@pytest.mark.slow
def test_it_needs_nothing_from_outside_and_runs_nothing(svg: str) -> None:
    inside = svg.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(
        r"https?:|url\(|href|@import|<script|<image|<foreignObject|\son\w+=", inside
    )


def test_it_knows_a_light_and_a_dark_reader(svg: str) -> None:
    assert "@media (prefers-color-scheme: dark)" in svg
    light, dark = re.findall(r"--paper: (#\w+)", svg)
    assert light != dark


def test_no_line_of_text_leaves_the_sheet_or_its_box(svg: str) -> None:
    root = _read(svg)
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    boxes = list(root.iter("{http://www.w3.org/2000/svg}rect"))
    for text in _list_texts(svg):
        # DejaVu Sans, the widest of the fonts asked for, takes about 0.55 em a letter.
        size = {"title": 21, "quiet": 14}.get(text.attrib["class"], 15)
        length = 0.55 * size * len(text.text or "")
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        left = {"start": x, "middle": x - length / 2, "end": x - length}[text.attrib["text-anchor"]]
        assert left >= 0, text.text
        assert left + length <= width, text.text
        assert 0 < y < height - 8, text.text
        if text.attrib["text-anchor"] == "middle" and not text.attrib["class"]:
            assert any(_holds(box, left, left + length, y) for box in boxes), text.text


def _holds(box: ET.Element, left: float, right: float, y: float) -> bool:
    x, top = float(box.attrib.get("x", 0)), float(box.attrib.get("y", 0))
    wide, high = float(box.attrib["width"]), float(box.attrib["height"])
    return x <= left and right <= x + wide and top < y < top + high < 1e5 and wide < 300


@pytest.mark.slow
def test_it_tells_the_stages_the_costs_the_classes_and_what_it_is_not_for() -> None:
    words = [text.text for text in _list_texts(_draw(ModelConfig(preset="resnet18")))]
    for expected in (
        "11.2 M parameters · 566 M multiply-adds per image",  # 1.73 G at 224 px, (128 / 224)²
        "Stage 4",
        "2 basic blocks",
        "512 maps",
        "4 × 4",
        "sees 11 × 11 px",
        "3×3, stride 2, norm",
        *CLASSES,
        DISCLAIMER,
    ):
        assert expected in words


@pytest.mark.slow
def test_residual_blocks_have_arcs_dashed_where_the_shape_changes() -> None:
    svg = _draw(ModelConfig(preset="resnet18"))
    assert svg.count('class="arc dashed"') == 3
    # Five blocks hand through, the near block has one arc, and each of nine has a plus.
    assert svg.count('class="arc"') == 5 + 1 + 9
    assert svg.count('class="plus"') == 9


def test_a_network_without_shortcuts_has_no_arcs() -> None:
    svg = _draw(ModelConfig(preset="convnet"))
    assert not re.search(r'class="arc( dashed)?"', svg)
    assert 'class="plus"' not in svg


@pytest.mark.slow
def test_every_option_is_told_in_the_near_block() -> None:
    config = ModelConfig(preset="small", harmonic=True, stochastic_depth=0.5)
    words = {text.text for text in _list_texts(_draw(config))}
    assert {
        "3×3 cosines, norm",
        "blur, halve the side",
        "weigh the channels",
        "19 % skip it in training",  # the third of eight blocks: 0.5 · 3 / 8
        "1×1, norm",
    } <= words


@pytest.mark.slow
def test_of_many_blocks_and_classes_some_are_told_as_a_number() -> None:
    names = tuple(f"finding {number}" for number in range(14))
    words = [
        text.text for text in _list_texts(_draw(NETWORKS["deep bottleneck"], class_names=names))
    ]
    assert "20 more" in words
    assert "6 more" in words
    assert "finding 8" not in words


def test_a_class_name_cannot_smuggle_markup_and_a_long_one_is_cut() -> None:
    svg = _draw(ModelConfig(), class_names=("<script>alert(1)</script>", "x" * 80))
    assert "<script" not in svg
    assert "x" * 25 + "…" in [text.text for text in _list_texts(svg)]


def test_without_names_the_classes_are_numbered() -> None:
    svg = draw_architecture(build_model(ModelConfig(), class_count=2), side_px=64)
    assert {"class 1", "class 2"} <= {text.text for text in _list_texts(svg)}


@pytest.mark.slow
def test_the_same_network_gives_the_same_picture_and_is_left_as_it_was() -> None:
    network = build_model(ModelConfig(), class_count=3).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first = draw_architecture(network, side_px=64)
    assert first == draw_architecture(network, side_px=64)
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
