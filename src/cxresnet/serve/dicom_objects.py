"""What is sent back for a DICOM image: a report, an attribution map and a picture for people.

All three stand in the study of the image and name it as their source. The map is a Parametric Map
on the pixels of the image, in change of probability, and is made only where its method passed the
sanity checks; the picture is a Secondary Capture with map and disclaimer in its pixels.
"""

from __future__ import annotations

import textwrap
import warnings
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from highdicom.content import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.sc import SCImage
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import Dataset
from pydicom.sr.codedict import codes

from cxresnet import DISCLAIMER
from cxresnet.api.classifier import Model
from cxresnet.api.explanation import Explanation
from cxresnet.api.prediction import Prediction
from cxresnet.core.config import Config
from cxresnet.data.prepare.preprocessing import Preprocessing, restore_to_source
from cxresnet.explain.attribution import describe_method
from cxresnet.explain.methods.method import build_methods, list_methods
from cxresnet.explain.overlay import draw_overlay, load_font
from cxresnet.explain.sanity.run import find_card
from cxresnet.serve.dicom_report import MANUFACTURER, build_report
from cxresnet.serve.dicom_source import Author, derive_uid

Known = TypeVar("Known")

_MAP_SERIES = 9102
_CAPTURE_SERIES = 9103
_CAPTURE_SIDE_PX = 1024
_CAPTURE_LETTERS = 64
_DIRECTIONS = {
    "L": (1, 0, 0),
    "R": (-1, 0, 0),
    "P": (0, 1, 0),
    "A": (0, -1, 0),
    "H": (0, 0, 1),
    "F": (0, 0, -1),
}
"""Of PatientOrientation, in patient coordinates."""

_USUAL_METHOD = "occlusion"
_SHARED_UNIT = "change of probability"
_QUANTITY = CodedConcept("prob-change", "99CXRESNET", "Change of the probability of a class")


@dataclass(frozen=True, eq=False)
class AnsweredImage:
    """What is known of an image when its objects are built.

    Attributes:
        source: Its header, as `read_source` gives it.
        image_sha256: Of the bytes that were received.
        prediction: As of `Model.predict`.
        explanation: As of `Model.explain`; None where the image was refused.
        pixels: (height, width), 0 to 1, as decoded, perhaps reduced; None likewise.
    """

    source: Dataset
    image_sha256: str
    prediction: Prediction
    explanation: Explanation | None = None
    pixels: NDArray[np.float32] | None = None


def build_objects(
    answer: AnsweredImage, *, author: Author, preprocessing: Preprocessing
) -> dict[str, Dataset]:
    """Build the objects of one image, by their names: "map", "capture" and, last, "report".

    A refused image has a report alone, which says why. A map is built only where its method passed
    the sanity checks on this network and its values are changes of probability.
    """
    objects: dict[str, Dataset] = {}
    trust = "" if answer.explanation is None else describe_trust(answer.explanation)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names of patients, which they quote
        if answer.explanation is not None:
            if may_write_map(answer.explanation):
                objects["map"] = build_map(answer, author=author, preprocessing=preprocessing)
            objects["capture"] = build_capture(answer, author=author, preprocessing=preprocessing)
        objects["report"] = build_report(
            answer.source,
            answer.prediction,
            author=author,
            map_trust=trust,
            evidence=tuple(objects.values()),
            uids=_derive_uids(answer, author, "report"),
        )
    return objects


def may_write_map(explanation: Explanation) -> bool:
    """Say whether a map may leave as numbers: its method passed, and its unit is the shared one."""
    method = explanation.attributions.index.methods[0]
    return explanation.passed_sanity is True and method.drawn_unit == _SHARED_UNIT


def choose_method(model: Model) -> str:
    """Choose the attribution method: the first that passed on this network, else occlusion.

    A method whose values are no changes of probability is passed over.
    """
    card = find_card(model.run.explain, model.predictor)
    passed: list[Any] = [
        name for name in list_methods() if card is not None and card.find_verdict(name)
    ]
    config = Config().explain
    side_px = model.predictor.preprocessing.side_px
    methods = build_methods(passed, config, side_px=side_px)
    empty = np.zeros((1, 1, 1), np.float32)
    shared = (one.name for one in methods if describe_method(one, empty).drawn_unit == _SHARED_UNIT)
    return next(shared, _USUAL_METHOD)


def describe_trust(explanation: Explanation) -> str:
    """Say what the sanity checks found of the method of the map, in one sentence."""
    title = explanation.attributions.index.methods[0].title
    if explanation.passed_sanity is None:
        return f"{title}: the sanity checks were not run on this network; no map is written."
    if not explanation.passed_sanity:
        return f"{title} failed the sanity checks on this network; no map is written."
    return f"{title} passed the sanity checks on this network."


def build_map(answer: AnsweredImage, *, author: Author, preprocessing: Preprocessing) -> Dataset:
    """Build the Parametric Map on the pixels of the source; 0 where the network sees nothing."""
    explanation, source = _require(answer.explanation), answer.source
    series, instance = _derive_uids(answer, author, "map")
    values = _restore_map(explanation, source, preprocessing)
    limit = explanation.attributions.get_scale_limit(explanation.attributions.index.methods[0])
    built = ParametricMap(
        source_images=[place_in_plane(source)],
        pixel_array=values,
        series_instance_uid=series,
        series_number=_MAP_SERIES,
        sop_instance_uid=instance,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=author.network[:_CAPTURE_LETTERS],
        software_versions=author.version,
        device_serial_number=author.network_hash,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            RealWorldValueMapping(
                lut_label="PROB_CHANGE",
                lut_explanation=_SHARED_UNIT,
                unit=codes.UCUM.NoUnits,
                value_range=(-1.0, 1.0),
                slope=1.0,
                intercept=0.0,
                quantity_definition=_QUANTITY,
            )
        ],
        voi_lut_transformations=[VOILUTTransformation(window_center=0.0, window_width=2 * limit)],
        content_label="ATTRIBUTION",
        content_description=f"{explanation.method}, {explanation.class_name}"[:_CAPTURE_LETTERS],
    )
    built.SeriesDescription = "CXResnet attribution map, research only"
    _copy_body_part(built, source)
    return built


def place_in_plane(source: Dataset) -> Dataset:
    """Place an image in a plane, as a Parametric Map has to be.

    A projection has no place in the patient. The frame of reference is one of its own, so that no
    viewer lays it over anything but its source; the plane has the directions that the image states,
    else those of a frontal view.
    """
    placed = Dataset()
    placed.update(source)
    placed.FrameOfReferenceUID = derive_uid("plane", source.SOPInstanceUID)
    placed.PositionReferenceIndicator = ""
    stated = [_DIRECTIONS.get(str(one)[:1]) for one in source.get("PatientOrientation") or ()]
    row, column = stated if len(stated) == 2 and all(stated) else (None, None)
    if row is None or column is None or np.dot(row, column):
        row, column = _DIRECTIONS["L"], _DIRECTIONS["F"]
    placed.ImageOrientationPatient = [*row, *column]
    placed.ImagePositionPatient = [0, 0, 0]
    spacing = source.get("PixelSpacing") or source.get("ImagerPixelSpacing") or (1, 1)
    placed.PixelSpacing = [*spacing] if all(float(one) > 0 for one in spacing) else [1, 1]
    placed.SliceThickness = 1
    return placed


def build_capture(
    answer: AnsweredImage, *, author: Author, preprocessing: Preprocessing
) -> Dataset:
    """Build the Secondary Capture: the image with the map on it, and the disclaimer below."""
    source = answer.source
    series, instance = _derive_uids(answer, author, "capture")
    picture = draw_capture(answer, author=author, preprocessing=preprocessing)
    built = SCImage.from_ref_dataset(
        ref_dataset=source,
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_instance_uid=series,
        series_number=_CAPTURE_SERIES,
        sop_instance_uid=instance,
        instance_number=1,
        manufacturer=MANUFACTURER,
        patient_orientation=("L", "F"),  # the library wants one; that of the image follows
    )
    built.PatientOrientation = source.get("PatientOrientation")
    _copy_body_part(built, source)
    built.ImageType = ["DERIVED", "SECONDARY"]
    built.BurnedInAnnotation = "YES"
    built.ConversionType = "WSD"
    built.SeriesDescription = "CXResnet overlay, research only"
    built.DerivationDescription = "Attribution map drawn over the image, with a disclaimer"
    built.SoftwareVersions = author.version
    built.ManufacturerModelName = author.network[:_CAPTURE_LETTERS]
    built.SourceImageSequence = [_refer_to(source)]
    return built


def draw_capture(
    answer: AnsweredImage, *, author: Author, preprocessing: Preprocessing
) -> NDArray[np.uint8]:
    """Draw image, map and words, (row, column, 3)."""
    explanation, pixels = _require(answer.explanation), _require(answer.pixels)
    height, width = pixels.shape
    scale = _CAPTURE_SIDE_PX / max(height, width)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    grey = _resize(pixels * 255, size).clip(0, 255).astype(np.uint8)
    if may_write_map(explanation):
        values = _resize(_restore_map(explanation, answer.source, preprocessing), size)
        method = explanation.attributions.index.methods[0]
        limit = explanation.attributions.get_scale_limit(method)
        picture = draw_overlay(grey, values, scale_limit=limit)
    else:
        picture = np.repeat(grey[..., None], 3, axis=2)
    return _write_below(picture, _describe_capture(answer, author))


def _describe_capture(answer: AnsweredImage, author: Author) -> list[str]:
    explanation, prediction = _require(answer.explanation), answer.prediction
    shares = ", ".join(f"{name} {share:.3f}" for name, share in prediction.probabilities.items())
    shown = (
        f"Orange speaks for {explanation.class_name}, blue against it. "
        if may_write_map(explanation)
        else ""
    )
    lines = (
        f"RESEARCH ONLY. {DISCLAIMER}",
        f"Decision: {prediction.decision} ({shares})",
        prediction.abstention_reason,
        shown + describe_trust(explanation),
        f"CXResnet {author.version}, {author.network}. {author.verdict}",
    )
    return [line for line in lines if line]


def _write_below(picture: NDArray[np.uint8], lines: list[str]) -> NDArray[np.uint8]:
    """Write lines on a black band below a picture, broken where they are too long."""
    width = picture.shape[1]
    size = max(12, width // 48)
    font = load_font(size)
    letters = max(16, int(width / (0.6 * size)))
    folded = [part for line in lines for part in textwrap.wrap(line, letters)]
    step = round(1.4 * size)
    band = Image.new("RGB", (width, step * len(folded) + size))
    pen = ImageDraw.Draw(band)
    for row, line in enumerate(folded):
        pen.text((size // 2, size // 2 + row * step), line, fill=(255, 255, 255), font=font)
    return np.concatenate([picture, np.asarray(band)])


def _restore_map(
    explanation: Explanation, source: Dataset, preprocessing: Preprocessing
) -> NDArray[np.float32]:
    drawn = explanation.attributions.compute_drawn(explanation.attributions.index.methods[0], 0)
    return restore_to_source(
        drawn, preprocessing, width=int(source.Columns), height=int(source.Rows)
    )


def _resize(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)


def _copy_body_part(built: Dataset, source: Dataset) -> None:
    """Copy the part of the body; where it is not known, neither is its side."""
    if source.get("BodyPartExamined"):
        built.BodyPartExamined = source.BodyPartExamined
    else:
        built.Laterality = ""


def _refer_to(source: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "121322", "DCM"
    purpose.CodeMeaning = "Source image for image processing operation"
    reference.PurposeOfReferenceCodeSequence = [purpose]
    return reference


def _derive_uids(answer: AnsweredImage, author: Author, kind: str) -> tuple[str, str]:
    parts = (answer.source.SOPInstanceUID, answer.image_sha256, author.network_hash, author.version)
    return derive_uid("series", kind, *parts), derive_uid("object", kind, *parts)


def _require(value: Known | None) -> Known:
    if value is None:
        raise ValueError("a refused image has neither map nor picture")
    return value
