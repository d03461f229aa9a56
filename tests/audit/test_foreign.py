"""Somebody else's model: what an adapter must be, and what is said where it is not."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from cxresnet.audit.context import CannotBeTestedError
from cxresnet.audit.foreign import ForeignModel, load_adapter
from cxresnet.audit.question import Question, QuestionAnswer
from cxresnet.audit.run import NOT_THE_MODEL, _answer
from cxresnet.audit.scorecard import read_scorecard
from cxresnet.cli.app import run_command_line
from cxresnet.core.errors import ConfigError, ImageError
from cxresnet.data.dataset.dataset import open_dataset

PLAIN = """
import numpy as np
import torch
from torch import nn


class Adapter:
    class_names = ("normal", "pneumonia", "covid-19")

    def __init__(self):
        torch.manual_seed(0)
        layers = nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Identity(), nn.Linear(16, 3)
        self.network = nn.Sequential(*layers).eval()

    def preprocess(self, image):
        step = np.linspace(0, 1, 8)
        rows, columns = ((step * (side - 1)).astype(int) for side in image.shape)
        return torch.tensor(image[np.ix_(rows, columns)], dtype=torch.float32)[None] / 255

    def logits(self, batch):
        return self.network(torch.stack(batch))


def build():
    return Adapter()
"""

LOGITS = "return self.network(torch.stack(batch))"


@pytest.fixture(autouse=True)
def _leave_the_seed() -> Any:
    with torch.random.fork_rng():
        yield


def load(folder: Path, text: str = PLAIN, *, batch_size: int = 64) -> ForeignModel:
    path = folder / "theirs.py"
    path.write_text(text, encoding="utf-8")
    return load_adapter(f"{path}:Adapter", batch_size=batch_size)


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (7, 32, 32), dtype=np.uint8)


def test_a_plain_module_gives_the_softmax_of_its_logits(
    tmp_path: Path, images: NDArray[np.uint8]
) -> None:
    model = load(tmp_path)
    batch = [model.adapter.preprocess(image) for image in images]
    expected = model.adapter.logits(batch).softmax(dim=1).detach().numpy()
    assert model.predict(images) == pytest.approx(expected, abs=1e-6)
    assert model.decide(expected).tolist() == expected.argmax(axis=1).tolist()
    assert (model.name, model.class_names) == (
        "theirs.py:Adapter",
        ("normal", "pneumonia", "covid-19"),
    )
    assert model.predictor is model.network is model.compute_features(images) is None


def test_batches_change_nothing(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    small, large = (load(tmp_path, batch_size=size).predict(images) for size in (3, 64))
    assert small == pytest.approx(large, abs=1e-6)
    assert load(tmp_path).predict(images[:0]).shape == (0, 3)


def test_a_file_is_handed_over_in_its_own_size(tmp_path: Path) -> None:
    model = load(tmp_path)
    levels = np.random.default_rng(1).integers(0, 256, (40, 56), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, format="PNG")
    of_file = model.predict_files([stream.getvalue()] * 2)
    assert of_file == pytest.approx(np.repeat(model.predict(levels[None]), 2, axis=0), abs=1e-6)
    with pytest.raises(ImageError):
        model.predict_files([b"no image"])


def test_a_function_of_a_module_on_the_path_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_package").mkdir()
    (tmp_path / "their_package" / "inner.py").write_text(PLAIN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    model = load_adapter("their_package.inner:build", batch_size=2)
    assert model.name == "their_package.inner:build"
    assert model.content == load(tmp_path).content


def test_what_an_adapter_does_to_its_image_reaches_nobody_else(
    tmp_path: Path, images: NDArray[np.uint8]
) -> None:
    model = load(
        tmp_path, PLAIN.replace("        step =", "        image[:] //= 2\n        step =")
    )
    before = images.copy()
    model.predict(images)
    assert (images == before).all()


def test_probabilities_may_be_given_in_place_of_logits(
    tmp_path: Path, images: NDArray[np.uint8]
) -> None:
    text = PLAIN.replace("def logits", "def probabilities").replace(
        LOGITS, "return self.network(torch.stack(batch)).softmax(dim=1).tolist()"
    )
    assert load(tmp_path, text).predict(images) == pytest.approx(load(tmp_path).predict(images))


def test_features_are_handed_through(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    method = (
        "\n    def features(self, batch):\n        return self.network[:-1](torch.stack(batch))"
    )
    features = load(tmp_path, PLAIN.replace(LOGITS, LOGITS + "\n" + method)).compute_features(
        images
    )
    assert features is not None
    assert (features.shape, features.dtype) == ((7, 16), np.float32)


def test_the_content_is_that_of_the_file_and_of_the_weights(tmp_path: Path) -> None:
    content = load(tmp_path).content
    assert load(tmp_path).content == content
    assert load(tmp_path, PLAIN + "# a remark\n").content != content
    # Weights in a file beside the adapter, which itself stays as it is; too small for the answers.
    change = "self.network[-1].bias.data += np.loadtxt(__file__[:-9] + 'shift.txt').item()"
    text = PLAIN.replace(".eval()\n", f".eval()\n        {change}\n")
    found = []
    for shift in ("0", "1e-6"):
        (tmp_path / "shift.txt").write_text(shift)
        found.append(load(tmp_path, text).content)
    assert len(set(found)) == 2


FAULTS = {
    "no classes": ("class_names =", "names =", "no class_names that can be used"),
    "one text": ('("normal", "pneumonia", "covid-19")', '"normal"', "a list of at least two"),
    "a class twice": ("pneumonia", "normal", "different names as in the dataset"),
    "no preprocess": ("def preprocess", "def prepare", "has no method preprocess"),
    "no logits": ("def logits", "def predict", "has no method logits"),
    "both": (
        "    def logits",
        "    probabilities = print\n\n    def logits",
        "both logits and probabilities",
    ),
    "one size only": (
        "        step =",
        "        image.reshape(128, 128)\n        step =",
        r"preprocess\(\) failed with ValueError \(cannot reshape",
    ),
    "another number of classes": ("Linear(16, 3)", "Linear(16, 2)", r"shape \(8, 2\) for 8 images"),
    "one image for all": (LOGITS, LOGITS + "[0]", r"it must be \(8, 3\): one row an image"),
    "no number": (LOGITS, LOGITS + " * float('nan')", "not numbers"),
    "no array": (LOGITS, "return {'logits': 1}", "logits.. gave dict, which is no array"),
    "probabilities as logits": (
        LOGITS,
        LOGITS + ".softmax(dim=1)",
        "name the method probabilities",
    ),
    "logits as probabilities": ("def logits", "def probabilities", "do not sum to 1"),
    "dropout": (
        "nn.Identity(), nn.Linear(16, 3)\n        self.network = nn.Sequential(*layers).eval()",
        "nn.Dropout(0.2), nn.Linear(16, 3)\n        self.network = nn.Sequential(*layers)",
        r"other answers when the same images .* \.eval\(\)",
    ),
    "augmentation": (
        "return torch.tensor(",
        "return torch.rand(1) * torch.tensor(",
        "no augmentation|leave out augmentation",
    ),
    "batch statistics": (
        "nn.Identity(), nn.Linear(16, 3)\n        self.network = nn.Sequential(*layers).eval()",
        "nn.BatchNorm1d(16), nn.Linear(16, 3)\n        self.network = nn.Sequential(*layers)",
        r"depends on which other images are in the batch. Call \.eval\(\)",
    ),
    "a single image without its row": (
        LOGITS,
        LOGITS + ".squeeze()",
        r"shape \(3,\) for 1 images",
    ),
    "a feature map": (
        LOGITS,
        LOGITS + "\n\n    def features(self, batch):\n        return torch.stack(batch)",
        "Average a feature map over height and width",
    ),
    "a failing factory": (
        "torch.manual_seed(0)",
        "open('no such weights')",
        r"could not be built: it failed with FileNotFoundError \(.*no such weights",
    ),
    "a factory that ends the process": (
        "torch.manual_seed(0)",
        "raise SystemExit(3)",
        "SystemExit",
    ),
    "no factory": ("class Adapter", "class Adaptor", "Did you mean 'Adaptor'"),
    "a missing library": (
        "import numpy as np",
        "import no_such_library",
        r"No module named 'no_such_library'\)\. Install what is missing",
    ),
    "no Python": ("class Adapter:", "class Adapter", r"SyntaxError \(.*line 7\)+\. Correct it"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_in_a_sentence(fault: str, tmp_path: Path) -> None:
    old, new, message = FAULTS[fault]
    assert old in PLAIN
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, PLAIN.replace(old, new))
    assert str(caught.value).endswith((".", "?"))


def test_a_fault_that_comes_later_is_told_likewise(
    tmp_path: Path, images: NDArray[np.uint8]
) -> None:
    model = load(
        tmp_path, PLAIN.replace("step =", "assert image[0, 0] != 9, 'nine'\n        step =")
    )
    images[5, 0, 0] = 9
    with pytest.raises(ConfigError, match=r"preprocess\(\) failed with AssertionError \(nine\)"):
        model.predict(images)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("theirs", "names no factory"),
        ("theirs:", "names no factory"),
        (":Adapter", "names no factory"),
        ("nowhere.py:Adapter", "There is no file 'nowhere.py'"),
        ("no_such.module:Adapter", r"no module 'no_such.module'. Write no_such/module.py:… if"),
        ("os.path.nowhere:Adapter", "is not a package|There is no module"),
        ("os.path:sep", "no class or function 'sep'"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_adapter(name, batch_size=4)


def test_a_module_in_the_current_folder_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_model.py").write_text(
        "import pathlib\npathlib.Path('ran.txt').touch()\n" + PLAIN
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="the current folder is not searched"):
        load_adapter("their_model:Adapter", batch_size=4)
    assert not (tmp_path / "ran.txt").exists()
    load_adapter("their_model.py:Adapter", batch_size=4)
    assert (tmp_path / "ran.txt").exists()


@pytest.mark.slow
def test_the_traceback_is_shown_to_who_asks_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "theirs.py").write_text(PLAIN.replace(LOGITS, "return 1 / 0"))
    words = ["audit", "--model", f"{tmp_path / 'theirs.py'}:Adapter", "--dataset", "x", "--out"]
    said = []
    for more in ([], ["--verbose"]):
        assert run_command_line([*more, *words, str(tmp_path / "out")]) == 2
        said.append(capsys.readouterr().err)
        assert "logits() failed with ZeroDivisionError (division by zero)" in said[-1]
    assert ["Traceback" in text for text in said] == [False, True]


@pytest.mark.parametrize(
    ("trains", "predictor", "is_noted"),
    [(True, None, True), (True, "ours", False), (False, None, False)],
)
def test_what_a_small_network_of_ours_measured_says_so(
    *, trains: bool, predictor: str | None, is_noted: bool
) -> None:
    context: Any = SimpleNamespace(model=SimpleNamespace(predictor=predictor))
    question = _build_question(lambda _context: QuestionAnswer("red", "It does."), trains=trains)
    sentence = _answer(context, question).sentence
    assert sentence == (f"It does. {NOT_THE_MODEL}" if is_noted else "It does.")


def test_what_could_not_be_tested_was_not_measured_with_a_network_either() -> None:
    def refuse(_context: object) -> QuestionAnswer:
        raise CannotBeTestedError("Too few.")

    context: Any = SimpleNamespace(model=SimpleNamespace(predictor=None))
    found = _answer(context, _build_question(refuse, trains=True))
    assert (found.verdict, found.sentence) == ("cannot be tested", "Too few.")


def _build_question(ask: Any, *, trains: bool) -> Question:
    return Question(
        name="toy", number=99, title="?", threshold="", next_step="", cost=1, ask=ask, trains=trains
    )


PIPELINE = """
import pathlib

import joblib
import numpy as np
from PIL import Image


class Adapter:
    def __init__(self):
        self.pipeline = joblib.load(pathlib.Path(__file__).with_name("pipeline.joblib"))
        self.class_names = list(self.pipeline.classes_)

    def preprocess(self, image):
        return np.array(Image.fromarray(image).resize((16, 16))).ravel() / 255

    def probabilities(self, batch):
        return self.pipeline.predict_proba(np.stack(batch))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("few_trees")
def test_a_pipeline_of_scikit_learn_is_audited(tmp_path: Path) -> None:
    import joblib
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    settings = ("--set", "data.side_px=32", "--set", "data.common_side_px=48")
    source = "phantoms:images_per_class=20,side_px=64"
    assert run_command_line(["prepare", source, "--out", str(tmp_path / "data"), *settings]) == 0
    training = open_dataset(tmp_path / "data").select("train")
    flat = np.stack(
        [np.array(Image.fromarray(one).resize((16, 16))).ravel() / 255 for one in training.images]
    )
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    pipeline.fit(flat, training.manifest["class_name"].to_numpy(dtype=object))
    joblib.dump(pipeline, tmp_path / "pipeline.joblib")
    (tmp_path / "theirs.py").write_text(PIPELINE)

    words = ["audit", "--model", f"{tmp_path / 'theirs.py'}:Adapter", "--out"]
    words += [str(tmp_path / "out"), "--dataset", str(tmp_path / "data")]
    words += ["--only", "confounding,external", "--set", "audit.bootstrap_resamples=100"]
    assert run_command_line(words) == 0

    scorecard = read_scorecard(tmp_path / "out")
    assert scorecard.model == "theirs.py:Adapter"
    confounding, external = scorecard.findings
    assert confounding.measures[0].n == scorecard.images > 0
    assert confounding.measures[0].value is not None
    assert external.verdict == "cannot be tested"
    written = (tmp_path / "out" / "confounding.json").stat().st_mtime_ns
    assert run_command_line(words) == 0
    assert (tmp_path / "out" / "confounding.json").stat().st_mtime_ns == written
