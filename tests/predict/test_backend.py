"""Whatever backend runs a network, the answers are the same."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cxresnet
from cxresnet.core.backends import check_backend
from cxresnet.core.errors import CheckpointError, ConfigError, MissingExtraError
from cxresnet.data.phantoms.draw import draw_phantom
from cxresnet.data.phantoms.plan import PhantomSettings, plan_phantoms
from cxresnet.data.prepare.preprocessing import Preprocessing
from cxresnet.model.ensemble import CXResNetEnsemble
from cxresnet.model.folding import FoldedNetwork
from cxresnet.predict import Decision, Predictor, onnx_export
from cxresnet.predict.backend import OnnxRuntimeBackend, build_backend, write_network
from cxresnet.predict.decision import build_plain_decision
from cxresnet.predict.onnx_export import export_onnx
from networks import build_awake

needs_onnxruntime = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxruntime")),
    reason='onnx or onnxruntime is not installed: pip install "cxresnet[fast]"',
)
DECISION = build_plain_decision(("normal", "pneumonia", "covid-19"), network="abc")
SMALL: dict[str, Any] = {"preset": "nano", "widths": (8, 16), "depths": (1, 1)}


def build_images(side_px: int, count: int = 3) -> torch.Tensor:
    return torch.randn(count, 1, side_px, side_px, generator=torch.Generator().manual_seed(2))


def hide_packages(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let packages seem not to be installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name in names else find(name, *more),
    )
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.slow
@needs_onnxruntime
@pytest.mark.parametrize("side_px", [37, 48])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"preset": "convnet"},
        {"preset": "resnet18"},
        *({"stem": stem} for stem in ("flat", "pool", "classic", "deep")),
        {"antialias": True, "stem": "deep", "squeeze_excite": True},
        {"antialias": False, "stem": "classic", "shortcut": "average", "squeeze_excite": False},
        {"block": "bottleneck", "widths": (16, 32), "harmonic": True},
    ],
    ids=lambda options: "-".join(map(str, options.values())) or "nano",
)
def test_onnxruntime_computes_what_the_network_computes(
    options: dict[str, Any], side_px: int
) -> None:
    model = build_awake(**{**SMALL, **options})
    backend = build_backend(model, "onnxruntime", side_px=side_px)
    assert isinstance(backend, OnnxRuntimeBackend)
    with torch.inference_mode():
        for images in (build_images(side_px), build_images(side_px, count=1)):
            expected = model(images)
            means = model.forward_features(images).mean(dim=(2, 3))
            torch.testing.assert_close(backend(images), expected, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(backend.compute_means(images), means, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.1


@needs_onnxruntime
def test_an_ensemble_answers_with_the_mean_of_its_members() -> None:
    members = [build_awake(seed, **SMALL) for seed in (1, 2)]
    model, images = CXResNetEnsemble(members).eval(), build_images(40)
    backend = build_backend(model, "onnxruntime", side_px=40)
    with torch.inference_mode():
        expected, means = model(images), model.forward_features(images).mean(dim=(2, 3))
        assert (members[0](images) - expected).abs().max() > 0.1
        torch.testing.assert_close(backend(images), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(backend.compute_means(images), means, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@needs_onnxruntime
def test_the_bundled_network_decides_alike_in_both_backends() -> None:
    settings = PhantomSettings(images_per_class=8, side_px=96, seed=5)
    drawn = [draw_phantom(plan, settings).pixels for plan in plan_phantoms(settings)]
    ours, theirs = (
        cxresnet.load(gate=False, backend=backend).predict(drawn)
        for backend in ("torch", "onnxruntime")
    )
    assert [one.decision for one in ours] == [one.decision for one in theirs]
    assert [one.prediction_set for one in ours] == [one.prediction_set for one in theirs]
    assert len({one.class_name for one in ours}) > 1
    shares = np.array([[*one.probabilities.values()] for one in (*ours, *theirs)])
    np.testing.assert_allclose(shares[: len(drawn)], shares[len(drawn) :], atol=1e-4)


@needs_onnxruntime
def test_several_views_of_an_image_go_through_the_backend_too(predictor: Predictor) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    answers = [
        replace(predictor, backend=backend).predict_images(images, test_time_augmentation=True)
        for backend in ("torch", "onnxruntime")
    ]
    np.testing.assert_allclose(*answers, atol=1e-4)


def test_a_network_that_cannot_be_written_is_run_by_torch_or_refused() -> None:
    model, images = build_awake(norm="group", **SMALL), build_images(32)
    with torch.inference_mode():
        for name in ("torch", "auto"):
            backend = build_backend(model, name, side_px=32)
            torch.testing.assert_close(backend(images), model(images))
            assert backend.compute_means(images).shape == (3, 16)
    with pytest.raises(ConfigError, match=r"cannot be written as ONNX.*with the backend 'torch'"):
        build_backend(model, "onnxruntime", side_px=32)


def test_what_is_not_installed_is_done_without_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_packages(monkeypatch, "onnx", "onnxruntime")
    model = build_awake(**SMALL)
    assert isinstance(build_backend(model, "auto", side_px=32), FoldedNetwork)
    for refused in (
        lambda: check_backend("onnxruntime"),
        lambda: write_network(model, side_px=32),
        lambda: OnnxRuntimeBackend(b""),
    ):
        with pytest.raises(MissingExtraError, match=r'pip install "cxresnet\[fast\]"'):
            refused()
    assert check_backend("auto") == "auto"
    with pytest.raises(ConfigError, match=r"no backend 'onyx'.*torch, onnxruntime, auto"):
        check_backend("onyx")


@needs_onnxruntime
def test_an_exported_file_says_how_it_is_used(predictor: Predictor, tmp_path: Path) -> None:
    import onnxruntime

    check = export_onnx(predictor, DECISION, tmp_path / "network.onnx", images=5)
    assert check is not None
    assert check.images == 5
    assert check.difference <= 1e-4

    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    assert [(one.name, one.shape) for one in session.get_inputs()] == [
        ("images", ["batch", 1, 32, 32])
    ]
    assert [(one.name, one.shape) for one in session.get_outputs()] == [
        ("logits", ["batch", 3]),
        ("features", ["batch", 8]),
    ]
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["class_names"]) == list(predictor.class_names)
    steps = Preprocessing.model_validate_json(facts["preprocessing"])
    assert steps == predictor.preprocessing
    assert (steps.mean, steps.sd) == (0.5, 0.25)
    assert Decision.model_validate_json(facts["decision"]) == DECISION
    assert facts["weights_sha256"] == "abc"
    assert facts["cxresnet_version"] == cxresnet.__version__
    assert "Research and teaching only" in facts["disclaimer"]


@needs_onnxruntime
def test_a_file_with_other_answers_is_not_written(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_network(build_awake(**SMALL), side_px=32)
    monkeypatch.setattr(onnx_export, "write_network", lambda *_, **__: other)
    with pytest.raises(CheckpointError, match="was not written: its probabilities would differ"):
        export_onnx(predictor, DECISION, tmp_path / "network.onnx", images=3)
    assert not list(tmp_path.iterdir())


def test_without_onnxruntime_the_file_is_written_unchecked(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx", reason='onnx is not installed: pip install "cxresnet[fast]"')
    hide_packages(monkeypatch, "onnxruntime")
    out = tmp_path / "network.onnx"
    assert export_onnx(predictor, DECISION, out) is None
    assert out.stat().st_size > 1000
