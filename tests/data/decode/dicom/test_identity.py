"""Which DICOM files are images of the chest, and what is taken from their headers."""

from __future__ import annotations

import hashlib
import hmac
import io
import stat
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxresnet.core.errors import ConfigError, ImageError, StorageError
from cxresnet.data.decode.dicom import read_dicom_header, read_dicom_image
from cxresnet.data.decode.dicom.identity import load_key, pseudonymise


def refuse(content: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read_dicom_image(content)
    assert str(caught.value).endswith(".")
    return caught.value.code


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"Modality": "CT"}, "Modality"),
        ({"Modality": "", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "SOPClassUID"),
        ({"Modality": "", "BodyPartExamined": "HAND"}, "BodyPartExamined"),
        ({"BodyPartExamined": "HAND"}, "BodyPartExamined .* --any-body-part"),
        ({"BodyPartExamined": "THORACIC SPINE"}, "BodyPartExamined"),
        ({"BodyPartExamined": "BRUSTWIRBELSAEUL"}, "BodyPartExamined"),
        ({"BodyPartExamined": "COLUMNA TORACICA"}, "BodyPartExamined"),
        ({"Modality": "OT", "BodyPartExamined": ""}, "secondary capture"),
    ],
)
def test_what_is_no_chest_image_is_refused_with_the_reason(
    tags: dict[str, str], reason: str, kit: Any
) -> None:
    for read in (read_dicom_image, lambda content: read_dicom_header(io.BytesIO(content))):
        with pytest.raises(ImageError, match=reason) as caught:
            read(kit.make_image(**tags))
        assert caught.value.code == "not-a-chest-radiograph"


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
def test_chest_images_of_other_spellings_are_read(tags: dict[str, str], kit: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom minds the lower case while writing
        content = kit.make_image(**tags)
    assert read_dicom_image(content).pixels.shape == (64, 80)


@pytest.mark.parametrize(
    "word",
    [
        "TORAX", "TÓRAX", "PECHO", "PEITO", "TORACE", "THORAX", "BRUST", "Thorax p.a.",
        "RX TORAX PA", "POITRINE", "PULMON", "PULMÃO", "LUNGE", "KLATKA PIERSIOWA", "HRUDNIK",
        "GÖĞÜS", "TORAKS", "ОРГАНЫ ГРУДНОЙ КЛЕТКИ", "ΘΩΡΑΚΑΣ", "胸部", "흉부", "الصدر",
    ],
)  # fmt: skip
def test_the_chest_is_known_in_other_languages(word: str, kit: Any) -> None:
    """Written as UTF-8, which the standard does not allow here."""
    placeholder = "X" * len(word.encode() + b" " * (len(word.encode()) % 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom minds the length while writing
        content = kit.make_image(BodyPartExamined=placeholder)
    content = content.replace(placeholder.encode(), word.encode().ljust(len(placeholder)))
    assert read_dicom_image(content).pixels.shape == (64, 80)


def test_the_chest_is_known_in_latin_1_and_in_the_stated_encoding(kit: Any) -> None:
    for name, encoded in (("", "TÓRAX ".encode("latin-1")), ("GB18030", "胸部".encode("gb18030"))):
        placeholder = b"X" * len(encoded)
        content = kit.make_image(
            BodyPartExamined=placeholder.decode(), SpecificCharacterSet=name or "ISO_IR 100"
        )
        assert read_dicom_image(content.replace(placeholder, encoded)).pixels.shape == (64, 80)


def test_a_file_without_the_tags_that_would_tell_is_taken_with_a_note(kit: Any) -> None:
    """De-identified sets leave Modality and BodyPartExamined out."""
    image = read_dicom_image(kit.make_image(Modality="", BodyPartExamined=""))
    (note,) = image.notes
    assert "Modality (0008,0060) and BodyPartExamined (0018,0015) are absent" in note
    (note,) = read_dicom_image(kit.make_image(Modality="")).notes
    assert "Modality (0008,0060) is absent" in note
    assert read_dicom_image(kit.make_image(Modality="DR", BodyPartExamined="")).notes == ()


@pytest.mark.parametrize(
    "tags", [{"BodyPartExamined": "HAND"}, {"Modality": "SC", "BodyPartExamined": ""}]
)
def test_any_part_of_the_body_is_read_on_demand(tags: dict[str, str], kit: Any) -> None:
    content = kit.make_image(**tags)
    assert refuse(content) == "not-a-chest-radiograph"
    assert read_dicom_image(content, any_body_part=True).pixels.shape == (64, 80)
    assert read_dicom_header(io.BytesIO(content), any_body_part=True).view == ""


def test_colour_without_a_modality_is_no_radiograph(kit: Any) -> None:
    colours = np.repeat(kit.draw_levels(8).astype(np.uint8)[:, :, None], 3, axis=2)
    with pytest.raises(ImageError, match="not grey"):
        read_dicom_image(kit.make_image(colours, bits=8, Modality="", BodyPartExamined=""))


def test_a_slice_is_no_radiograph_of_any_part_of_the_body(kit: Any) -> None:
    with pytest.raises(ImageError, match="Modality"):
        read_dicom_image(kit.make_image(Modality="CT"), any_body_part=True)


def test_several_frames_are_refused(kit: Any) -> None:
    assert refuse(kit.make_image(NumberOfFrames="2")) == "multi-frame"


def test_a_report_without_pixels_is_refused(kit: Any) -> None:
    dataset = kit.make_dataset(kit.draw_levels())
    del dataset.PixelData
    assert refuse(kit.save(dataset)) == "no-pixels"


def read_header(kit: Any, **tags: Any) -> Any:
    return read_dicom_header(io.BytesIO(kit.make_image(**tags)))


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
        kit, Manufacturer="AGFA\tCanary ", ManufacturerModelName="DX-D Canary", PatientSex="F"
    )
    assert (header.device, header.sex) == ("Agfa DX-D", "F")
    assert read_header(kit, PatientSex="O").sex == ""


def test_identifiers_that_all_anonymous_images_share_are_nobodys(kit: Any) -> None:
    assert read_header(kit).identifiers["PatientID"] == "canary-4711"
    assert "PatientID" not in read_header(kit, PatientID="Anonymous").identifiers
    assert "PatientID" not in read_header(kit, PatientID="").identifiers


def test_a_header_is_shown_without_its_identifiers(kit: Any) -> None:
    assert "canary" not in repr(read_header(kit)).lower()


# Pseudonyms: the same for the same, useless without the key, and a key that nobody else reads.


KEY = bytes(range(32))


def test_a_pseudonym_is_the_start_of_the_keyed_hash() -> None:
    expected = hmac.new(KEY, b"patient:4711", hashlib.sha256).hexdigest()[:16]
    assert pseudonymise("patient:4711", key=KEY) == expected


def test_another_value_or_another_key_gives_another_pseudonym() -> None:
    ours = pseudonymise("patient:4711", key=KEY)
    assert pseudonymise("patient:4712", key=KEY) != ours
    assert pseudonymise("patient:4711", key=bytes(32)) != ours


def test_a_name_that_is_no_utf8_has_a_pseudonym() -> None:
    assert len(pseudonymise("image:caf\udce9", key=KEY)) == 16


def test_a_key_that_is_no_secret_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 16"):
        pseudonymise("patient:4711", key=b"short")


def test_the_key_is_made_once_and_read_by_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXRESNET_KEY_FILE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    key = load_key()
    folder = tmp_path / "cxresnet"
    assert len(key) == 32
    assert load_key() == key
    assert [path.name for path in folder.iterdir()] == ["pseudonym.key"]
    assert stat.S_IMODE((folder / "pseudonym.key").stat().st_mode) == 0o600


def test_the_key_file_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXRESNET_KEY_FILE", str(tmp_path / "key"))
    (tmp_path / "key").write_bytes(KEY)
    assert load_key() == KEY


def test_of_two_that_make_a_key_at_once_the_first_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one writes its key between our look and our own writing."""
    path = tmp_path / "key"
    monkeypatch.setenv("CXRESNET_KEY_FILE", str(path))

    def be_late(_: Path, count: int = 0) -> bool:
        path.write_bytes(KEY)
        return False

    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", be_late)
        assert load_key() == KEY
    assert [found.name for found in tmp_path.iterdir()] == ["key"]


def test_a_place_where_no_key_can_be_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("CXRESNET_KEY_FILE", str(tmp_path / "file" / "key"))
    with pytest.raises(StorageError, match="key"):
        load_key()
