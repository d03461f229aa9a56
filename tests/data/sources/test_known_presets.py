"""Each recipe on a tiny tree of the same shape as the set that it knows."""

from __future__ import annotations

import pickle
import zipfile

import pytest

from cxresnet.core.errors import ConfigError, SourceError
from cxresnet.data.sources.archive import open_archive
from cxresnet.data.sources.folder_store import FolderStore
from cxresnet.data.sources.known_presets import (
    DATASET_PRESETS,
    find_dataset_preset,
    find_dataset_preset_by_handle,
    recognise_dataset_preset,
)
from cxresnet.data.sources.presets import DatasetPresetSource

CURATED = [
    f"Curated X-Ray Dataset/{folder}/{folder} (1).jpg"
    for folder in ("COVID-19", "Normal", "Pneumonia-Bacterial", "Pneumonia-Viral")
]
RADIOGRAPHY = [
    f"COVID-19_Radiography_Dataset/{folder}/{kind}/{folder}-1.png"
    for folder in ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
    for kind in ("images", "masks")
]
KERMANY = [
    "chest_xray/train/PNEUMONIA/person17_bacteria_3.jpeg",
    "chest_xray/train/PNEUMONIA/person17_virus_4.jpeg",
    "chest_xray/train/NORMAL/IM-0115-0001.jpeg",
    "chest_xray/train/NORMAL/NORMAL2-IM-0115-0001-0002.jpeg",
    "chest_xray/val/NORMAL/NORMAL2-IM-1427-0001.jpeg",
    "chest_xray/test/PNEUMONIA/person1_virus_6.jpeg",
    "__MACOSX/chest_xray/train/NORMAL/._IM-0115-0001.jpeg",
]
SET_OF_317 = [f"Covid19-dataset/{split}/{folder}/01.jpeg"
              for split in ("train", "test")
              for folder in ("Covid", "Normal", "Viral Pneumonia")]  # fmt: skip
NIH = {
    "Data_Entry_2017.csv": (
        b"Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        b"View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
        b"00000001_000.png,No Finding,0,1,058Y,M,PA,2682,2749,0.143,0.143,\n"
        b"00000001_001.png,Pneumonia|Effusion,1,1,058Y,M,AP,2682,2749,0.143,0.143,\n"
        b"00000002_000.png,Effusion,0,2,414Y,F,PA,2682,2749,0.143,0.143,\n"
    ),
    "train_val_list.txt": b"00000001_000.png\n",
    "test_list.txt": b"00000001_001.png\n00000002_000.png\n",
    "images_001/images/00000001_000.png": None,
    "images_001/images/00000001_001.png": None,
    "images_002/images/00000002_000.png": None,
}
RSNA = {
    "stage_2_detailed_class_info.csv": (
        b"patientId,class\naaa,Lung Opacity\naaa,Lung Opacity\nbbb,Normal\n"
        b"ccc,No Lung Opacity / Not Normal\n"
    ),
    "stage_2_train_labels.csv": b"patientId,x,y,width,height,Target\naaa,1,2,3,4,1\n",
    "stage_2_train_images/aaa.dcm": None,
    "stage_2_train_images/bbb.dcm": None,
    "stage_2_train_images/ccc.dcm": None,
}
COVIDX = {
    "train.txt": b"p1 a.png positive cohen\np2 image two.jpg negative rsna\n",
    "test.txt": b"p3 a.png negative sirm\n",
    "train/a.png": None,
    "train/image two.jpg": None,
    "test/a.png": None,
}
COVID_QU_EX = [
    f"{part}/{part}/{split}/{folder}/{kind}/{split}-{folder}.png"
    for part in ("Lung Segmentation Data", "Infection Segmentation Data")
    for split in ("Train", "Val", "Test")
    for folder in ("COVID-19", "Non-COVID", "Normal")
    for kind in ("images", "lung masks")
]
COHEN = {
    "metadata.csv": (
        b"patientid,offset,sex,age,finding,view,modality,folder,filename,clinical_notes\n"
        b'2,0,M,65,Pneumonia/Viral/COVID-19,PA,X-ray,images,a.jpg,"notes, in\ntwo lines"\n'
        b"3,0,F,40,No Finding,AP,X-ray,images,b.jpg,\n"
        b"4,0,F,40,Pneumonia/Bacterial/Klebsiella,AP Supine,X-ray,images,c.jpg,\n"
        b"5,0,F,40,Pneumonia,PA,X-ray,images,d.jpg,\n"
        b"6,0,F,40,Tuberculosis,PA,X-ray,images,e.jpg,\n"
        b"7,0,F,40,Pneumonia,L,X-ray,images,f.jpg,\n"
        b"8,0,F,40,Pneumonia,Axial,CT,volumes,g.nii.gz,\n"
    ),
    **{f"images/{letter}.jpg": None for letter in "abcdef"},
    "annotations/imageannotation_ai_lung_bounding_boxes.json": b"{}",
}
TREES = {
    "curated-covid19": CURATED, "radiography": RADIOGRAPHY, "kermany": KERMANY,
    "covid-qu-ex": COVID_QU_EX, "covid19-317": SET_OF_317, "nih": NIH, "rsna": RSNA,
    "covidx": COVIDX, "cohen": COHEN,
}  # fmt: skip


@pytest.fixture
def build_set(build_tree, tiny_png):
    """Write the tree of a set."""

    def build(name: str) -> FolderStore:
        tree = TREES[name]
        files = tree if isinstance(tree, dict) else dict.fromkeys(tree)
        contents = {
            path: tiny_png if content is None else content for path, content in files.items()
        }
        return FolderStore(build_tree(contents))

    return build


def scan(store, name: str, table=None):
    return DatasetPresetSource(store, find_dataset_preset(name), table).scan()


def read_classes(found) -> dict[str, str]:
    return {record.image_id.rpartition("/")[2]: record.class_name for record in found.records}


@pytest.mark.parametrize(
    "dataset_preset", DATASET_PRESETS, ids=lambda dataset_preset: dataset_preset.name
)
def test_each_set_is_recognised_by_its_files_and_as_no_other(build_set, dataset_preset):
    members = build_set(dataset_preset.name).list_members().members
    assert recognise_dataset_preset(members) is dataset_preset
    assert [other.name for other in DATASET_PRESETS if other.matches(members)] == [
        dataset_preset.name
    ]


@pytest.mark.parametrize("name", TREES)
def test_each_set_reads_alike_from_its_folder_and_from_its_zip(build_set, tmp_path, tiny_png, name):
    store = build_set(name)
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in store.root.rglob("*"):
            if file.is_file():
                archive.write(file, f"wrapper/{file.relative_to(store.root)}")
    from_folder = scan(store, name)
    source = DatasetPresetSource(open_archive(path), find_dataset_preset(name))
    source = pickle.loads(pickle.dumps(source))  # noqa: S301
    from_zip = source.scan()
    assert read_classes(from_zip) == read_classes(from_folder)
    assert [r.given_split for r in from_zip.records] == [r.given_split for r in from_folder.records]
    assert {source.read(record.location) for record in from_zip.records} == {tiny_png}
    assert from_folder.warnings[0].startswith("Read as:")


def test_plain_class_folders_are_taken_for_no_known_set(build_tree):
    store = FolderStore(build_tree(["train/Normal/a.png", "train/Pneumonia/b.png"]))
    assert recognise_dataset_preset(store.list_members().members) is None


def test_curated_knows_its_four_folders(build_set):
    found = scan(build_set("curated-covid19"), "curated-covid19")
    assert sorted(read_classes(found).values()) == [
        "covid-19", "normal", "pneumonia", "pneumonia",
    ]  # fmt: skip
    assert {record.source for record in found.records} == {"curated-covid19"}


def test_radiography_leaves_lung_opacity_out_and_finds_every_mask(build_set):
    found = scan(build_set("radiography"), "radiography")
    assert [record.class_name for record in found.records] == ["covid-19", "normal", "pneumonia"]
    assert all("/masks/" in record.lung_mask for record in found.records)
    assert [row.code for row in found.rejections] == ["ignored"]


def test_covid_qu_ex_knows_its_folders_splits_and_masks(build_set):
    found = scan(build_set("covid-qu-ex"), "covid-qu-ex")
    assert {(record.class_name, record.given_split) for record in found.records} == {
        (name, split)
        for name in ("covid-19", "normal", "pneumonia")
        for split in ("train", "val", "test")
    }
    assert all("/Non-COVID/" in r.location for r in found.records if r.class_name == "pneumonia")
    assert all("/lung masks/" in record.lung_mask for record in found.records)
    assert {row.code for row in found.rejections} == {"ignored"}
    assert found.classes == ("covid-19", "normal", "pneumonia")


def test_what_the_user_says_of_a_folder_comes_before_the_recipe(build_set):
    found = scan(build_set("radiography"), "radiography", {"pneumonia": ["lung opacity"]})
    assert sum(record.class_name == "pneumonia" for record in found.records) == 2


def test_kermany_knows_the_patient_from_the_name_and_warns(build_set):
    found = scan(build_set("kermany"), "kermany")
    patients = {r.image_id.rpartition("/")[2]: r.patient_id for r in found.records}
    assert patients == {
        "person17_bacteria_3.jpeg": "person17",
        "person17_virus_4.jpeg": "person17",
        "IM-0115-0001.jpeg": "IM-0115",
        "NORMAL2-IM-0115-0001-0002.jpeg": "NORMAL2-IM-0115",
        "NORMAL2-IM-1427-0001.jpeg": "NORMAL2-IM-1427",
        "person1_virus_6.jpeg": "person1",
    }
    assert any("children" in warning and "16 images" in warning for warning in found.warnings)


def test_the_317_images_keep_their_split(build_set):
    found = scan(build_set("covid19-317"), "covid19-317")
    assert sorted(record.given_split for record in found.records) == ["test"] * 3 + ["train"] * 3


def test_images_that_are_known_to_come_from_elsewhere_say_so(build_set):
    found = scan(build_set("covid19-317"), "covid19-317")
    assert {(record.class_name, record.source) for record in found.records} == {
        ("covid-19", "covid19-317"), ("normal", "kermany"), ("pneumonia", "kermany"),
    }  # fmt: skip


def test_nih_knows_patient_age_view_and_split(build_set):
    found = scan(build_set("nih"), "nih")
    first, second = found.records
    assert (first.class_name, first.patient_id, first.age_years, first.given_split) == (
        "normal", "1", "58", "train",
    )  # fmt: skip
    assert (second.class_name, second.view, second.given_split) == ("pneumonia", "AP", "test")
    assert first.source == "nih"
    assert [row.code for row in found.rejections] == ["other-finding"]


def test_rsna_takes_one_image_a_patient_whatever_its_boxes(build_set):
    found = scan(build_set("rsna"), "rsna")
    assert [(r.patient_id, r.class_name, r.location) for r in found.records] == [
        ("aaa", "pneumonia", "stage_2_train_images/aaa.dcm"),
        ("bbb", "normal", "stage_2_train_images/bbb.dcm"),
    ]
    assert [row.code for row in found.rejections] == ["ignored"]


def test_covidx_reads_its_lists_also_names_with_blanks(build_set):
    found = scan(build_set("covidx"), "covidx")
    assert [(r.image_id, r.class_name, r.patient_id, r.source, r.given_split)
            for r in found.records] == [
        ("test/a.png", "covid-negative", "p3", "sirm", "test"),
        ("train/a.png", "covid-19", "p1", "cohen", "train"),
        ("train/image two.jpg", "covid-negative", "p2", "rsna", "train"),
    ]  # fmt: skip


def test_a_line_of_covidx_that_is_cut_off_is_named(build_tree, tiny_png):
    tree = {"train.txt": b"p1 a.png positive cohen\np2 b.png\n", "train/a.png": tiny_png}
    with pytest.raises(SourceError, match=r"Row 2 of 'train\.txt'"):
        scan(FolderStore(build_tree(tree)), "covidx")


def test_cohen_keeps_frontal_images_of_its_three_classes(build_set):
    found = scan(build_set("cohen"), "cohen")
    assert read_classes(found) == {
        "a.jpg": "covid-19", "b.jpg": "normal", "c.jpg": "pneumonia", "d.jpg": "pneumonia",
    }  # fmt: skip
    assert sorted(row.code for row in found.rejections) == ["excluded", "excluded", "ignored"]
    assert found.records[0].patient_id == "2"


def test_a_class_may_be_added_to_cohen(build_set):
    found = scan(build_set("cohen"), "cohen", {"tuberculosis": ["Tuberculosis"]})
    assert read_classes(found)["e.jpg"] == "tuberculosis"


def test_a_folder_without_the_tables_of_the_set_is_refused(build_tree):
    with pytest.raises(SourceError, match=r"has no Data_Entry_2017\.csv.*nih-chest-xrays/data"):
        scan(FolderStore(build_tree(["images/a.png"])), "nih")


def test_an_unknown_recipe_is_guessed_at():
    with pytest.raises(ConfigError, match="Did you mean 'kermany'"):
        find_dataset_preset("kermanny")


def test_a_recipe_is_found_by_its_handle_whatever_the_version():
    assert find_dataset_preset_by_handle("nih-chest-xrays/data/versions/3") is find_dataset_preset(
        "nih"
    )
    assert find_dataset_preset_by_handle("some/thing") is None
