"""The image that objects are made for: the part of its header that they keep, and their UIDs."""

from __future__ import annotations

import hashlib
import io
import uuid
import warnings
from dataclasses import dataclass

import pydicom
from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID

from cxresnet import __version__
from cxresnet.api.classifier import Model
from cxresnet.api.image_cards import name_network
from cxresnet.core.errors import ImageError
from cxresnet.explain.sanity.run import hash_network

_REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_MAY_BE_EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Of patient and study: they stand in every object, empty where the image does not say."""

_KEPT = (
    *_REQUIRED,
    *_MAY_BE_EMPTY,
    "SpecificCharacterSet",
    "IssuerOfPatientID",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyDescription",
    "Modality",
    "Laterality",
    "ImageLaterality",
    "BodyPartExamined",
    "ViewPosition",
    "PatientOrientation",
    "AcquisitionDate",
    "AcquisitionTime",
    "ContentDate",
    "ContentTime",
    "InstanceNumber",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagerPixelSpacing",
)


@dataclass(frozen=True, kw_only=True)
class Author:
    """Who says it: a network, with what must be known of it.

    Attributes:
        network: Name of the run, or "bundled network".
        network_hash: SHA-256 of its weights.
        version: Of CXResnet.
        verdict: What the audit found in the training data, one sentence; "" where it was not run.
        is_evaluated: Without an evaluation the probabilities are not calibrated.
    """

    network: str
    network_hash: str
    version: str
    verdict: str
    is_evaluated: bool


def describe_author(model: Model) -> Author:
    """Describe a network as the author of objects."""
    return Author(
        network=name_network(model),
        network_hash=hash_network(model.predictor),
        version=__version__,
        verdict=model.verdict,
        is_evaluated=model.is_evaluated,
    )


def read_source(content: bytes) -> Dataset:
    """Read what objects keep of an image's header; nothing else of it, and no pixels.

    Args:
        content: A DICOM file that the decoder has read without complaint.

    Raises:
        ImageError: "damaged": the header cannot be read. "no-identity": a UID is absent or wrong.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = pydicom.dcmread(
                io.BytesIO(content), specific_tags=[*map(Tag, _KEPT)], stop_before_pixels=True
            )
            source = Dataset()
            for keyword in _KEPT:
                if keyword in read:
                    source[keyword] = read[keyword]
    except Exception:  # noqa: BLE001  its text quotes values, which may name a person
        raise ImageError("damaged", "The header of the DICOM image cannot be read.") from None
    if not all(_is_uid(source.get(keyword)) for keyword in _REQUIRED):
        raise ImageError(
            "no-identity",
            "The DICOM image lacks a valid UID of study, series, image or class, so no object can "
            "name it as its source.",
        )
    for keyword in _MAY_BE_EMPTY:
        if keyword not in source:
            setattr(source, keyword, "")
    return source


def _is_uid(value: object) -> bool:
    return isinstance(value, str) and bool(value) and UID(value).is_valid


def derive_uid(*parts: str) -> str:
    """Derive a UID: the same parts, the same UID, so that an image sent twice has one report.

    >>> derive_uid("image", "network") == derive_uid("image", "network")
    True
    >>> len(derive_uid("image")) <= 64
    True
    """
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"
