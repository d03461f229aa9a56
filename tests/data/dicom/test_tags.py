"""Which DICOM files are films of the chest, and what is taken from their headers."""

from __future__ import annotations

import io
import warnings
from typing import Any

import pytest

from cxresnet.core.errors import FilmError
from cxresnet.data.dicom import read_dicom_film, read_dicom_header


def refuse(content: bytes) -> str:
    with pytest.raises(FilmError) as caught:
        read_dicom_film(content)
    assert str(caught.value).endswith(".")
    return caught.value.code


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"Modality": "CT"}, "Modality"),
        ({"Modality": ""}, "Modality"),
        ({"BodyPartExamined": "HAND"}, "BodyPartExamined"),
        ({"Modality": "OT", "BodyPartExamined": ""}, "secondary capture"),
    ],
)
def test_what_is_no_chest_film_is_refused_with_the_reason(
    tags: dict[str, str], reason: str, kit: Any
) -> None:
    for read in (read_dicom_film, lambda content: read_dicom_header(io.BytesIO(content))):
        with pytest.raises(FilmError, match=reason) as caught:
            read(kit.make_film(**tags))
        assert caught.value.code == "not-a-chest-film"


@pytest.mark.parametrize(
    "tags",
    [
        {"Modality": "CR", "BodyPartExamined": ""},
        {"BodyPartExamined": "PORT CHEST"},
        {"BodyPartExamined": "thorax"},
        {"ViewPosition": "LL"},
        {"Modality": "OT"},
    ],
)
def test_chest_films_of_other_spellings_are_read(tags: dict[str, str], kit: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom minds the lower case while writing
        content = kit.make_film(**tags)
    assert read_dicom_film(content).pixels.shape == (64, 80)


def test_several_frames_are_refused(kit: Any) -> None:
    assert refuse(kit.make_film(NumberOfFrames="2")) == "several-frames"


def test_a_report_without_pixels_is_refused(kit: Any) -> None:
    dataset = kit.make_dataset(kit.draw_levels())
    del dataset.PixelData
    assert refuse(kit.save(dataset)) == "no-pixels"


def read_header(kit: Any, **tags: Any) -> Any:
    return read_dicom_header(io.BytesIO(kit.make_film(**tags)))


@pytest.mark.parametrize(
    ("given", "years"),
    [
        ("045Y", "45"), ("018M", "1"), ("012M", "1"), ("011M", "0"), ("002W", "0"), ("010D", "0"),
        ("089Y", "89"), ("090Y", "90"), ("104Y", "90"), ("", ""),
    ],
)  # fmt: skip
def test_age_is_in_years_and_stops_at_ninety(given: str, years: str, kit: Any) -> None:
    assert read_header(kit, PatientAge=given).age_years == years


@pytest.mark.parametrize(
    ("given", "view"),
    [("PA", "PA"), ("AP", "AP"), ("LL", "lateral"), ("RL", "lateral"), ("LATERAL", "lateral"),
     ("RLO", "other"), ("", "")],
)  # fmt: skip
def test_views_come_from_a_short_list(given: str, view: str, kit: Any) -> None:
    assert read_header(kit, ViewPosition=given).view == view


def test_device_and_sex_are_kept(kit: Any) -> None:
    header = read_header(
        kit, Manufacturer="ACME\tMedical ", ManufacturerModelName="DR 9", PatientSex="F"
    )
    assert (header.device, header.sex) == ("ACME Medical DR 9", "F")
    assert read_header(kit, PatientSex="O").sex == ""


def test_identifiers_that_all_anonymous_films_share_are_nobodys(kit: Any) -> None:
    assert read_header(kit).identifiers["PatientID"] == "canary-4711"
    assert "PatientID" not in read_header(kit, PatientID="Anonymous").identifiers
    assert "PatientID" not in read_header(kit, PatientID="").identifiers


def test_a_header_is_shown_without_its_identifiers(kit: Any) -> None:
    assert "canary" not in repr(read_header(kit)).lower()
