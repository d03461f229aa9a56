from __future__ import annotations

import pickle
from collections import Counter

import pytest

from cxresnet.core.classes import build_class_map
from cxresnet.core.errors import (
    ClassMapError,
    EmptySourceError,
    SourceError,
    UnsafePathError,
)
from cxresnet.data.sources.folder_store import FolderStore
from cxresnet.data.sources.table import TableOptions, TableSource


@pytest.fixture
def open_table(build_tree, tiny_png):
    """Write a table and images beside it, and open the table."""

    def build(
        text: str, *images: str, class_map=None, require_two_classes=True, **table_options
    ) -> TableSource:
        files = {"labels.csv": text.encode(), **dict.fromkeys(images, tiny_png)}
        store = FolderStore(build_tree(files))
        table_options = TableOptions(**table_options)
        return TableSource(
            store,
            "labels.csv",
            class_map,
            table_options=table_options,
            require_two_classes=require_two_classes,
        )

    return build


def test_rows_become_images_with_all_that_the_table_says(open_table, tiny_png):
    source = open_table(
        "file,label,patient_id,source,view,age,sex,split,mask\n"
        "x/a.png,covid,p1,here,PA,58,female,Training,m/a.png\n"
        "x/b.png,normal,p2,,,,,,\n",
        "x/a.png", "x/b.png", "m/a.png",
    )  # fmt: skip
    source = pickle.loads(pickle.dumps(source))  # noqa: S301
    first, second = source.scan().records
    assert (first.image_id, first.class_name, first.patient_id) == ("x/a.png", "covid-19", "p1")
    assert (first.source, first.view, first.age_years, first.sex) == ("here", "PA", "58", "F")
    assert (first.given_split, first.lung_mask) == ("train", "m/a.png")
    assert second.source == "images"
    assert source.read(first.location) == tiny_png


def test_a_bare_name_is_found_deeper_down_with_or_without_its_ending(open_table):
    source = open_table(
        "image,label\na.png,normal\nb,pneumonia\n", "images_001/images/a.png", "images_002/b.png"
    )
    assert [record.location for record in source.scan().records] == [
        "images_001/images/a.png",
        "images_002/b.png",
    ]


def test_a_bare_name_that_two_images_have_is_left_out(open_table):
    source = open_table(
        "image,label\na.png,normal\nb.png,normal\nc.png,covid\n",
        "x/a.png", "y/a.png", "x/b.png", "x/c.png", "masks/b.png",
    )  # fmt: skip
    found = source.scan()
    assert [record.image_id for record in found.records] == ["x/b.png", "x/c.png"]
    assert [(row.code, row.image_id) for row in found.rejections] == [("ambiguous-name", "a.png")]


def test_labels_that_are_lists_follow_the_stated_rule(open_table):
    source = open_table(
        "file,label\na.png,Pneumonia|Effusion\nb.png,No Finding\nc.png,Effusion\n"
        "d.png,No Finding|Mass\n",
        "a.png", "b.png", "c.png", "d.png",
    )  # fmt: skip
    found = source.scan()
    assert [record.class_name for record in found.records] == ["pneumonia", "normal"]
    assert [row.code for row in found.rejections] == ["other-finding", "ambiguous"]
    assert "2 images were kept; 1 have other findings, 1 are ambiguous" in found.warnings[0]


def test_missing_labels_paths_and_files_are_left_out_with_their_row(open_table):
    found = open_table(
        "file,label\na.png,normal\nb.png,nan\n,covid\nd.png,covid\nc.png,covid\n",
        "a.png", "b.png", "c.png",
    ).scan()  # fmt: skip
    assert [(row.code, row.reason[:6]) for row in found.rejections] == [
        ("no-label", "Row 3:"),
        ("no-path", "Row 4:"),
        ("missing", "Row 5:"),
    ]


def test_an_image_named_twice_is_kept_once(open_table):
    found = open_table(
        "file,label\na.png,normal\nb.png,covid\n./a.png,normal\n", "a.png", "b.png"
    ).scan()
    assert len(found.records) == 2
    assert [(row.code, row.reason) for row in found.rejections] == [
        ("duplicate-row", "Row 4: The image is already in row 2.")
    ]


def test_an_image_under_two_classes_is_left_out_altogether(open_table):
    found = open_table(
        "file,label\na.png,normal\nb.png,covid\na.png,covid\nc.png,normal\n",
        "a.png", "b.png", "c.png",
    ).scan()  # fmt: skip
    assert [record.image_id for record in found.records] == ["b.png", "c.png"]
    assert [row.code for row in found.rejections] == ["label-conflict", "label-conflict"]


@pytest.mark.parametrize("path", ["../a.png", "/etc/passwd", "~/a.png", "C:\\a.png"])
@pytest.mark.parametrize("column", ["file", "mask"])
def test_a_path_that_leaves_the_folder_stops_the_scan_and_names_the_row(open_table, path, column):
    row = f"{path},normal," if column == "file" else f"a.png,normal,{path}"
    source = open_table(f"file,label,mask\na.png,covid,\n{row}\n", "a.png")
    with pytest.raises(UnsafePathError, match=r"Row 3 of 'labels\.csv'"):
        source.scan()


def test_a_link_that_leaves_the_folder_stops_the_scan_and_names_the_row(open_table, tmp_path):
    source = open_table("file,label\na.png,normal\nlink.png,covid\n", "a.png")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (source.store.root / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(UnsafePathError, match=r"Row 3 of 'labels\.csv'"):
        source.scan()


def test_a_typo_in_a_label_names_row_and_guess(open_table):
    source = open_table("file,label\na.png,normal\nb.png,Pneumonai\n", "a.png", "b.png")
    with pytest.raises(ClassMapError, match=r"Row 3 of .*Did you mean 'pneumonia'"):
        source.scan()


def test_numbers_are_labels_where_the_class_table_says_so(open_table):
    class_map = build_class_map({"normal": ["0"], "pneumonia": ["1"]})
    source = open_table("file,target\na.png,0\nb.png,1\n", "a.png", "b.png", class_map=class_map)
    assert [record.class_name for record in source.scan().records] == ["normal", "pneumonia"]


def test_patterns_decide_on_labels(open_table):
    source = open_table(
        "file,label\na.png,Pneumonia/Viral/COVID-19\nb.png,healthy adult\n", "a.png", "b.png",
        patterns={"covid-19": "covid", "normal": "^healthy"},
    )  # fmt: skip
    assert [record.class_name for record in source.scan().records] == ["covid-19", "normal"]


def test_one_class_alone_is_refused_but_may_be_joined(open_table):
    text = "file,label\na.png,normal\n"
    with pytest.raises(ClassMapError, match="one class only"):
        open_table(text, "a.png").scan()
    assert len(open_table(text, "a.png", require_two_classes=False).scan().records) == 1


def test_a_table_without_a_column_of_files_or_classes_says_what_to_write(open_table):
    with pytest.raises(SourceError, match=r"no column that we take for the file.*--columns path=x"):
        open_table("x,label\na.png,normal\n").scan()
    with pytest.raises(SourceError, match=r"for the class\. .*--columns class=x;"):
        open_table("file,x\na.png,normal\n").scan()


def test_a_table_of_images_that_are_not_there_says_so(open_table):
    with pytest.raises(EmptySourceError, match=r"all 2 were left out.*no file 'a\.png'"):
        open_table("file,label\na.png,normal\nb.png,covid\n").scan()


def test_a_mask_that_is_not_there_is_counted(open_table):
    found = open_table(
        "file,label,mask\na.png,normal,m.png\nb.png,covid,\n", "a.png", "b.png"
    ).scan()
    assert found.records[0].lung_mask == ""
    assert "names 1 masks that are not there" in found.warnings[0]


@pytest.mark.images
def test_the_real_manifest_is_one_dataset_of_three(images_root):
    records = TableSource(FolderStore(images_root), "manifest.csv").scan().records
    assert Counter(record.image_id.partition("/")[0] for record in records) == {
        "darkcovid": 1124, "hannover": 243, "kaggle317": 317,
    }  # fmt: skip
    assert sum(bool(record.lung_mask) for record in records) == 201


# Names, however people and systems spell them.


@pytest.mark.parametrize(
    ("written", "image"),
    [
        ("X0.JPG", "x0.jpg"),
        ("IMG/X0.JPG", "img/x0.jpg"),
        ("X0.JPG", "deep/down/x0.jpg"),
        ("caf\u00e9.png", "cafe\u0301.png"),
        ("cafe\u0301.png", "caf\u00e9.png"),
        ("img/x0", "img/x0.png"),
        ("img\\X0", "img/x0.png"),
        ("肺炎", "a/肺炎.png"),
    ],
)
def test_an_image_is_found_in_another_spelling_of_its_name(open_table, written, image):
    found = open_table(f"file,label\n{written},normal\nb.png,covid\n", image, "b.png").scan()
    assert {record.location for record in found.records} == {image, "b.png"}


def test_a_name_in_another_spelling_is_taken_only_if_it_is_the_only_one(open_table):
    found = open_table(
        "file,label\nA.PNG,normal\nb.png,covid\nc.png,normal\nd/e,covid\n",
        "a.png", "a.Png", "b.png", "B.png", "c.png", "d/e.png", "d/e.jpg",
    )  # fmt: skip
    scan = found.scan()
    assert [record.location for record in scan.records] == ["b.png", "c.png"]
    assert {(row.image_id, row.code) for row in scan.rejections} == {
        ("A.PNG", "ambiguous-name"),
        ("d/e", "ambiguous-name"),
    }


def test_a_path_from_the_root_is_read_inside_the_folder_of_the_table(open_table, tmp_path):
    root = tmp_path / "images"
    source = open_table(
        f"file,label,mask\n{root}/x/a.png,normal,{root}/m/a.png\n{root}/x/B,covid,\n",
        "x/a.png", "x/b.png", "m/a.png",
    )  # fmt: skip
    found = source.scan()
    assert [record.location for record in found.records] == ["x/a.png", "x/b.png"]
    assert found.records[0].lung_mask == "m/a.png"


def test_a_link_out_of_the_folder_is_read_where_the_user_says_so(open_table, tmp_path, tiny_png):
    source = open_table("file,label\na.png,normal\nb.png,covid\n", "a.png")
    (tmp_path / "else.png").write_bytes(tiny_png)
    (tmp_path / "images" / "b.png").symlink_to(tmp_path / "else.png")
    with pytest.raises(UnsafePathError, match="--follow-links"):
        source.scan()
    source.store = FolderStore(tmp_path / "images", follow_links=True)
    assert len(source.scan().records) == 2
    assert source.read("b.png") == tiny_png


# Columns of 0 and 1, one for each class.

ONE_HOT = (
    "file,COVID,Normal,Pneumonia\na.png,1,0,0\nb.png,0,1.0,0\nc.png,0,,TRUE\nd.png,1,0,1\n"
    "e.png,0,0,0\nf.png,-1,1,0\n"
)
SIX = [f"{letter}.png" for letter in "abcdef"]


def test_a_column_of_0_and_1_for_each_class_is_read(open_table):
    found = open_table(ONE_HOT, *SIX, one_hot=["COVID", "normal", "Pneumonia"]).scan()
    assert {record.location: record.class_name for record in found.records} == {
        "a.png": "covid-19", "b.png": "normal", "c.png": "pneumonia",
    }  # fmt: skip
    assert [(row.image_id, row.code) for row in found.rejections] == [
        ("d.png", "label-conflict"),
        ("e.png", "no-label"),
        ("f.png", "uncertain-label"),
    ]
    assert found.rejections[0].reason == "Row 5: It is 1 in COVID and in Pneumonia."
    assert found.classes == ("covid-19", "normal", "pneumonia")


def test_columns_of_0_and_1_are_named_where_there_is_no_column_of_labels(open_table):
    with pytest.raises(SourceError, match=r"--one-hot COVID,Normal\.$"):
        open_table("file,COVID,Normal,Age\na.png,1,0,1\nb.png,0,1,0\n", "a.png", "b.png").scan()


@pytest.mark.parametrize(
    ("columns", "error"), [("COVID,Effusion", "'Effusion'"), ("COVID,Covd", "'Covd'")]
)
def test_a_column_that_is_no_class_or_not_there_is_named(open_table, columns, error):
    table = "file,COVID,Effusion\na.png,1,0\n"
    with pytest.raises(SourceError, match=error):
        open_table(table, "a.png", one_hot=columns.split(",")).scan()


def test_labels_of_a_row_that_is_left_out_are_still_claimed(open_table):
    found = open_table(
        "file,label\na.png,normal\nb.png,covid\nlost.png,pneumonia\n", "a.png", "b.png"
    ).scan()
    assert found.classes == ("covid-19", "normal", "pneumonia")


@pytest.mark.parametrize("separator", [";", ",", "/"])
def test_a_list_with_another_separator_is_read_or_told_how(open_table, separator):
    table = f'file,label\na.png,"Effusion{separator} Pneumonia"\nb.png,normal\n'
    with pytest.raises(ClassMapError, match=f"--label-separator '{separator}'"):
        open_table(table, "a.png", "b.png").scan()
    found = open_table(table, "a.png", "b.png", separator=separator).scan()
    assert [record.class_name for record in found.records] == ["pneumonia", "normal"]


def test_a_placeholder_is_nobody_and_not_one_person(open_table):
    found = open_table(
        "file,label,patient\na.png,normal,unknown\nb.png,covid,unknown\nc.png,covid,p1\n",
        "a.png", "b.png", "c.png",
    ).scan()  # fmt: skip
    assert [record.patient_id for record in found.records] == ["", "", "p1"]


def test_a_column_of_patients_is_not_quoted(open_table):
    source = open_table("file,class\na.png,Jane Miller\nb.png,Hans Maier\n", "a.png", "b.png")
    with pytest.raises(ClassMapError, match=r"Row 3 of .*2 different values in 2 rows") as caught:
        source.scan()
    assert not any(name in str(caught.value) for name in ("Jane", "Miller", "Hans", "Maier"))


def test_a_path_that_is_too_long_for_the_system_is_missing(open_table):
    source = open_table(
        f"file,class\n{'x/' * 2500}a.png,normal\na.png,covid\nb.png,normal\n", "a.png", "b.png"
    )
    (rejection,) = source.scan().rejections
    assert rejection.code == "missing"
