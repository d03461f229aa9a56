"""The adapters of the page "Audit somebody else's model" are short, and each one works."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import cxresnet
from cxresnet.audit.foreign import load_adapter
from cxresnet.predict.onnx_export import export_onnx

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "audit-a-model.md"
MOST_LINES = 15
CLASS_NAMES = ("normal", "pneumonia", "covid-19")

NETWORK = """
from torch import nn


def build_network():
    layers = nn.Conv2d(1, 4, 3, stride=4), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    return nn.Sequential(*layers)
"""
MODULE = """
import lightning
from my_network import build_network


class MyModule(lightning.LightningModule):
    def __init__(self, width=3):
        super().__init__()
        self.save_hyperparameters()
        self.network = build_network()

    def forward(self, images):
        return self.network(images)
"""


def read_adapters() -> dict[str, str]:
    """Read the adapters, by the name of the file that the page gives them."""
    blocks = re.findall(r'```python title="(.+?)"\n(.*?)```', PAGE.read_text("utf-8"), re.DOTALL)
    return dict(blocks)


ADAPTERS = read_adapters()


def _write_network(folder: Path) -> None:
    (folder / "my_network.py").write_text(NETWORK)
    from my_network import build_network

    torch.save(build_network().state_dict(), folder / "weights.pt")


def _write_lightning_checkpoint(folder: Path) -> None:
    lightning = pytest.importorskip("lightning", reason="lightning is not installed")
    (folder / "my_network.py").write_text(NETWORK)
    (folder / "my_module.py").write_text(MODULE)
    from my_module import MyModule

    quiet = {"logger": False, "enable_checkpointing": False}
    trainer = lightning.Trainer(accelerator="cpu", enable_model_summary=False, **quiet)
    trainer.strategy.connect(MyModule())
    trainer.save_checkpoint(folder / "last.ckpt")


def _write_hugging_face_checkpoint(folder: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        id2label=dict(enumerate(CLASS_NAMES)),
        label2id={name: number for number, name in enumerate(CLASS_NAMES)},
    )
    transformers.ViTForImageClassification(config).save_pretrained(folder / "checkpoint")
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    processor.save_pretrained(folder / "checkpoint")


def _write_onnx_file(folder: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = helper.make_tensor("weights", kind, [1, 3], [1.0, -1.0, 0.5])
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["images"], ["means"]),
            helper.make_node("Flatten", ["means"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        ],
        "means",
        [helper.make_tensor_value_info("images", kind, ["batch", 1, 64, 64])],
        [helper.make_tensor_value_info("logits", kind, ["batch", 3])],
        [weights],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), folder / "model.onnx")


def _write_exported_file(folder: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    model = cxresnet.load()
    export_onnx(model.predictor, model.decision, folder / "network.onnx", images=1)


def _require_x_ray_vision(_folder: Path) -> None:
    try:
        importlib.import_module("torchxrayvision")
    except (ImportError, RuntimeError) as error:  # the second of a torchvision for another torch
        pytest.skip(f"torchxrayvision cannot be imported: {error}")


def _write_pipeline(folder: Path) -> None:
    import joblib
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    flat = np.random.default_rng(0).random((30, 32 * 32))
    names = np.array(CLASS_NAMES, dtype=object)[np.arange(30) % 3]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(flat, names)
    joblib.dump(pipeline, folder / "pipeline.joblib")


PREPARE: dict[str, Callable[[Path], None]] = {
    "plain.py": _write_network,
    "lightning_adapter.py": _write_lightning_checkpoint,
    "hugging_face.py": _write_hugging_face_checkpoint,
    "onnx_file.py": _write_onnx_file,
    "exported_file.py": _write_exported_file,
    "x_ray_vision.py": _require_x_ray_vision,
    "sklearn_pipeline.py": _write_pipeline,
}
"""Write the files that an adapter loads, or skip the test where its library is not installed."""

REPLACED = {
    "x_ray_vision.py": (
        'weights="densenet121-res224-all"',
        "block_config=(2, 2), num_init_features=8, apply_sigmoid=True",
    ),
}
"""What a test cannot have, weights that are downloaded, and what stands in their place: a small
network of the same class with random weights. At the scale of its images its scores are 0 or 1.
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is both the current one and on the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield tmp_path
    for name in ("my_network", "my_module"):
        sys.modules.pop(name, None)


def test_there_is_an_adapter_for_each_kind_of_model() -> None:
    assert set(ADAPTERS) == set(PREPARE)


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_an_adapter_is_short(name: str) -> None:
    lines = [line for line in ADAPTERS[name].splitlines() if line.strip()]
    assert len(lines) <= MOST_LINES


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_an_adapter_works_as_it_stands(name: str, place: Path) -> None:
    PREPARE[name](place)
    old, new = REPLACED.get(name, ("", ""))
    assert old in ADAPTERS[name]
    (place / name).write_text(ADAPTERS[name].replace(old, new) if old else ADAPTERS[name])
    model = load_adapter(f"{name}:Adapter", batch_size=2)
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    found = model.predict(images)
    assert model.class_names in {CLASS_NAMES, CLASS_NAMES[:2], tuple(sorted(CLASS_NAMES))}
    assert found.shape == (3, len(model.class_names))
    assert found.sum(axis=1) == pytest.approx(1)
    assert name in REPLACED or len(np.unique(found[:, 0])) == 3


def test_the_features_of_the_page_can_be_added(place: Path) -> None:
    _write_network(place)
    (method,) = re.findall(
        r"```python\n(    def features.*?)```", PAGE.read_text("utf-8"), re.DOTALL
    )
    (place / "plain.py").write_text(ADAPTERS["plain.py"] + "\n" + method)
    features = load_adapter("plain.py:Adapter", batch_size=2).compute_features(
        np.zeros((2, 48, 48), dtype=np.uint8)
    )
    assert features is not None
    assert features.shape == (2, 16)
