from __future__ import annotations

import csv
import io
import itertools
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cxresnet.core.config import DataConfig
from cxresnet.core.errors import ClassMapError, ConfigError, SourceError
from cxresnet.data.manifest import read_manifest, read_safe_csv
from cxresnet.data.prepare.prepare import run_prepare, scan_source
from cxresnet.data.sources.archive import ZipStore
from cxresnet.data.sources.class_folders import ClassFoldersSource
from cxresnet.data.sources.dicom_identity import DicomIdentitySource
from cxresnet.data.sources.joined import JoinedSource
from cxresnet.data.sources.medmnist import MedMnistSource
from cxresnet.data.sources.open import NO_DATASET_PRESET, SourceOptions, open_source
from cxresnet.data.sources.phantom import PhantomSource
from cxresnet.data.sources.presets import DatasetPresetSource
from cxresnet.data.sources.table import TableOptions, TableSource

TWO_CLASSES = ["Normal/a.png", "PNEUMONIA/b.png"]
KERMANY = ["train/PNEUMONIA/person1_virus_2.jpeg", "train/NORMAL/IM-1-1.jpeg"]


def test_a_folder_is_opened_with_its_class_table(build_tree):
    root = build_tree(["healthy ones/a.png", "PNEUMONIA/b.png"])
    options = SourceOptions(class_table={"normal": ["healthy ones"]})
    source = open_source(str(root), options)
    assert isinstance(source.inner, ClassFoldersSource)
    assert len(source.scan().records) == 2


def test_a_table_is_opened_with_its_columns(build_tree, tiny_png):
    table = b"x,y\na.png,normal\nb.png,covid\n"
    root = build_tree({"t.csv": table, "a.png": tiny_png, "b.png": tiny_png})
    options = SourceOptions(table_options=TableOptions(columns={"path": "x", "class": "y"}))
    source = open_source([str(root / "t.csv")], options)
    assert isinstance(source.inner, TableSource)
    assert len(source.scan().records) == 2


def test_an_archive_and_a_medmnist_file_are_told_by_their_ending(tmp_path, tiny_png):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for name in TWO_CLASSES:
            archive.writestr(name, tiny_png)
    source = open_source(str(tmp_path / "images.zip"))
    assert isinstance(source.inner, ClassFoldersSource)
    assert isinstance(source.inner.store, ZipStore)
    np.savez(tmp_path / "m.npz", a=np.zeros(1))
    assert isinstance(open_source(str(tmp_path / "m.npz")), MedMnistSource)


def test_phantoms_are_opened_with_their_settings():
    source = open_source("phantoms:images_per_class=3")
    assert isinstance(source, PhantomSource)
    assert len(source.scan().records) == 9


def test_several_sources_are_joined_whether_given_apart_or_with_plus(build_tree):
    root = build_tree(["x/Normal/a.png", "y/COVID/b.png"])
    for texts in ([str(root / "x"), str(root / "y")], f"{root / 'x'}+{root / 'y'}"):
        source = open_source(texts)
        assert isinstance(source, JoinedSource)
        assert len(source.scan().records) == 2


def test_a_folder_with_plus_in_its_name_is_one_source(build_tree):
    root = build_tree(["x+y/Normal/a.png", "x+y/COVID/b.png"])
    assert isinstance(open_source(str(root / "x+y")).inner, ClassFoldersSource)


def test_a_known_set_is_recognised_unless_told_otherwise(build_tree):
    root = str(build_tree(KERMANY))
    assert isinstance(open_source(root).inner, DatasetPresetSource)
    named = open_source(root, SourceOptions(dataset_preset="kermany"))
    assert isinstance(named.inner, DatasetPresetSource)
    unknown = open_source(root, SourceOptions(dataset_preset=NO_DATASET_PRESET))
    assert isinstance(unknown.inner, ClassFoldersSource)
    with pytest.raises(ConfigError, match="no dataset preset 'x'"):
        open_source(root, SourceOptions(dataset_preset="x"))


def test_a_known_set_keeps_its_manifest_unless_told_otherwise(build_tree):
    root = build_tree(KERMANY)
    (root.parent / "manifest.csv").write_text(
        f"file,patient_id\nimages/{KERMANY[0]},p1\nimages/{KERMANY[1]},p2\n"
    )
    with_it = open_source(str(root)).scan().records
    without = open_source(str(root), SourceOptions(use_manifest=False)).scan().records
    assert [record.patient_id for record in with_it] == ["p2", "p1"]
    assert [record.patient_id for record in without] == ["IM-1", "person1"]


def test_dicom_is_identified_in_every_kind_of_source(build_tree):
    head = bytes(128) + b"DICM"
    root = build_tree({"Normal/IM1": head, "COVID/IM2.dcm": head, "t.csv": b"file,class\n"})
    assert isinstance(open_source(str(root)), DicomIdentitySource)
    assert isinstance(open_source(str(root / "t.csv")), DicomIdentitySource)
    zipped = shutil.make_archive(str(root.parent / "zipped"), "zip", root)
    assert isinstance(open_source(zipped), DicomIdentitySource)


def test_what_kaggle_gives_is_opened_by_its_recipe(build_tree, monkeypatch):
    root = build_tree(["Normal/a.png", "Viral Pneumonia/b.png"])
    stand_in = SimpleNamespace(dataset_download=lambda handle: str(root))
    monkeypatch.setitem(sys.modules, "kagglehub", stand_in)
    source = open_source("kaggle:tawsifurrahman/covid19-radiography-database")
    assert isinstance(source.inner, DatasetPresetSource)
    assert {record.source for record in source.scan().records} == {"radiography", "kermany"}
    assert isinstance(open_source("kaggle:some/thing").inner, ClassFoldersSource)


def test_a_name_that_is_nothing_is_guessed_at(build_tree):
    root = build_tree(TWO_CLASSES)
    with pytest.raises(SourceError, match=r"Did you mean '.*images'\?"):
        open_source(str(root.parent / "imgaes"))
    with pytest.raises(SourceError, match="Give a folder, a table"):
        open_source(str(root / "zzz"))
    with pytest.raises(SourceError, match="No source was named"):
        open_source([])


def test_a_file_of_no_known_kind_is_refused(tmp_path):
    (tmp_path / "image.png").write_bytes(io.BytesIO().getvalue())
    with pytest.raises(SourceError, match=r"'image\.png' is of a kind that cannot be read"):
        open_source(str(tmp_path / "image.png"))


@pytest.mark.images
def test_the_real_sets_are_one_dataset_by_their_folders_and_by_the_manifest(images_root):
    folders = open_source([str(images_root / "hannover"), str(images_root / "kaggle317")]).scan()
    table = open_source(str(images_root / "manifest.csv")).scan()

    def describe(record, image_id: str):
        return (image_id, record.class_name, record.patient_id, record.source, record.view)

    by_folders = {describe(record, record.image_id) for record in folders.records}
    by_table = {describe(record, record.image_id) for record in table.records}
    assert len(by_folders) == 560
    assert by_folders <= by_table


def test_a_pasted_address_of_kaggle_is_its_dataset(build_tree, monkeypatch):
    root = build_tree(["Normal/a.png", "COVID/b.png"])
    fetched = []
    monkeypatch.setattr(
        "cxresnet.data.sources.open.fetch_from_kaggle",
        lambda handle: fetched.append(handle) or root,
    )
    open_source("https://www.kaggle.com/datasets/someone/covid-x/data?select=a+b").scan()
    assert fetched == ["someone/covid-x"]


def test_another_address_is_answered_with_the_way_out():
    with pytest.raises(SourceError, match=r"only Kaggle's are read\. Download the images"):
        open_source("https://example.org/images.zip")


def test_links_are_followed_on_request_in_folders_and_beside_tables(build_tree, tmp_path, tiny_png):
    root = build_tree(
        {"Normal/a.png": tiny_png, "t.csv": b"file,label\nCOVID/b.png,covid\nNormal/a.png,normal\n"}
    )
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "b.png").write_bytes(tiny_png)
    (root / "COVID").symlink_to(tmp_path / "cluster")
    for source in (root, root / "t.csv"):
        with pytest.raises(SourceError, match="--follow-links"):
            scan_source(open_source(str(source)), config=CONFIG)
        opened = open_source(str(source), SourceOptions(follow_links=True))
        assert [record.location for record in opened.scan().records] == [
            "COVID/b.png",
            "Normal/a.png",
        ]
        assert opened.read("COVID/b.png") == tiny_png


def test_of_a_class_that_is_lost_for_its_links_the_option_is_named(build_tree, tmp_path, tiny_png):
    root = build_tree({"Normal/a.png": tiny_png, "COVID/readme.txt": b"linked"})
    (tmp_path / "b.png").write_bytes(tiny_png)
    (root / "COVID" / "b.png").symlink_to(tmp_path / "b.png")
    with pytest.raises(ClassMapError, match=r"'covid-19'.* 1 file was .*--follow-links"):
        scan_source(open_source(str(root)), config=CONFIG)
    with pytest.raises(ClassMapError, match="All 1 usable images are 'normal'"):
        scan_source(
            open_source(str(root)), config=CONFIG.model_copy(update={"allow_empty_classes": True})
        )


def test_a_table_of_labels_for_a_table_is_refused(build_tree):
    root = build_tree({"Normal/a.png": b"", "t.csv": b"file,label\n"})
    options = SourceOptions(labels=root / "t.csv")
    with pytest.raises(SourceError, match=r"'t\.csv' is a table with labels of its own"):
        open_source(str(root / "t.csv"), options)
    assert isinstance(open_source([str(root / "t.csv"), str(root)], options), JoinedSource)


# Mixed trees of DICOM and pictures, in every container.

CONFIG = DataConfig(
    side_px=32,
    common_side_px=48,
    workers=1,
    val_share=0.3,
    test_share=0.3,
    find_duplicates=False,  # which takes longer than all the rest
)


@pytest.fixture(scope="module")
def mixed_files(kit) -> dict[str, bytes]:
    """DICOM of two classes, twelve patients with two images each; JPEG of a third class."""
    rng = np.random.default_rng(0)

    def draw(high: int) -> np.ndarray:
        coarse = rng.integers(high, size=(6, 6))
        return np.kron(coarse, np.ones((12, 12))).astype(np.uint16 if high > 256 else np.uint8)

    files = {}
    for patient, image in itertools.product(range(12), range(2)):
        name = f"{('covid', 'normal')[patient % 2]}/CANARY_{patient}/{image}"
        files[name] = kit.make_image(
            draw(4096), PatientID=f"canary-{patient}", SOPInstanceUID=f"1.2.{patient}.{image}"
        )
    for number in range(10):
        stream = io.BytesIO()
        Image.fromarray(draw(256)).save(stream, "JPEG")
        files[f"Pneumonia/CANARY_J{number}.jpg"] = stream.getvalue()
    files["a-first-file-that-is-no-image.txt"] = b"hello"
    return files


@pytest.fixture(scope="module")
def key_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("secret") / "key"
    path.write_bytes(bytes(range(32)))
    return path


@pytest.fixture
def mixed(build_tree, mixed_files, key_file, monkeypatch) -> Path:
    monkeypatch.setenv("CXRESNET_KEY_FILE", str(key_file))
    return build_tree(mixed_files)


@pytest.fixture(scope="module")
def of_folder(mixed_files, key_file, tmp_path_factory) -> Path:
    """What `prepare` makes of the tree as it is."""
    root = tmp_path_factory.mktemp("plain") / "images"
    for name, content in mixed_files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXRESNET_KEY_FILE", str(key_file))
        run_prepare(open_source(str(root)), config=CONFIG, out=root.parent / "out")
    return root.parent / "out"


def pack(root: Path, container: str) -> Path:
    """Put a tree into a container, beside it."""
    other = root.parent / "other"
    if container in {"zip", "tar", "gztar"}:
        return Path(shutil.make_archive(str(other), container, root))
    if container == "table":
        paths = sorted(path.relative_to(root) for path in root.glob("*/**/*") if path.is_file())
        with (root / "table.csv").open("w") as stream:
            csv.writer(stream).writerows(
                [("file", "label"), *((path, path.parts[0]) for path in paths)]
            )
        return root / "table.csv"
    if container == "links":
        other.mkdir()
        for folder in root.iterdir():
            (other / folder.name).symlink_to(folder)
        return other
    shutil.copytree(root, other)
    for name in ("covid", "Pneumonia"):
        shutil.make_archive(str(other / name), "zip", other / name)
        shutil.rmtree(other / name)
    if container == "zips in a zip":
        return Path(shutil.make_archive(str(other), "zip", other))
    return other


@pytest.mark.slow
@pytest.mark.parametrize(
    "container", ["zip", "gztar", "table", "zips beside folders", "zips in a zip", "links"]
)
def test_a_mixed_tree_gives_the_same_dataset_in_every_container(
    container, mixed, of_folder, tmp_path
):
    options = SourceOptions(follow_links=container == "links")
    out = of_folder, tmp_path / "of-other"
    run_prepare(open_source(str(pack(mixed, container)), options), config=CONFIG, out=out[1])
    columns = ["image_id", "class_name", "patient_id", "split", "group_id", "view"]
    ours, theirs = (read_manifest(folder / "manifest.csv")[columns] for folder in out)
    assert ours.to_csv() == theirs.to_csv()
    assert ours["class_name"].value_counts().to_dict() == {
        "covid-19": 12,
        "normal": 12,
        "pneumonia": 10,
    }
    known = ours[ours["patient_id"] != ""]
    assert known["patient_id"].nunique() == 12
    assert len(known[["patient_id", "split"]].drop_duplicates()) == 12
    assert known["split"].nunique() == 3
    assert all(names_nobody(folder) for folder in out)


def names_nobody(folder: Path) -> bool:
    """Say that nothing that is written names a person."""
    written = (path.read_bytes() for path in folder.rglob("*") if path.suffix in {".csv", ".json"})
    return not any(b"canary" in content.lower() for content in written)


@pytest.mark.slow
def test_what_is_passed_over_beside_dicom_is_listed_without_its_name(mixed, tmp_path, kit):
    files = {
        "covid/CANARY.rar": b"Rar!",
        "covid/CANARY_X/hand": kit.make_image(BodyPartExamined="HAND"),
        "normal/CANARY.zip": b"no zip",
        "covid/CANARY.mp4": b"mp4",
    }
    for name, content in files.items():
        (mixed / name).parent.mkdir(exist_ok=True)
        (mixed / name).write_bytes(content)
    (mixed / "normal" / "CANARY").symlink_to(tmp_path)
    source = open_source(str(mixed))
    run_prepare(source, config=CONFIG, out=tmp_path / "out")
    names, columns = read_safe_csv(tmp_path / "out" / "rejected.csv")
    ids, codes = (columns[names.index(name)] for name in ("image_id", "code"))
    assert {source.find_file(name): code for name, code in zip(ids, codes, strict=True)} == {
        "covid/CANARY.rar": "not-an-image",
        "covid/CANARY_X/hand": "not-a-chest-radiograph",
        "normal/CANARY.zip": "unreadable",
        "covid/CANARY.mp4": "not-an-image",
        "normal/CANARY": "unsafe-path",
    }
    assert names_nobody(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("container", ["folder", "zips beside folders", "table"])
def test_a_class_of_a_mixed_tree_that_is_lost_stops_preparing(container, mixed, tmp_path, kit):
    for path in (mixed / "covid").glob("*/*"):
        path.write_bytes(kit.make_image(BodyPartExamined="HAND"))
    place = mixed if container == "folder" else pack(mixed, container)
    with pytest.raises(ClassMapError, match=r"class 'covid-19'.*--any-body-part"):
        run_prepare(open_source(str(place)), config=CONFIG, out=tmp_path / "out")
    config = CONFIG.model_copy(update={"allow_empty_classes": True})
    result = run_prepare(open_source(str(place)), config=config, out=tmp_path / "out")
    assert result.record.class_names == ("normal", "pneumonia")
    assert any("'covid-19' has no image" in warning for warning in result.warnings)


def test_nobody_is_nobody_in_a_table_of_pictures_joined_to_dicom(mixed, tmp_path, tiny_png):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rows = [("file", "class", "patient"), ("a.png", "normal", "Temp 1"), ("b.png", "covid", "N/A"),
            ("c.png", "covid", "canary-1")]  # fmt: skip
    for name, *_ in rows[1:]:
        (pictures / name).write_bytes(tiny_png)
    (pictures / "t.csv").write_text("\n".join(map(",".join, rows)))
    texts = [str(mixed), str(pictures / "t.csv")]
    found = open_source(texts, SourceOptions(no_patients=["TEMP_1"])).scan()
    theirs = {one.image_id: one.patient_id for one in found.records if "pictures/" in one.image_id}
    ours = {one.patient_id for one in found.records if "images/" in one.image_id}
    assert theirs["pictures/a.png"] == theirs["pictures/b.png"] == ""
    assert theirs["pictures/c.png"] in ours - {""}


@pytest.mark.slow
def test_pictures_are_read_where_the_extras_are_not_installed(
    tmp_path: Path, tiny_png: bytes
) -> None:
    for name in ("covid/a.png", "normal/b.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(tiny_png)
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['pydicom', 'gdcm', 'pyarrow', 'openpyxl']));"
        "from cxresnet.data.sources.open import SourceOptions, open_source;"
        f"print(len(open_source({str(tmp_path)!r}, SourceOptions()).scan().records))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("2", 0), done.stderr
