"""The Structured Report of an image: TID 1500, of the primitives of the IHE profile AIR.

One measurement group stands for the image, with what the gate found, the decision and the classes
that remain possible; one for each class, with its probability. Sentences for people follow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from highdicom import sr
from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.sr.codedict import codes

from cxresnet import DISCLAIMER
from cxresnet.api.prediction import Prediction
from cxresnet.serve.dicom_source import Author, derive_uid

MANUFACTURER = "CXResnet"
SERIES_NUMBER = 9101
_SCHEME = "99CXRESNET"
_LONGEST_CODE = 16
_LONGEST_MEANING = 64

_KNOWN_CLASSES = {
    "normal": CodedConcept("17621005", "SCT", "Normal"),
    "pneumonia": CodedConcept("233604007", "SCT", "Pneumonia"),
    "covid-19": CodedConcept("840539006", "SCT", "COVID-19"),
}


def _code(value: str, meaning: str) -> CodedConcept:
    return CodedConcept(value, _SCHEME, meaning)


PROBABILITY = _code("probability", "Calibrated probability of the class")
RAW_PROBABILITY = _code("raw-probability", "Probability of the class, not calibrated")
GATE = _code("gate", "Check for an upright frontal chest X-ray")
DECISION = _code("decision", "Decision of the network")
REMAINS = _code("remains", "Class that remains possible")
ABSTAINED = _code("abstain", "Abstained")
GATE_REASON = _code("gate-reason", "Reason of the gate")
ABSTENTION_REASON = _code("why-abstained", "Reason of the abstention")
NOTE = _code("note", "Note")
VERDICT = _code("verdict", "What the audit found in the training data")
MAP_TRUST = _code("map-trust", "What the sanity checks say of the attribution map")
INTENDED_USE = _code("intended-use", "Intended use")


def build_report(
    source: Dataset,
    prediction: Prediction,
    *,
    author: Author,
    map_trust: str,
    evidence: Sequence[Dataset] = (),
    uids: tuple[str, str],
) -> Dataset:
    """Build the report of one image.

    Args:
        source: As `read_source` gives it.
        prediction: Also one that was refused.
        author: The network.
        map_trust: What the sanity checks say of the map, one sentence; "" where there is no map.
        evidence: Other objects made for the image.
        uids: Of the series and of the report.
    """
    report = sr.MeasurementReport(
        observation_context=_build_context(author),
        procedure_reported=CodedConcept("399208008", "SCT", "Plain chest X-ray"),
        imaging_measurements=[*_build_groups(source, prediction, author)],
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=[source] if _can_be_listed(source) else None,
    )
    report[0].ContentSequence.append(
        _build_sentences(list_sentences(prediction, author=author, map_trust=map_trust))
    )
    document = sr.Comprehensive3DSR(
        evidence=[source, *evidence],
        content=report[0],
        series_instance_uid=uids[0],
        series_number=SERIES_NUMBER,
        sop_instance_uid=uids[1],
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
    )
    document.SeriesDescription = "CXResnet report, research only"
    document.ManufacturerModelName = author.network[:_LONGEST_MEANING]
    document.SoftwareVersions = author.version
    return document


def list_sentences(
    prediction: Prediction, *, author: Author, map_trust: str
) -> list[tuple[CodedConcept, str]]:
    """List the sentences of the report, each with what it is about; those that say nothing fall."""
    calibration = "" if author.is_evaluated else "The probabilities are not calibrated."
    found = [
        (INTENDED_USE, f"Research only. {DISCLAIMER}"),
        (GATE_REASON, prediction.reason),
        (ABSTENTION_REASON, prediction.abstention_reason),
        (NOTE, prediction.note),
        (NOTE, calibration),
        (VERDICT, author.verdict or "The training data were not audited."),
        (MAP_TRUST, map_trust),
    ]
    return [(about, sentence) for about, sentence in found if sentence]


def code_class(name: str) -> CodedConcept:
    """Code a class: in SNOMED CT where it is known there, else by its name."""
    known = _KNOWN_CLASSES.get(name.casefold())
    return known or _code(_to_ascii(name)[:_LONGEST_CODE], _to_ascii(name)[:_LONGEST_MEANING])


def _to_ascii(text: str) -> str:
    """Write text in letters that every character set has: the report is in that of the image."""
    return text.replace("°", " degrees").encode("ascii", "replace").decode("ascii")


def _can_be_listed(source: Dataset) -> bool:
    """Say whether the image states what its entry in the image library (TID 1603) has to.

    Many do not, above all CR; the library may be left out, and the report names the image as its
    evidence and with each group of measurements, too.
    """
    stated = [source.get(keyword) for keyword in ("PatientOrientation", "ImagerPixelSpacing")]
    return all(not isinstance(one, str) and len(one or ()) == 2 and all(one) for one in stated)


def _build_context(author: Author) -> sr.ObservationContext:
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=derive_uid("device", author.network_hash, author.version),
        name="CXResnet",
        manufacturer_name=MANUFACTURER,
        model_name=_to_ascii(author.network),
        serial_number=author.network_hash,
    )
    return sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _build_groups(
    source: Dataset, prediction: Prediction, author: Author
) -> Iterator[sr.MeasurementsAndQualitativeEvaluations]:
    image, algorithm = source.SOPInstanceUID, _build_algorithm(author)
    yield sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_track("image", image, author),
        algorithm_id=algorithm,
        qualitative_evaluations=[*_evaluate_image(prediction)],
        source_images=[_refer_to(source)],
    )
    for name, probability in prediction.probabilities.items():
        yield sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=_track(f"class {name}", image, author),
            finding_type=code_class(name),
            algorithm_id=_build_algorithm(author),
            measurements=[
                sr.Measurement(
                    name=PROBABILITY if author.is_evaluated else RAW_PROBABILITY,
                    value=probability,
                    unit=codes.UCUM.NoUnits,
                )
            ],
            source_images=[_refer_to(source)],
        )


def _evaluate_image(prediction: Prediction) -> Iterator[sr.QualitativeEvaluation]:
    gate = prediction.gate or "not checked"
    yield sr.QualitativeEvaluation(GATE, _code(gate.replace(" ", "-"), f"Gate: {gate}"))
    if prediction.refused:
        return
    decided = ABSTAINED if prediction.abstained else code_class(prediction.decision)
    yield sr.QualitativeEvaluation(DECISION, decided)
    for name in prediction.prediction_set:
        yield sr.QualitativeEvaluation(REMAINS, code_class(name))


def _build_algorithm(author: Author) -> sr.AlgorithmIdentification:
    return sr.AlgorithmIdentification(
        name=f"CXResnet, {_to_ascii(author.network)}",
        version=author.version,
        parameters=[f"SHA-256 of the weights: {author.network_hash}"],
    )


def _track(what: str, image: str, author: Author) -> sr.TrackingIdentifier:
    uid = derive_uid(what, image, author.network_hash, author.version)
    return sr.TrackingIdentifier(uid=uid, identifier=f"CXResnet, {_to_ascii(what)}")


def _refer_to(source: Dataset) -> sr.SourceImageForMeasurementGroup:
    return sr.SourceImageForMeasurementGroup(
        referenced_sop_class_uid=source.SOPClassUID,
        referenced_sop_instance_uid=source.SOPInstanceUID,
    )


def _build_sentences(sentences: Sequence[tuple[CodedConcept, str]]) -> sr.ContainerContentItem:
    """Build the container of qualitative evaluations, TID 1500 row 12, with text."""
    container = sr.ContainerContentItem(
        name=CodedConcept("C0034375", "UMLS", "Qualitative Evaluations"),
        relationship_type=sr.RelationshipTypeValues.CONTAINS,
    )
    container.ContentSequence = sr.ContentSequence(
        sr.TextContentItem(
            name=about,
            value=_to_ascii(sentence),
            relationship_type=sr.RelationshipTypeValues.CONTAINS,
        )
        for about, sentence in sentences
    )
    return container
