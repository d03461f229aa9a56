"""Whose images they are: ids that stand for nobody, and pseudonyms as DICOM headers give them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from cxresnet.core.labels import fold_label
from cxresnet.data.decode.dicom.identity import load_key, pseudonymise
from cxresnet.data.manifest import ImageRecord


def forget_patients(
    records: Iterable[ImageRecord], no_patients: Collection[str]
) -> tuple[ImageRecord, ...]:
    """Take away the ids that the user says stand for nobody."""
    folded = set(map(fold_label, no_patients))
    return tuple(
        replace(record, patient_id="") if fold_label(record.patient_id) in folded else record
        for record in records
    )


def pseudonymise_patients(records: Iterable[ImageRecord]) -> Iterator[ImageRecord]:
    """Give patients the pseudonyms that they have in DICOM headers, to be told as the same."""
    key = load_key()
    for record in records:
        patient = record.patient_id
        yield replace(record, patient_id=patient and pseudonymise(f"PatientID:{patient}", key=key))
