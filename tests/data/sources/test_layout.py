from __future__ import annotations

import pytest

from cxresnet.core.classes import build_class_map
from cxresnet.data.sources.layout import is_film_name, lay_out_class_folders

CLASS_MAP = build_class_map()


def place(*paths: str):
    return {film.path: film for film in lay_out_class_folders(paths, CLASS_MAP).films}


@pytest.mark.parametrize(
    ("path", "class_name", "given_split"),
    [
        ("Normal/a.png", "normal", ""),
        ("chest_xray/train/PNEUMONIA/a.jpeg", "pneumonia", "train"),
        ("set/Covid/Validation/a.png", "covid-19", "val"),
        ("COVID/images/a.png", "covid-19", ""),
        ("Pneumonia/Viral Pneumonia/a.dcm", "pneumonia", ""),
        ("covid-19/normal/a.png", "normal", ""),  # a wrapper of that name: the deepest decides
    ],
)
def test_a_path_says_class_and_split(path, class_name, given_split):
    film = place(path)[path]
    assert (film.class_name, film.given_split) == (class_name, given_split)


def test_a_masks_folder_holds_masks_of_films_with_the_same_name():
    films = place(
        "COVID/images/a.png", "COVID/images/b.jpg", "COVID/masks/a.png", "COVID/masks/c.png"
    )
    assert {path: film.lung_mask for path, film in films.items()} == {
        "COVID/images/a.png": "COVID/masks/a.png",
        "COVID/images/b.jpg": "",
    }


def test_a_mask_never_crosses_from_one_class_to_another():
    films = place("COVID/images/1.png", "Normal/images/1.png", "Normal/masks/1.png")
    assert films["COVID/images/1.png"].lung_mask == ""
    assert films["Normal/images/1.png"].lung_mask == "Normal/masks/1.png"


def test_a_folder_left_out_leaves_out_all_below():
    class_map = build_class_map({"ignore": ["Lung_Opacity"]})
    layout = lay_out_class_folders(["Lung_Opacity/normal/a.png", "normal/b.png"], class_map)
    assert layout.ignored == ("Lung_Opacity/normal/a.png",)
    assert [film.path for film in layout.films] == ["normal/b.png"]


def test_the_folder_nobody_claims_is_named_and_not_its_wrapper_or_split():
    films = place(
        "set/train/Normal/a.png", "set/train/Pneumonai/images/b.png", "set/test/Normal/c.png"
    )
    assert films["set/train/Pneumonai/images/b.png"].folder == "Pneumonai"


def test_a_film_outside_of_all_folders_has_neither_class_nor_folder():
    film = place("Normal/a.png", "cover.png")["cover.png"]
    assert (film.class_name, film.folder) == ("", "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.PNG", True),
        ("IM000001", True),  # DICOM files often have no ending
        ("README", None),
        ("readme.md", None),
        ("labels.csv", None),
        ("film.mp4", False),
    ],
)
def test_a_film_is_told_from_papers_and_from_other_files(name, expected):
    assert is_film_name(f"Normal/{name}") is expected


def test_files_that_are_no_films_are_listed_but_papers_are_not():
    layout = lay_out_class_folders(["Normal/a.mp4", "Normal/a.txt", "Normal/a.png"], CLASS_MAP)
    assert layout.not_films == ("Normal/a.mp4",)
    assert len(layout.films) == 1
