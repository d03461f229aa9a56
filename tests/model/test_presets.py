from __future__ import annotations

import dataclasses

import pytest
import torch
from pydantic import ValidationError

from cxresnet.core.config import ModelConfig, read_config
from cxresnet.core.errors import ConfigError
from cxresnet.model.architecture import Architecture
from cxresnet.model.presets import build_model, complete_config, list_presets, resolve_architecture

NAMES = [preset.name for preset in list_presets()]
MOST_PARAMETERS = {"nano": 0.7e6, "small": 3e6, "base": 12e6, "mini": 3e6}


def test_the_default_config_names_a_preset() -> None:
    assert ModelConfig().preset in NAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_preset_builds_and_learns_from_an_image(name: str) -> None:
    network = build_model(ModelConfig(preset=name), class_count=3)
    network(torch.randn(2, 1, 28, 28)).sum().backward()
    assert network.head.weight.grad is not None


@pytest.mark.slow
@pytest.mark.parametrize(("name", "most"), MOST_PARAMETERS.items())
def test_every_preset_keeps_within_its_size(name: str, most: float) -> None:
    network = build_model(ModelConfig(preset=name), class_count=3)
    assert sum(p.numel() for p in network.parameters()) <= most


def test_the_config_and_the_architecture_speak_of_the_same_choices() -> None:
    choices = {field.name for field in dataclasses.fields(Architecture)}
    assert set(ModelConfig.model_fields) == choices | {"preset", "members"}


def test_what_the_config_says_goes_before_the_preset_and_the_rest_stays() -> None:
    preset = resolve_architecture(ModelConfig(preset="nano"))
    changed = resolve_architecture(ModelConfig(preset="nano", harmonic=True, dropout=0.0))
    assert changed == dataclasses.replace(preset, harmonic=True, dropout=0.0)
    assert preset.dropout > 0


def test_a_config_from_settings_reaches_the_network() -> None:
    settings = ["model.preset=resnet18", "model.widths=[8, 16]", "model.depths=[1, 1]"]
    config = read_config(settings=[*settings, "model.stem_width=8", "model.antialias=true"])
    network = build_model(config.model, class_count=2)
    assert network.head.in_features == 16
    assert network.architecture.antialias


@pytest.mark.parametrize("name", NAMES)
def test_a_completed_config_builds_the_same_network_and_leaves_nothing_open(name: str) -> None:
    complete = complete_config(ModelConfig(preset=name))
    assert None not in complete.model_dump().values()
    assert complete == complete_config(complete)
    assert resolve_architecture(complete) == resolve_architecture(ModelConfig(preset=name))
    assert ModelConfig.model_validate_json(complete.model_dump_json()) == complete


def test_the_same_random_state_gives_the_same_weights() -> None:
    networks = []
    for _ in range(2):
        torch.manual_seed(5)
        networks.append(build_model(ModelConfig(), class_count=3).state_dict())
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])


def test_an_unknown_preset_is_refused_with_a_guess() -> None:
    with pytest.raises(ConfigError, match=r"no preset 'resnet-18'\. Did you mean 'resnet18'"):
        build_model(ModelConfig(preset="resnet-18"), class_count=3)


def test_a_preset_far_from_any_is_refused_with_the_list() -> None:
    with pytest.raises(ConfigError, match=r"no preset 'xyzzy'\. Known: nano, small"):
        build_model(ModelConfig(preset="xyzzy"), class_count=3)


def test_widths_that_do_not_fit_the_depths_of_the_preset_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"widths names 2 stages but model.depths 4.*give both"):
        build_model(ModelConfig(preset="nano", widths=(8, 16)), class_count=3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"widths": (8, 16), "depths": (1,)},
        {"widths": ()},
        {"widths": (0,)},
        {"depths": (0,)},
        {"stem_width": 3},
        {"block": ""},
        {"dropout": 1.0},
        {"stochastic_depth": -0.1},
        {"norm": "layer"},
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ModelConfig.model_validate(wrong)
