"""Ids that stand for nobody, and pseudonyms as DICOM headers give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet.data.decode.dicom.identity import pseudonymise
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.sources.patients import forget_patients, pseudonymise_patients

KEY = bytes(range(32))


def make_records(*patients: str) -> list[ImageRecord]:
    return [
        ImageRecord(image_id=f"{n}", location="", class_name="normal", source="", patient_id=name)
        for n, name in enumerate(patients)
    ]


def test_an_id_that_stands_for_nobody_is_taken_away_in_any_spelling() -> None:
    records = make_records("Temp 1", "temp2")
    assert [r.patient_id for r in forget_patients(records, ["TEMP_1"])] == ["", "temp2"]
    assert [r.patient_id for r in forget_patients(records, [])] == ["Temp 1", "temp2"]


def test_a_patient_has_the_pseudonym_of_its_header_and_nobody_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_bytes(KEY)
    monkeypatch.setenv("CXRESNET_KEY_FILE", str(tmp_path / "key"))
    found = [record.patient_id for record in pseudonymise_patients(make_records("7", ""))]
    assert found == [pseudonymise("PatientID:7", key=KEY), ""]
