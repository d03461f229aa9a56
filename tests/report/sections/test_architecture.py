"""The network is drawn and summed up."""

from __future__ import annotations

import base64

from cxresnet.core.config import ModelConfig
from cxresnet.model.presets import build_model
from cxresnet.report.sections.architecture import ArchitectureView, build_architecture_section


def test_the_picture_is_an_svg_apart_and_the_sums_are_those_of_the_network() -> None:
    model = build_model(ModelConfig(preset="nano"), class_count=2)
    section = build_architecture_section(
        model, preset="nano", side_px=64, class_names=("<b>one</b>", "two")
    )
    assert isinstance(section.view, ArchitectureView)
    kind, _, content = section.view.address.partition(",")
    assert kind == "data:image/svg+xml;base64"
    picture = base64.b64decode(content).decode()
    assert picture.startswith("<svg")
    assert "<b>one" not in picture
    learnt = sum(parameter.numel() for parameter in model.parameters())
    assert section.view.totals.parameters == learnt


def test_before_training_the_section_says_how_to_get_a_network() -> None:
    section = build_architecture_section(None, preset="", side_px=0, class_names=())
    assert "cxresnet train" in section.missing
