"""The Python interface: what `import cxresnet` offers, from images to predictions and maps."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import cxresnet
from cxresnet.cli.app import run_command_line
from cxresnet.core.errors import ConfigError, DatasetError, ImageError, RunFolderError
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.phantoms.plan import parse_phantom_settings
from cxresnet.data.sources.phantom import write_phantom_folder
from cxresnet.explain.record import read_attributions
from cxresnet.predict.image_gate import AdmittedImage

INIT = Path(cxresnet.__file__)


def _run_python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'pandas', 'numpy', 'pydantic', 'PIL'}"
    code = (
        "import sys, time; start = time.process_time(); import cxresnet;"
        f"print(sorted({heavy} & set(sys.modules)), time.process_time() - start < 0.3)"
    )
    assert _run_python(code) == "[] True"


def test_every_name_is_there_typed_and_documented() -> None:
    stub = ast.parse(INIT.with_suffix(".pyi").read_text(encoding="utf-8"))
    declared = {
        name.asname for node in stub.body if isinstance(node, ast.ImportFrom) for name in node.names
    } | {node.target.id for node in stub.body if isinstance(node, ast.AnnAssign)}
    assert declared == set(cxresnet.__all__) <= set(dir(cxresnet))
    assert (INIT.parent / "py.typed").is_file()
    for name in cxresnet.__all__:
        assert getattr(cxresnet, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        cxresnet.lode  # noqa: B018


@pytest.mark.parametrize(
    "first", ["", "import cxresnet.train.objective, cxresnet.evaluate.record;", "cxresnet.load;"]
)
@pytest.mark.slow
def test_train_and_evaluate_can_be_called_whatever_was_imported_before(first: str) -> None:
    code = (
        f"import cxresnet; {first} from cxresnet import train, evaluate; import inspect;"
        "print('epochs' in str(inspect.signature(train)), list(inspect.signature(evaluate)"
        ".parameters)[0], callable(cxresnet.train), cxresnet.train.__name__)"
    )
    assert _run_python(code) == "False run True cxresnet.train"


def test_presets_are_listed_by_name() -> None:
    assert "nano" in [preset.name for preset in cxresnet.list_presets()]


@pytest.fixture(scope="session")
def model() -> cxresnet.Model:
    return cxresnet.load(gate=False)  # the pictures here are no chest X-rays


@pytest.fixture(scope="session")
def grey_levels() -> NDArray[np.uint8]:
    """A smooth picture that no interpolation changes much."""
    rows, columns = np.mgrid[:160, :160]
    return (127 + 90 * np.sin(rows / 25) * np.cos(columns / 31)).astype(np.uint8)


@pytest.mark.slow
def test_the_bundled_network_says_what_it_is(model: cxresnet.Model) -> None:
    assert model.is_evaluated
    assert model.class_names == ("normal", "pneumonia", "covid-19")
    assert "Verdict" in model.verdict
    assert cxresnet.DISCLAIMER in model._repr_html_()
    assert "evaluated" in repr(model)


@pytest.mark.slow
def test_an_image_is_the_same_however_it_is_given(
    model: cxresnet.Model, grey_levels: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = tmp_path / "image.png"
    picture = Image.fromarray(grey_levels)
    picture.save(path)
    deep = grey_levels.astype(np.uint16) * 257
    kinds = [
        path,
        str(path),
        path.read_bytes(),
        picture,
        picture.convert("RGB"),
        grey_levels,
        np.repeat(grey_levels[..., None], 3, axis=2),
        grey_levels / 255,
        deep,
    ]
    expected = model.predict(path)
    assert expected.path == path
    assert sum(expected.probabilities.values()) == pytest.approx(1)
    assert expected.class_name in model.class_names
    assert not expected.refused
    for prediction in model.predict(kinds):
        assert prediction.probabilities == pytest.approx(expected.probabilities, abs=1e-4)
        assert prediction.decision == expected.decision


@pytest.mark.slow
def test_one_in_one_out_and_a_list_for_a_list(
    model: cxresnet.Model, grey_levels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxresnet.api.classifier._BATCH_SIZE", 3)
    assert isinstance(model.predict(grey_levels), cxresnet.Prediction)
    assert model.predict([grey_levels]) == [model.predict(grey_levels)]
    assert model.predict(iter([grey_levels] * 2)) == model.predict((grey_levels, grey_levels))
    assert model.predict([]) == []
    assert len(list(model.predict_each([grey_levels] * 7))) == 7


@pytest.mark.slow
def test_files_are_predicted_in_order_and_as_each_alone(
    model: cxresnet.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxresnet.api.classifier._BATCH_SIZE", 3)
    (tmp_path / "empty.png").touch()
    noise = np.random.default_rng(0).integers(0, 256, (3, 90, 80), dtype=np.uint8)
    images = [tmp_path / f"{number}.png" for number in range(3)]
    for path, pixels in zip(images, noise, strict=True):
        Image.fromarray(pixels).save(path)
    paths = [images[0], tmp_path / "empty.png", images[1], tmp_path / "gone.png", images[2]]
    found = list(model.predict_each(paths))
    assert [one.path for one in found] == paths
    assert [one.code for one in found] == ["", "empty", "", "missing", ""]
    for path, pixels, one in zip(images, noise, found[::2], strict=True):
        for alone in (model.predict(path), model.predict(pixels)):
            assert one.probabilities == pytest.approx(alone.probabilities, rel=1e-3)
    assert found[0].probabilities != pytest.approx(found[2].probabilities, rel=1e-2)


@pytest.mark.parametrize("test_time_augmentation", [False, True])
def test_an_image_is_seen_in_the_views_on_which_the_decision_was_chosen(
    model: cxresnet.Model, grey_levels: NDArray[np.uint8], *, test_time_augmentation: bool
) -> None:
    decision = model.decision.model_copy(update={"test_time_augmentation": test_time_augmentation})
    prepared = model.predictor.prepare(grey_levels)[None]
    ours, others = (
        decision.decide_images(
            model.predictor.predict_images(prepared, test_time_augmentation=views)
        )[0].probabilities
        for views in (test_time_augmentation, not test_time_augmentation)
    )
    found = dataclasses.replace(model, decision=decision).predict(grey_levels)
    assert tuple(found.probabilities.values()) == pytest.approx(ours, abs=1e-6)
    assert tuple(found.probabilities.values()) != pytest.approx(others, abs=1e-4)


def test_decision_and_class_set_belong_together(
    model: cxresnet.Model, grey_levels: NDArray[np.uint8]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 90, 90), dtype=np.uint8)
    # Of what is far from the training images nothing is decided, whatever its set.
    near = dataclasses.replace(model, training_images=None)
    for one in near.predict([grey_levels, *noise]):
        assert one.abstained == (len(one.prediction_set) != 1)
        assert one.decision == ("abstain" if one.abstained else one.prediction_set[0])


@pytest.mark.parametrize(
    ("image", "code", "way_out"),
    [
        ("nowhere.png", "missing", "no such file"),
        (b"", "empty", ""),
        (b"not an image", "not-an-image", ""),
        (np.zeros((4, 4, 4, 4)), "not-an-image", "as a list"),
        (np.full((64, 64), 9.5), "not-an-image", "Scale them first"),
        (np.arange(64 * 64).reshape(64, 64), "not-an-image", "Scale them first"),
        (np.full((64, 64), np.nan), "not-an-image", "Scale them first"),
        (np.zeros((64, 64), np.uint8), "blank", ""),
        (Image.new("L", (64, 64)), "blank", ""),
    ],
)
def test_what_cannot_be_used_is_refused_and_stops_nothing(
    model: cxresnet.Model,
    grey_levels: NDArray[np.uint8],
    image: object,
    code: str,
    way_out: str,
) -> None:
    refused, good = model.predict([image, grey_levels])
    assert (refused.refused, refused.code, good.refused) == (True, code, False)
    assert way_out in refused.reason
    assert (refused.probabilities, refused.decision, refused.abstained) == ({}, "", False)
    assert refused.reason in str(refused)
    with pytest.raises(ImageError):
        model.explain(image)


@pytest.mark.parametrize("image", [None, 3, {"a": 1}, [None]])
def test_what_is_no_image_at_all_is_named(model: cxresnet.Model, image: object) -> None:
    if isinstance(image, list | dict):
        (found,) = model.predict(image)
        found = found.reason
    else:
        with pytest.raises(ImageError) as caught:
            model.predict(image)
        found = str(caught.value)
    assert "Give a path" in found or "no such file" in found


@pytest.mark.slow
def test_the_gate_stands_before_predictions_and_maps(
    model: cxresnet.Model, grey_levels: NDArray[np.uint8]
) -> None:
    assert model.predict(grey_levels).gate == "not checked"
    assert "Nothing checked" in str(model.predict(grey_levels))
    guarded = dataclasses.replace(model, gate=True)
    refused = guarded.predict(grey_levels)
    assert (refused.gate, refused.code) == ("refused", "not-a-chest-x-ray")
    assert "does not look like" in refused.reason
    with pytest.raises(ImageError, match="does not look like"):
        guarded.explain(grey_levels, "grad_cam")
    colours = np.zeros((160, 160, 3), np.uint8)
    colours[..., 0] = grey_levels
    assert "in colour" in guarded.predict(colours).reason


def test_a_borderline_image_is_never_decided_on(
    model: cxresnet.Model, grey_levels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    decision = dataclasses.replace(
        model,
        gate=True,
        decision=model.decision.model_copy(update={"set_thresholds": ()}),
    )
    monkeypatch.setattr(
        "cxresnet.api.preparation.admit",
        lambda pixels, **options: AdmittedImage(pixels, "borderline", "It is unlike the others."),
    )
    found = decision.predict(grey_levels)
    assert (found.decision, len(found.prediction_set)) == ("abstain", 1)
    assert "unlike the others" in found._repr_html_()


def test_a_prediction_is_frozen_and_shows_itself(
    model: cxresnet.Model, grey_levels: NDArray[np.uint8]
) -> None:
    prediction = model.predict(grey_levels)
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction.decision = "normal"
    assert cxresnet.DISCLAIMER in str(prediction)
    shown = dataclasses.replace(prediction, path=Path("<b>.png"))._repr_html_()
    assert "&lt;b&gt;.png" in shown
    assert cxresnet.DISCLAIMER in shown
    assert f"{prediction.probabilities['covid-19']:.3f}" in shown
    assert "empty" in cxresnet.Prediction(reason="It is empty.")._repr_html_()


@pytest.mark.slow
def test_an_explanation_can_be_drawn_and_saved(
    model: cxresnet.Model, grey_levels: NDArray[np.uint8], tmp_path: Path
) -> None:
    found = model.explain(grey_levels, "grad-cam", class_name="covid")
    prediction = model.predict(grey_levels)
    assert (found.method, found.class_name) == ("grad_cam", "covid-19")
    assert found.probability == pytest.approx(prediction.probabilities["covid-19"])
    assert found.predicted_class == prediction.class_name
    assert found.map.shape == found.image.shape
    assert found.baseline_range is None
    assert found.passed_sanity is False, "as the sanity card of the bundled network says"
    assert found.overlay().size == found.map.shape
    assert found.overlay(side_px=300).size == (300, 300)
    for name in ("map.png", "map.jpg"):
        with Image.open(found.save(tmp_path / name)) as picture:
            assert picture.size == found.draw_figure().size
    with Image.open(io.BytesIO(found._repr_png_())) as picture:
        assert picture.format == "PNG"
    with pytest.raises(ConfigError, match=r"map\.png"):
        found.save(tmp_path / "map.txt")
    assert "grad_cam of 'covid-19'" in repr(found)


def test_explaining_names_the_method_class_or_setting_that_is_not_there(
    model: cxresnet.Model, grey_levels: NDArray[np.uint8]
) -> None:
    with pytest.raises(ConfigError, match="grad_cam"):
        model.explain(grey_levels, "lime")
    with pytest.raises(ConfigError, match="Choose one of: normal"):
        model.explain(grey_levels, class_name="measles")
    with pytest.raises(ConfigError, match="Did you mean 'occlusion_baselines'"):
        model.explain(grey_levels, occlusion_baseline=("mean",))


def test_a_wrong_setting_or_folder_is_named_with_the_way_out(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="Did you mean 'side_px'"):
        cxresnet.prepare("phantoms", out=out, sidepx=3)
    with pytest.raises(ConfigError, match=r"data\.side_px"):
        cxresnet.prepare("phantoms", out=out, side_px=-3)
    with pytest.raises(DatasetError, match="cxresnet prepare"):
        cxresnet.train(tmp_path, out=out)
    for function in (cxresnet.load, cxresnet.evaluate):
        with pytest.raises(RunFolderError, match="is not a run"):
            function(tmp_path)
    with pytest.raises(DatasetError, match="cxresnet prepare"):
        cxresnet.open_dataset(tmp_path)
    assert not out.exists()


EXPLAIN = {
    "occlusion_baselines": ("mean", "blur"),
    "occlusion_window_share": 0.5,
    "occlusion_stride_share": 0.5,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, few_trees: None) -> Path:
    """A run made through the interface, from files: images/, dataset/, run/."""
    root = tmp_path_factory.mktemp("api")
    write_phantom_folder(parse_phantom_settings("images_per_class=12,side_px=48"), root / "images")
    dataset = cxresnet.prepare(
        root / "images", out=root / "dataset", side_px=32, common_side_px=48, workers=1
    )
    run = cxresnet.train(
        dataset, out=root / "run", epochs=1, batch_size=8, stem_width=4, widths=(4, 8),
        depths=(1, 1),
    )  # fmt: skip
    assert run.path == root / "run"
    assert "Trained 1 epochs" in run.summary
    evaluation = cxresnet.evaluate(
        run, bootstrap_resamples=100, shortcut_baselines=False, test_time_augmentation=True
    )
    assert evaluation.disclaimer == cxresnet.DISCLAIMER
    return root


@pytest.mark.slow
def test_the_stages_leave_what_the_commands_leave(folder: Path) -> None:
    for name in ("findings.json", "data_report.html", "dataset.json"):
        assert (folder / "dataset" / name).is_file()
    run = RunFolder(folder / "run")
    assert run.history.is_file()
    assert run.metrics.is_file()
    dataset = cxresnet.open_dataset(folder / "dataset")
    assert cxresnet.open_dataset(dataset) is dataset
    with pytest.raises(RunFolderError, match="already holds a run"):
        cxresnet.train(dataset, out=run.path)


@pytest.mark.slow
def test_an_image_of_the_test_set_is_predicted_as_the_evaluation_did(folder: Path) -> None:
    model = cxresnet.load(folder / "run", gate=False)  # images of 48 × 48 pixels
    assert model.is_evaluated
    rows = RunFolder(folder / "run").predictions.read_text(encoding="utf-8").splitlines()
    header, first = (row.replace('"', "").split(",") for row in rows[:2])
    row = dict(zip(header, first, strict=True))
    (path,) = (folder / "images").glob(f"*-*/{Path(row['image_id']).name}") or [None]
    found = model.predict(path).probabilities
    expected = {name: float(row[f"calibrated_{name}"]) for name in model.class_names}
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_an_explanation_equals_that_of_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(folder / "run")
    manifest = cxresnet.open_dataset(folder / "dataset").manifest
    image_id = str(manifest.loc[manifest["split"] == "test", "image_id"].iloc[0])
    words = ["explain", str(run.path), "--test-image", image_id, "--methods", "occlusion"]
    for name, value in EXPLAIN.items():
        shown = str(list(value)).replace("'", '"') if isinstance(value, tuple) else value
        words += ["--set", f"explain.{name}={shown}"]
    assert run_command_line(words) == 0
    expected = read_attributions(run.explain / "requested")
    found = cxresnet.load(run.path, gate=False).explain(folder / "images" / image_id, **EXPLAIN)
    assert found.class_name == expected.index.images[0].explained_class
    assert np.abs(expected.maps["occlusion"][0]).max() > 0
    np.testing.assert_array_equal(found.image, expected.images[0])
    np.testing.assert_allclose(found.map, expected.maps["occlusion"][0], atol=1e-6)
    np.testing.assert_allclose(
        found.baseline_range, expected.baseline_ranges["occlusion"][0], atol=1e-6
    )


def test_the_signature_for_type_checkers_is_that_of_the_function() -> None:
    parameters = inspect.signature(cxresnet.train).parameters
    assert list(parameters)[:2] == ["dataset", "out"]
    assert parameters["out"].kind is inspect.Parameter.KEYWORD_ONLY
