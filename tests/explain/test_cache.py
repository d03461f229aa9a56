"""A map is computed once; another network, image, class or choice is another map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxresnet.core.config import ExplainConfig
from cxresnet.explain.attribution import explain_images
from cxresnet.explain.cache import CachedMap, MapCache, open_map_cache, read_cached_map
from cxresnet.explain.methods.method import build_methods
from cxresnet.predict import CalibratedNetwork

METHODS = build_methods(
    ["occlusion", "grad_cam"], ExplainConfig(occlusion_baselines=("mean", "noise")), side_px=32
)
VERSIONS = {"cxresnet": "1"}


class Counting(nn.Module):
    """Counts how often it is asked."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.calls = 0
        self.eval()

    @property
    def target_layer(self) -> nn.Module:
        return self.network.target_layer

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.network(images)


def _explain(network: nn.Module, images: Tensor, cache: MapCache, *, target: int = 1) -> object:
    return explain_images(
        network,
        images[:2],
        methods=METHODS,
        targets=[target, target],
        lung_masks=np.zeros((2, 32, 32), np.uint8),
        cache=cache,
    )


def test_the_second_time_nobody_is_asked_and_the_maps_are_the_same(
    tiny_network: nn.Module, images: Tensor, tmp_path: Path
) -> None:
    counting = Counting(tiny_network).eval()
    cache = open_map_cache(tmp_path / "cache", counting, versions=VERSIONS)
    first = _explain(counting, images, cache)
    asked = counting.calls
    assert asked > 0
    second = _explain(counting, images, cache)
    assert counting.calls == asked
    for name in ("occlusion", "grad_cam"):
        np.testing.assert_array_equal(first.maps[name], second.maps[name])
    np.testing.assert_array_equal(
        first.baseline_ranges["occlusion"], second.baseline_ranges["occlusion"]
    )
    assert set(second.baseline_ranges) == {"occlusion"}


@pytest.mark.slow
def test_another_class_or_image_is_asked_anew(
    tiny_network: nn.Module, images: Tensor, tmp_path: Path
) -> None:
    counting = Counting(tiny_network).eval()
    cache = open_map_cache(tmp_path, counting, versions=VERSIONS)
    _explain(counting, images, cache)
    for change in ({"target": 2}, {}):
        asked = counting.calls
        _explain(counting, images if change else images + 0.01, cache, **change)
        assert counting.calls > asked


def test_another_choice_of_a_method_is_another_map(
    tiny_network: nn.Module, images: Tensor, tmp_path: Path
) -> None:
    cache = open_map_cache(tmp_path, tiny_network, versions=VERSIONS)
    known = CachedMap(np.ones((2, 2), np.float32), baseline_range=None)
    cache.store(METHODS[0], [images], known)
    other = build_methods(["occlusion"], ExplainConfig(occlusion_stride_share=0.1), side_px=32)[0]
    assert cache.find(METHODS[0], [images]) is not None
    assert cache.find(other, [images]) is None


def test_maps_of_another_network_are_taken_away(
    tiny_network: nn.Module, images: Tensor, tmp_path: Path
) -> None:
    before = open_map_cache(tmp_path, tiny_network, versions=VERSIONS)
    before.store(METHODS[0], [images], CachedMap(np.ones((2, 2), np.float32), baseline_range=None))
    (tmp_path / "notes.txt").write_text("not ours")
    with torch.no_grad():
        tiny_network.head.bias += 1e-6
    after = open_map_cache(tmp_path, tiny_network, versions=VERSIONS)
    assert after.network_hash != before.network_hash
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("kept_share", [0.0, 0.5, 0.98])
def test_a_torn_entry_is_as_good_as_none(
    tiny_network: nn.Module, images: Tensor, tmp_path: Path, kept_share: float
) -> None:
    cache = open_map_cache(tmp_path, tiny_network, versions=VERSIONS)
    cache.store(METHODS[0], [images], CachedMap(np.ones((2, 2), np.float32), baseline_range=None))
    (entry,) = tmp_path.iterdir()
    content = entry.read_bytes()
    entry.write_bytes(content[: int(len(content) * kept_share)])
    assert cache.find(METHODS[0], [images]) is None


@pytest.mark.slow
def test_stopped_half_way_what_is_finished_stands_and_nothing_half_done(
    tiny_network: nn.Module, images: Tensor, tmp_path: Path
) -> None:
    class Stops(Counting):
        def forward(self, inputs: Tensor) -> Tensor:
            if self.calls == limit:
                raise KeyboardInterrupt
            return super().forward(inputs)

    limit = -1
    whole = Stops(tiny_network).eval()
    _explain(whole, images, open_map_cache(tmp_path / "whole", whole, versions=VERSIONS))
    limit = whole.calls - 1
    stopped = Stops(tiny_network).eval()
    cache = open_map_cache(tmp_path / "stopped", stopped, versions=VERSIONS)
    with pytest.raises(KeyboardInterrupt):
        _explain(stopped, images, cache)
    entries = sorted(path.name for path in (tmp_path / "stopped").iterdir())
    assert len(entries) == 3  # both maps of the first image, and one of the second
    assert all(name.endswith(".npz") and not name.startswith(".") for name in entries)


def test_versions_temperature_and_shifts_are_part_of_the_network(
    tiny_network: nn.Module, tmp_path: Path
) -> None:
    networks = [
        (CalibratedNetwork(tiny_network, temperature=temperature, shifts=shifts), versions)
        for temperature, shifts, versions in (
            (1.0, (0.0, 0.0, 0.0), VERSIONS),
            (1.5, (0.0, 0.0, 0.0), VERSIONS),
            (1.0, (0.0, 0.1, 0.0), VERSIONS),
            (1.0, (0.0, 0.0, 0.0), {"cxresnet": "2"}),
        )
    ]
    hashes = {
        open_map_cache(tmp_path, network.eval(), versions=versions).network_hash
        for network, versions in networks
    }
    assert len(hashes) == 4


def test_a_damaged_shape_is_damage_though_numpy_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "entry.npz"
    values = np.ones((64, 64), np.float32)
    np.savez(path, values=values, baseline_range=np.zeros((0,), np.float32))
    assert read_cached_map(path) is not None
    damaged = path.read_bytes().replace(b"(64, 64)", b"(64, 32)")
    path.write_bytes(damaged)
    assert np.load(path)["values"].shape == (64, 32)
    assert read_cached_map(path) is None


@pytest.mark.slow
def test_a_flipped_bit_never_gives_another_map(tmp_path: Path) -> None:
    values = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    cache = MapCache(tmp_path, "0" * 64)
    inputs = [torch.zeros(1)]
    cache.store(METHODS[0], inputs, CachedMap(values, None))
    (path,) = tmp_path.glob("*.npz")
    content = path.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(changed)
        found = read_cached_map(path)
        assert found is None or (np.array_equal(found.values, values) and not found.baseline_range)
