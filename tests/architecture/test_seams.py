"""Each kind of part can be added where ARCHITECTURE.md says, and the demo's path runs through it.

A copy of the package gets a toy part of every kind at once, and one small run is made with all of
them: prepare, train, evaluate, explain, report. What became of each part is written down as
evidence, and every test looks at the evidence of its own part. A toy part shows what adding a real
one takes: `_ADDED` are its new files, `_INSERTED` the lines that others need.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "cxresnet"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_ADDED = {
    "data/sources/toy.py": '''
from cxresnet.data.phantoms.plan import PhantomSettings
from cxresnet.data.sources.phantom import PhantomSource


class ToySource(PhantomSource):
    """Phantoms under another name."""

    @property
    def name(self) -> str:
        return "toys"


def open_toys() -> ToySource:
    return ToySource(PhantomSettings(images_per_class=20, side_px=48))
''',
    "explain/methods/toy.py": '''
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from cxresnet.explain.methods.method import AbstractMethod, AttributionInputs, register_method


@register_method
@dataclass(frozen=True)
class ToyMap(AbstractMethod):
    """The image itself."""

    name: ClassVar[str] = "toy"
    title: ClassVar[str] = "Toy map"

    @property
    def interpretation(self) -> str:
        return "The grey level of the pixel."

    def _compute(self, inputs: AttributionInputs) -> Tensor:
        return inputs.images[:, 0] / 100
''',
    "explain/sanity/toy.py": """
from cxresnet.explain.methods.method import AbstractMethod
from cxresnet.explain.sanity.check import SanityCheck, SanityExperiment, register_check
from cxresnet.explain.sanity.record import TestResult


@register_check(
    SanityCheck(
        test="toy", title="Toy check", question="Is it a toy?", passes="Always.",
        reason="It is a toy.", source="Nobody 2026",
    )
)
def check_toy(experiment: SanityExperiment, method: AbstractMethod) -> TestResult:
    return TestResult(test="toy", verdict="pass", sentence="It is a toy.")
""",
    "report/sections/toy.py": """
from cxresnet.report.registry import register_section


@register_section("toy", title="A section for toys", short_title="Toys", order=5)
def build_toy() -> str:
    return "Nothing but toys here."
""",
    "report/templates/toy.html.j2": "<p>{{ view }}</p>\n",
    "cli/toy.py": '''
from cxresnet.cli.commands import command
from cxresnet.cli.terminal import say


@command(order=35, examples=("toy",))
def toy() -> None:
    """Play with a toy."""
    say("played")
''',
}
"""New files: those of parts that are a file of their own."""

_INSERTED = {
    "source": (
        "data/sources/open.py",
        '    if text == "phantoms"',
        """\
    if text == "toys":
        from cxresnet.data.sources.toy import open_toys
        return open_toys()
""",
    ),
    "dataset preset": (
        "data/sources/known_presets.py",
        '    DatasetPreset(\n        name="curated-covid19"',
        """\
    DatasetPreset(name="toyset", title="Toys", handle="", page="nowhere",
        path_patterns=(r"(^|/)toy-covid/",),
        class_table={"covid-19": ("toy-covid",), "normal": ("toy-normal",)}),
""",
    ),
    "preprocessing step": (
        "data/prepare/preprocessing.py",
        "GREY_STEPS: list[GreyStep] = [",
        """\
def _draw_toy_line(content, _preprocessing):
    content = content.copy()
    content[0] = 1
    return content


""",
    ),
    "augmentation": (
        "train/augmentation.py",
        "def _build_grid(",
        """\
TOY_CALLS = []


@register_augmentation
class Toy(Augmentation):
    name = "toy"
    order = 9

    def sample(self, draws, config):
        return draws.draw_up_to(config.toy)

    def apply(self, images, parameters):
        TOY_CALLS.append(float(parameters[self.name].max()))
        return images


""",
    ),
    "strength of the augmentation": (
        "core/config/train.py",
        "    rotation_degrees: float = Field",
        """\
    toy: float = 0.25
""",
    ),
    "block": (
        "model/blocks.py",
        '@register_block("basic"',
        """\
@register_block("toy", label="3×3 tanh")
class ToyBlock(Block):
    def __init__(self, in_width, width, *, stride, drop_probability, architecture):
        super().__init__()
        self.pool = nn.AvgPool2d(stride, ceil_mode=True)
        self.conv = ConvNorm(in_width, width, architecture=architecture)
        self.activation = nn.Tanh()

    def forward(self, features):
        return self.activation(self.conv(self.pool(features)))


""",
    ),
    "model preset": (
        "model/presets.py",
        '    Preset(\n        name="small"',
        """\
    Preset(name="toy", purpose="For toys.", side_px=32, architecture=Architecture(
        stem="flat", stem_width=4, block="toy", widths=(4, 8), depths=(1, 1))),
""",
    ),
    "metric": (
        "metrics/classification.py",
        '        ("macro_f1", "f1"),\n',
        """\
        ("macro_toy", "specificity"),
""",
    ),
    "key of the metric": (
        "evaluate/results.py",
        "    macro_f1: Estimate\n",
        """\
    macro_toy: Estimate | None = None
""",
    ),
    "shortcut baseline": (
        "shortcuts/baseline.py",
        '    BaselineRule("source", "Source alone"',
        """\
    BaselineRule("toy", "Toy baseline", "Nothing.", _predict_majority),
""",
    ),
    "name of the attribution method": (
        "core/config/explain.py",
        '    "grad_cam",\n    "guided_grad_cam"',
        """\
    "toy",
""",
    ),
    "place of the sanity check": (
        "explain/sanity/check.py",
        '    "weight_randomization",\n',
        """\
    "toy",
""",
    ),
    "config value": (
        "core/config/evaluate.py",
        "    seed: int = Field",
        """\
    toy_value: int = Field(default=7, ge=0)
""",
    ),
}
"""Lines before a line that is there: (file, the line or its beginning, what is inserted)."""

_REPLACED = (
    (
        "data/prepare/preprocessing.py",
        "= [equalise_histogram",
        "= [_draw_toy_line, equalise_histogram",
    ),
    (
        "metrics/classification.py",
        '"macro_f1", "macro_auroc")',
        '"macro_toy", "macro_f1", "macro_auroc")',
    ),
)
"""Lists that name their members."""

_DEMO = '''
import json, sys, traceback
from pathlib import Path

import numpy as np

import cxresnet

out = Path(sys.argv[1])
evidence = {}


def note(step):
    """Run a step at once; its evidence is what it returns, or why it failed."""
    try:
        evidence[step.__name__] = step()
    except Exception:
        evidence[step.__name__] = traceback.format_exc()
    (out / "evidence.json").write_text(json.dumps(evidence))


@note
def prepared():
    dataset = cxresnet.prepare(
        "toys", out=out / "dataset", side_px=32, common_side_px=48, workers=1,
        find_duplicates=False,
    )
    images = dataset.select("train").images
    return {"source": dataset.record.source, "first_row": int(np.asarray(images)[:, 0].min())}


@note
def trained():
    from cxresnet.train import augmentation

    cxresnet.train(out / "dataset", out=out / "run", preset="toy", epochs=1, batch_size=8)
    config = json.loads((out / "run" / "train" / "config.json").read_text())
    return {"preset": config["model"]["preset"], "toy": config["train"]["augment"]["toy"],
            "calls": augmentation.TOY_CALLS}


@note
def evaluated():
    found = cxresnet.evaluate(
        out / "run", bootstrap_resamples=100, test_time_augmentation=False, toy_value=8
    )
    return {
        "metric": found.headline.macro_toy.value,
        "baselines": [one.name for one in found.baselines],
        "config": found.provenance.config["toy_value"],
        "bundled": list(cxresnet.load().class_names),
    }


@note
def explained():
    from cxresnet.cli.app import run_command_line
    from cxresnet.explain.methods.incremental.occlusion import build_fast_network
    from cxresnet.explain.record import read_attributions
    from cxresnet.explain.sanity.record import read_sanity_card

    words = ["explain", str(out / "run"), "--methods", "toy,occlusion"]
    for setting in ("images_per_class=1", "sanity_check_images=4", "neighbours=0",
                    "zone_mean_images=0", 'occlusion_baselines=["mean"]',
                    "occlusion_window_share=0.5", "occlusion_stride_share=0.5"):
        words += ["--set", f"explain.{setting}"]
    code = run_command_line(words)
    attributions = read_attributions(out / "run" / "explain")
    card = read_sanity_card(out / "run" / "explain")
    model = cxresnet.load(out / "run", gate=False)
    explanation = model.explain(np.asarray(attributions.images[0]), "toy")
    return {
        "code": code,
        "methods": [one.name for one in attributions.index.methods],
        "occlusion": float(np.abs(attributions.maps["occlusion"]).max()),
        "fast": build_fast_network(model.predictor.model) is not None,
        "tests": [test.test for test in card.methods[0].tests],
        "api": explanation.method,
    }


@note
def reported():
    from cxresnet.cli.app import run_command_line

    code = run_command_line(["report", str(out / "run")])
    return {"code": code, "page": (out / "run" / "report.html").read_text()}


@note
def opened():
    from cxresnet.data.phantoms.plan import parse_phantom_settings
    from cxresnet.data.sources.open import open_source
    from cxresnet.data.sources.phantom import write_phantom_folder

    folder = write_phantom_folder(
        parse_phantom_settings("images_per_class=1,side_px=48"), out / "images"
    )
    (folder / "covid-19").rename(folder / "toy-covid")
    (folder / "normal").rename(folder / "toy-normal")
    (folder / "manifest.csv").unlink()
    scan = open_source(str(folder)).scan()
    return {"warnings": list(scan.warnings),
            "classes": sorted({record.class_name for record in scan.records})}


@note
def commanded():
    import contextlib, io
    from cxresnet.cli import terminal
    from cxresnet.cli.app import run_command_line

    with terminal.console.capture() as shown:
        code = run_command_line(["toy"])
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        run_command_line(["--help"])
    return {"code": code, "shown": shown.get(), "help": text.getvalue()}
'''


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of each toy part in a run of a copy of the package that has all of them."""
    root = tmp_path_factory.mktemp("seams")
    package = root / "src" / "cxresnet"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, content in _ADDED.items():
        (package / name).write_text(content, encoding="utf-8")
    for name, before, inserted in _INSERTED.values():
        _change(package / name, before, inserted + before)
    for name, old, new in _REPLACED:
        _change(package / name, old, new)
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", _DEMO, str(root)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    path = root / "evidence.json"
    assert path.is_file(), result.stderr[-3000:]
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {"stderr": result.stderr[-3000:], "exit code": result.returncode, **found}


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) >= 1, f"{path.name} has no place for a new part: {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def _get(evidence: dict[str, Any], step: str) -> dict[str, Any]:
    found = evidence.get(step, evidence["stderr"])
    assert isinstance(found, dict), found
    return found


def test_a_source_can_be_added(evidence: dict[str, Any]) -> None:
    assert _get(evidence, "prepared")["source"] == "toys"


def test_a_preprocessing_step_can_be_added(evidence: dict[str, Any]) -> None:
    assert _get(evidence, "prepared")["first_row"] == 255


def test_a_dataset_preset_can_be_added(evidence: dict[str, Any]) -> None:
    found = _get(evidence, "opened")
    assert "Toys" in found["warnings"][0]
    assert {"covid-19", "normal"} <= set(found["classes"])


def test_an_augmentation_can_be_added(evidence: dict[str, Any]) -> None:
    found = _get(evidence, "trained")
    assert found["toy"] == 0.25
    assert found["calls"]
    assert 0 < max(found["calls"]) <= 0.25


def test_a_block_can_be_added_and_occlusion_falls_back(evidence: dict[str, Any]) -> None:
    found = _get(evidence, "explained")
    assert not found["fast"]
    assert found["occlusion"] > 0


def test_a_model_preset_can_be_added(evidence: dict[str, Any]) -> None:
    assert _get(evidence, "trained")["preset"] == "toy"


def test_a_metric_can_be_added_and_the_bundled_network_stays_readable(
    evidence: dict[str, Any],
) -> None:
    found = _get(evidence, "evaluated")
    assert 0 <= found["metric"] <= 1
    assert found["bundled"] == ["normal", "pneumonia", "covid-19"]


def test_a_shortcut_baseline_can_be_added(evidence: dict[str, Any]) -> None:
    assert "toy" in _get(evidence, "evaluated")["baselines"]


def test_a_config_value_can_be_added(evidence: dict[str, Any]) -> None:
    assert _get(evidence, "evaluated")["config"] == 8


def test_an_attribution_method_can_be_added(evidence: dict[str, Any]) -> None:
    found = _get(evidence, "explained")
    assert (found["code"], found["methods"]) == (0, ["toy", "occlusion"])
    assert found["api"] == "toy"


def test_a_sanity_check_can_be_added(evidence: dict[str, Any]) -> None:
    assert "toy" in _get(evidence, "explained")["tests"]


def test_a_report_section_can_be_added(evidence: dict[str, Any]) -> None:
    found = _get(evidence, "reported")
    assert found["code"] == 0
    assert "A section for toys" in found["page"]
    assert "Nothing but toys here." in found["page"]


def test_a_command_can_be_added(evidence: dict[str, Any]) -> None:
    found = _get(evidence, "commanded")
    assert (found["code"], found["shown"].strip()) == (0, "played")
    listed = found["help"]
    assert listed.index("Check that no patient") < listed.index("Play with a toy.")
    assert listed.index("Play with a toy.") < listed.index("Train a network")
