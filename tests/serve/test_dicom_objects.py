"""Report, map and capture: of the patient and study of the image, with the answer of `predict`."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cxresnet
from cxresnet.core.errors import ImageError

pydicom = pytest.importorskip("pydicom", reason="the extra 'dicom' is not installed")
hd = pytest.importorskip("highdicom", reason="the extra 'listen' is not installed")

from cxresnet.serve.dicom_objects import AnsweredImage, build_objects, describe_trust, may_write_map  # noqa: E402
from cxresnet.serve.dicom_report import REMAINS, code_class  # noqa: E402
from cxresnet.serve.dicom_source import describe_author, read_source  # noqa: E402

PATIENT_AND_STUDY = (
    "PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "StudyDate",
    "AccessionNumber",
)  # fmt: skip


def answer_for(model: cxresnet.Model, content: bytes) -> AnsweredImage:
    prediction = model.predict(content)
    answer = AnsweredImage(read_source(content), hashlib.sha256(content).hexdigest(), prediction)
    if prediction.refused:
        return answer
    explanation = model.explain(content, "integrated_gradients")
    pixels = pydicom.dcmread(io.BytesIO(content)).pixel_array.astype(np.float32) / 255
    return replace(answer, explanation=explanation, pixels=pixels)


def build(model: cxresnet.Model, answer: AnsweredImage) -> dict[str, Any]:
    return build_objects(
        answer, author=describe_author(model), preprocessing=model.predictor.preprocessing
    )


@pytest.fixture(scope="module")
def answer(model: cxresnet.Model, drawn_dx: list[bytes]) -> AnsweredImage:
    return answer_for(model, drawn_dx[0])


@pytest.fixture(scope="module")
def trusted(answer: AnsweredImage) -> AnsweredImage:
    """The same, as if every method had passed the sanity checks."""
    card = answer.explanation.card
    assert card is not None
    passed = card.model_copy(
        update={"methods": tuple(one.model_copy(update={"passed": True}) for one in card.methods)}
    )
    explanation = replace(answer.explanation, card=passed)
    assert may_write_map(explanation)
    return replace(answer, explanation=explanation)


@pytest.fixture(scope="module")
def objects(model: cxresnet.Model, trusted: AnsweredImage) -> dict[str, Any]:
    return build(model, trusted)


@pytest.mark.slow
def test_every_object_is_of_the_patient_and_the_study(
    objects: dict[str, Any], answer: AnsweredImage
) -> None:
    assert list(objects) == ["map", "capture", "report"]
    for built in objects.values():
        for keyword in PATIENT_AND_STUDY:
            assert str(built[keyword].value) == str(answer.source[keyword].value), keyword
        assert built.SeriesInstanceUID != answer.source.SeriesInstanceUID
    uids = [built.SOPInstanceUID for built in objects.values()]
    assert len({*uids, answer.source.SOPInstanceUID}) == 4
    assert all(pydicom.uid.UID(uid).is_valid for uid in uids)


def test_the_evidence_names_the_image_and_the_other_objects(
    objects: dict[str, Any], answer: AnsweredImage
) -> None:
    report = objects["report"]
    named = [
        image.ReferencedSOPInstanceUID
        for keyword in ("CurrentRequestedProcedureEvidenceSequence",
                        "PertinentOtherEvidenceSequence")
        for study in report.get(keyword, [])
        for series in study.ReferencedSeriesSequence
        for image in series.ReferencedSOPSequence
    ]  # fmt: skip
    others = [objects[name].SOPInstanceUID for name in ("map", "capture")]
    assert sorted(named) == sorted([answer.source.SOPInstanceUID, *others])


@pytest.mark.slow
def test_the_report_says_what_predict_says(
    model: cxresnet.Model, drawn_dx: list[bytes], dicom: Any
) -> None:
    for content in drawn_dx:
        prediction = model.predict(content)
        answer = AnsweredImage(
            read_source(content), hashlib.sha256(content).hexdigest(), prediction
        )
        said = dicom.read_report(build(model, answer)["report"])
        shares = [float(value) for name, value in said if name.startswith("Calibrated")]
        assert shares == pytest.approx(list(prediction.probabilities.values()), abs=1e-9)
        remaining = [value for name, value in said if name == REMAINS.meaning]
        assert remaining == [code_class(name).meaning for name in prediction.prediction_set]
        text = " ".join(value for _, value in said)
        assert "Research only" in text
        assert cxresnet.__version__ in text
        assert model.verdict.encode("ascii", "replace").decode() in text


@pytest.mark.slow
def test_the_report_of_a_refused_image_gives_the_reason_of_the_gate(
    model: cxresnet.Model, wrap_dx: Any, dicom: Any
) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (128, 96)).astype(np.uint8)
    answer = answer_for(replace(model, gate=True), wrap_dx(levels))
    assert answer.prediction.refused
    built = build(model, answer)
    assert list(built) == ["report"]
    said = dicom.read_report(built["report"])
    assert ("Reason of the gate", answer.prediction.reason) in said
    assert not [name for name, _ in said if "robability" in name]


def test_the_map_lies_on_the_grid_of_the_source(
    objects: dict[str, Any], answer: AnsweredImage
) -> None:
    built, explanation = objects["map"], answer.explanation
    assert (built.Rows, built.Columns) == (answer.source.Rows, answer.source.Columns)
    values = np.frombuffer(built.FloatPixelData, np.float32).reshape(built.Rows, built.Columns)
    drawn = explanation.attributions.compute_drawn(explanation.attributions.index.methods[0], 0)
    assert values.max() == pytest.approx(drawn.max(), abs=0.05)
    assert np.abs(values).max() > 0
    mapping = built.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.LUTExplanation == "change of probability"


@pytest.mark.slow
def test_a_map_is_withheld_unless_its_method_passed(
    model: cxresnet.Model, answer: AnsweredImage
) -> None:
    untested = replace(answer.explanation, card=None)
    assert not may_write_map(untested)
    assert "no map is written" in describe_trust(untested)
    built = build(model, replace(answer, explanation=untested))
    assert list(built) == ["capture", "report"]


def test_the_capture_says_that_it_was_drawn_on(objects: dict[str, Any]) -> None:
    capture = objects["capture"]
    assert list(capture.ImageType) == ["DERIVED", "SECONDARY"]
    assert capture.BurnedInAnnotation == "YES"
    picture = np.frombuffer(capture.PixelData, np.uint8)
    below = picture[: capture.Rows * capture.Columns * 3].reshape(capture.Rows, capture.Columns, 3)
    assert below[-120:].max() == 255, "the words are missing"


@pytest.mark.slow
def test_the_same_image_gets_the_same_uids(model: cxresnet.Model, drawn_dx: list[bytes]) -> None:
    def derive() -> str:
        content = drawn_dx[0]
        answer = AnsweredImage(read_source(content), "ab", model.predict(content))
        return str(build(model, answer)["report"].SOPInstanceUID)

    assert derive() == derive()


def test_an_image_without_uids_is_refused(wrap_dx: Any) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    with pytest.raises(ImageError, match="UID") as caught:
        read_source(wrap_dx(levels, StudyInstanceUID=None))
    assert caught.value.code == "no-identity"


def test_a_class_without_a_known_code_gets_one_of_ours() -> None:
    assert code_class("covid-19").scheme_designator == "SCT"
    assert code_class("Tuberkulöse und anderes mehr").scheme_designator == "99CXRESNET"


@pytest.fixture(scope="module")
def dciodvfy() -> str:
    """The validator of Debian's dicom3tools."""
    program = os.environ.get("CXRESNET_DCIODVFY") or shutil.which("dciodvfy")
    if program is None:
        pytest.skip("NOT validated: apt-get install dicom3tools, or set CXRESNET_DCIODVFY")
    return program


SPARSE = dict.fromkeys(
    ("PatientOrientation", "BodyPartExamined", "ViewPosition", "ImagerPixelSpacing", "StudyDate",
     "PatientBirthDate", "AccessionNumber")
)  # fmt: skip
CR = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1", "Modality": "CR"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{}, {"PatientSex": "F", "PixelSpacing": [0.143, 0.143]}, SPARSE, CR, CR | SPARSE],
    ids=["DX", "calibrated DX", "sparse DX", "CR", "sparse CR"],
)
def test_dciodvfy_finds_no_error(
    dciodvfy: str, model: cxresnet.Model, trusted: AnsweredImage, wrap_dx: Any,
    drawn_dx: list[bytes], changes: dict[str, Any], tmp_path: Path,
) -> None:  # fmt: skip
    pixels = pydicom.dcmread(io.BytesIO(drawn_dx[0])).pixel_array
    source = read_source(wrap_dx(pixels, **changes))
    built = build(model, replace(trusted, source=source))
    assert list(built) == ["map", "capture", "report"]
    for name, one in built.items():
        path = tmp_path / f"{name}.dcm"
        one.save_as(path, enforce_file_format=True)
        done = subprocess.run([dciodvfy, path], capture_output=True, text=True, check=False)
        said = (done.stdout + done.stderr).splitlines()
        assert said, "it says at least which kind of object it is"
        assert not [line for line in said if line.startswith("Error")], name
