from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cxresnet.core import executor
from cxresnet.core.classes import ClassMap, build_class_map
from cxresnet.core.config import DataConfig
from cxresnet.core.errors import (
    ClassMapError,
    EmptySourceError,
    ImageError,
    RunFolderError,
    SplitError,
    StorageError,
)
from cxresnet.core.files import read_json
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.data.manifest import ImageRecord, read_manifest, read_safe_csv
from cxresnet.data.phantoms.plan import PhantomSettings
from cxresnet.data.prepare import decoded_folder
from cxresnet.data.prepare.prepare import run_prepare
from cxresnet.data.sources.phantom import PhantomSource
from cxresnet.data.sources.source import AbstractSource, Rejection, ScanResult

SEARCHED = DataConfig(side_px=32, common_side_px=48, workers=1)
CONFIG = SEARCHED.model_copy(update={"find_duplicates": False})
"""The search compares so few images all with each other, which takes longer than all the rest."""

Content = bytes | NDArray[np.uint8]


class ListedSource(AbstractSource):
    """Images held in memory; counts how often each is read."""

    def __init__(self, images: list[tuple[ImageRecord, Content]]) -> None:
        self.images = images
        self.reads: list[str] = []
        self.stop_after: int | None = None

    @property
    def name(self) -> str:
        return "listed"

    @property
    def class_map(self) -> ClassMap:
        return build_class_map()

    def scan(self) -> ScanResult:
        rejection = Rejection(
            image_id="notes.txt", class_name="", code="not-an-image", reason="No."
        )
        return ScanResult(tuple(record for record, _ in self.images), (rejection,), ("Hello.",))

    def read(self, location: str) -> Content:
        if self.stop_after is not None and len(self.reads) >= self.stop_after:
            raise KeyboardInterrupt
        self.reads.append(location)
        for record, content in self.images:
            if record.location == location:
                return content
        raise ImageError("missing", f"'{location}' is gone.")


def draw(seed: int) -> NDArray[np.uint8]:
    """A smooth image unlike every other."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC))


def encode(image: NDArray[np.uint8], kind: str = "PNG", **options: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()


def make_record(number: int, class_name: str, **changes: str) -> ImageRecord:
    name = f"image-{number:03d}.png"
    return ImageRecord(
        **{
            "image_id": name, "location": name, "class_name": class_name, "source": "north",
            "patient_id": f"p{number}",
        }
        | changes
    )  # fmt: skip


def make_source(count: int = 24) -> ListedSource:
    names = ("normal", "covid-19")
    return ListedSource(
        [(make_record(number, names[number % 2]), encode(draw(number))) for number in range(count)]
    )


def list_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def whole_hash(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of the dataset that undisturbed work gives."""
    out = tmp_path_factory.mktemp("whole") / "d"
    return run_prepare(make_source(), config=CONFIG, out=out).record.dataset_hash


@pytest.mark.slow
def test_a_dataset_holds_every_image_in_one_order(tmp_path: Path) -> None:
    result = run_prepare(make_source(), config=SEARCHED, out=tmp_path / "d")
    assert list_files(tmp_path) == ["d"]
    assert list_files(tmp_path / "d") == [
        "checksums.json", "conflicts.csv", "dataset.json", "fingerprints.npy", "images.npy",
        "manifest.csv", "rejected.csv", "row_hashes.txt", "test_access_log.csv",
    ]  # fmt: skip
    manifest = read_manifest(tmp_path / "d" / "manifest.csv")
    images = np.load(tmp_path / "d" / "images.npy")
    assert images.shape == (24, 32, 32)
    assert manifest["split"].tolist() == ["train"] * 16 + ["val"] * 4 + ["test"] * 4
    row = manifest.index[manifest["image_id"] == "image-007.png"][0]
    assert manifest.loc[row, ["class_name", "file_width", "file_format"]].tolist() == [
        "covid-19", 64, "PNG",
    ]  # fmt: skip
    assert result.record.images.scanned == 25
    assert result.rejected == 1
    assert result.warnings[0] == "Hello."
    assert result.record.class_names == ("normal", "covid-19")
    assert "25 images scanned, 24 kept, 1 rejected" in result.describe()


@pytest.mark.slow
def test_mean_and_sd_are_of_the_training_images_alone(tmp_path: Path) -> None:
    result = run_prepare(make_source(), config=CONFIG, out=tmp_path / "d")
    training = np.load(tmp_path / "d" / "images.npy")[:16] / 255
    assert result.record.preprocessing.mean == pytest.approx(training.mean())
    assert result.record.preprocessing.sd == pytest.approx(training.std())


@pytest.mark.slow
def test_the_same_images_and_seed_give_the_same_dataset_in_one_process_or_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostile_folder: Path
) -> None:
    """Nor do the processes run code of the current folder."""
    monkeypatch.setattr(executor, "_MIN_ITEMS_FOR_PROCESSES", 10)
    monkeypatch.chdir(hostile_folder)
    source = PhantomSource(PhantomSettings(images_per_class=30, side_px=48, corrupt_images=2))
    first, second = (
        run_prepare(
            source,
            config=SEARCHED.model_copy(update={"workers": workers}),
            out=tmp_path / str(workers),
        )
        for workers in (1, 2)
    )
    assert first.record.dataset_hash == second.record.dataset_hash
    assert not (hostile_folder / "ran.txt").exists()
    other = run_prepare(
        source, config=SEARCHED.model_copy(update={"seed": 9}), out=tmp_path / "other"
    )
    assert other.record.dataset_hash != first.record.dataset_hash


@pytest.mark.slow
def test_masks_follow_their_image(tmp_path: Path) -> None:
    source = PhantomSource(PhantomSettings(images_per_class=12, side_px=64))
    dataset = open_dataset(run_prepare(source, config=CONFIG, out=tmp_path / "d").path)
    train = dataset.select("train")
    for number, row in enumerate(train.manifest.itertuples()):
        lungs = train.lung_mask(number)
        lesion = train.lesion_mask(number)
        assert lungs is not None
        assert 0.1 < (lungs == 255).mean() < 0.7
        assert (lesion is None) == (row.class_name == "normal")


@pytest.mark.slow
def test_a_mask_that_cannot_be_used_is_left_out_and_told(tmp_path: Path) -> None:
    source = make_source()
    wide = np.full((20, 64), 255, dtype=np.uint8)
    masks = {3: wide, 4: b"", 5: np.full((32, 32), 255, dtype=np.uint8)}
    for number, mask in masks.items():
        record, content = source.images[number]
        fields = {name: getattr(record, name) for name in ("class_name", "source", "patient_id")}
        source.images[number] = (make_record(number, lung_mask=f"mask-{number}", **fields), content)
        source.images.append((make_record(90 + number, "normal", location=f"mask-{number}"), mask))
    source.scan = lambda: ScanResult(tuple(record for record, _ in source.images[:24]))  # type: ignore[method-assign]
    result = run_prepare(source, config=CONFIG, out=tmp_path / "d")
    assert any("For 2 images a mask was left out" in warning for warning in result.warnings)
    manifest = open_dataset(result.path).manifest.set_index("image_id")
    assert manifest.loc["image-005.png", "lung_mask_row"] == 0
    assert (manifest["lung_mask_row"] >= 0).sum() == 1


@pytest.mark.slow
def test_images_that_cannot_be_used_are_listed_and_counted(tmp_path: Path) -> None:
    source = make_source()
    good = encode(draw(99))
    bad = {"empty": b"", "not-an-image": b"hello", "truncated": good[:300], "blank": encode(
        np.full((40, 40), 7, dtype=np.uint8)
    )}  # fmt: skip
    for number, content in enumerate(bad.values(), start=50):
        source.images.append((make_record(number, "normal"), content))
    source.images.append((make_record(70, "normal", location="nowhere"), b""))
    source.images.append((make_record(3, "normal"), good))
    source.read = _failing_for(source.read, "image-004.png")  # type: ignore[method-assign]
    result = run_prepare(source, config=CONFIG, out=tmp_path / "d")
    names, columns = read_safe_csv(result.path / "rejected.csv")
    codes = dict(zip(columns[names.index("image_id")], columns[names.index("code")], strict=True))
    assert codes == {
        "image-003.png": "duplicate-row",
        "image-004.png": "unexpected",
        "image-050.png": "empty",
        "image-051.png": "not-an-image",
        "image-052.png": "truncated",
        "image-053.png": "blank",
        "image-070.png": "empty",
        "notes.txt": "not-an-image",
    }
    images = result.record.images
    assert images.scanned == images.kept + images.rejected == 31
    assert any("8 images were rejected" in warning for warning in result.warnings)


def _failing_for(read: Callable[[str], Content], location: str) -> Callable[[str], Content]:
    def read_or_fail(asked: str) -> Content:
        if asked == location:
            raise ZeroDivisionError
        return read(asked)

    return read_or_fail


@pytest.mark.slow
def test_an_image_that_needs_more_memory_than_the_config_allows_is_left_out(
    tmp_path: Path,
) -> None:
    source = make_source()
    wide = Image.fromarray(draw(99)).resize((6000, 3000))
    content = encode(np.asarray(wide, dtype=np.float32), "TIFF", compression="tiff_deflate")
    source.images.append((make_record(99, "normal"), content))
    config = CONFIG.model_copy(update={"decode_memory_mib": 64})
    result = run_prepare(source, config=config, out=tmp_path / "d")
    assert "64 MiB" in (result.path / "rejected.csv").read_text(encoding="utf-8")


@pytest.mark.slow
def test_one_picture_under_two_classes_is_left_out_or_kept_and_always_listed(
    tmp_path: Path,
) -> None:
    source = make_source()
    source.images.append((make_record(40, "covid-19"), encode(draw(0), "JPEG", quality=90)))
    dropped = run_prepare(source, config=SEARCHED, out=tmp_path / "dropped")
    kept = run_prepare(
        source,
        config=SEARCHED.model_copy(update={"label_conflicts": "keep"}),
        out=tmp_path / "kept",
    )
    for result, fate, count in ((dropped, "no", 23), (kept, "yes", 25)):
        names, columns = read_safe_csv(result.path / "conflicts.csv")
        assert columns[names.index("image_id")] == ["image-000.png", "image-040.png"]
        assert columns[names.index("kept")] == [fate, fate]
        assert result.record.images.kept == count
    assert dropped.record.images.conflicting == 2
    manifest = read_manifest(tmp_path / "kept" / "manifest.csv").set_index("image_id")
    assert manifest.loc["image-000.png", "split"] == manifest.loc["image-040.png", "split"]


def test_one_class_no_image_and_too_few_images_are_told_and_leave_nothing(tmp_path: Path) -> None:
    for images, error, message in (
        (make_source().images[::2], ClassMapError, "All 12 usable images are 'normal'"),
        ([], EmptySourceError, "No usable image is left; 1 were rejected. Most often: No."),
    ):
        with pytest.raises(error, match=message):
            run_prepare(ListedSource(images), config=CONFIG, out=tmp_path / "d")
    assert list_files(tmp_path) == []
    with pytest.raises(SplitError, match="too few for 3 separate parts"):
        run_prepare(make_source(4), config=CONFIG, out=tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_only_broken_images_are_told_with_the_reason(tmp_path: Path) -> None:
    source = make_source()
    source.images = [(record, b"") for record, _ in source.images]
    with pytest.raises(EmptySourceError, match=r"25 were rejected\. Most often: The file is empty"):
        run_prepare(source, config=CONFIG, out=tmp_path / "d")


@pytest.mark.slow
def test_what_is_there_is_not_written_over_unless_asked(tmp_path: Path) -> None:
    out = tmp_path / "d"
    run_prepare(make_source(), config=CONFIG, out=out)
    with pytest.raises(RunFolderError, match=r"already holds a dataset.*--force"):
        run_prepare(make_source(), config=CONFIG, out=out)
    run_prepare(make_source(26), config=CONFIG, out=out, force=True)
    assert len(open_dataset(out).manifest) == 26
    assert list_files(tmp_path) == ["d"]


def test_a_folder_of_somebody_else_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    (tmp_path / "file").write_text("x")
    for name, message in (("thesis", "holds other files"), ("file", "is a file")):
        with pytest.raises(RunFolderError, match=message):
            run_prepare(make_source(), config=CONFIG, out=tmp_path / name, force=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


@pytest.mark.slow
def test_interrupted_work_goes_on_and_decodes_no_image_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, whole_hash: str
) -> None:
    source = make_source()
    source.stop_after = 10
    with pytest.raises(KeyboardInterrupt):
        run_prepare(source, config=CONFIG, out=tmp_path / "d")
    assert not (tmp_path / "d").exists()
    assert "the next attempt continues from there" in caplog.text
    source.stop_after = None
    result = run_prepare(source, config=CONFIG, out=tmp_path / "d")
    assert sorted(source.reads) == sorted(record.location for record, _ in source.images)
    assert result.record.dataset_hash == whole_hash
    assert list_files(tmp_path) == ["d"]


@pytest.mark.slow
def test_an_image_that_did_not_reach_the_disk_is_decoded_again(
    tmp_path: Path, whole_hash: str
) -> None:
    source = make_source()
    source.stop_after = 10
    with pytest.raises(KeyboardInterrupt):
        run_prepare(source, config=CONFIG, out=tmp_path / "d")
    decoded = tmp_path / ".d.partial" / "decoded"
    images = np.load(decoded / "images.npy", mmap_mode="r+")
    images[4] = 0
    del images
    with (decoded / "journal.jsonl").open("a") as journal:
        journal.write('{"slot": 11, "rec')
    source.stop_after = None
    result = run_prepare(source, config=CONFIG, out=tmp_path / "d")
    assert source.reads.count("image-004.png") == 2
    assert len(source.reads) == 25
    assert result.record.dataset_hash == whole_hash


@pytest.mark.slow
def test_other_work_is_not_mixed_in(tmp_path: Path) -> None:
    source = make_source()
    source.stop_after = 10
    with pytest.raises(KeyboardInterrupt):
        run_prepare(source, config=CONFIG, out=tmp_path / "d")
    source.stop_after = None
    changed = CONFIG.model_copy(update={"border_cut": 0.1})
    run_prepare(source, config=changed, out=tmp_path / "d")
    assert len(source.reads) == 10 + 24


def test_a_disk_too_small_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    source = make_source()
    with pytest.raises(StorageError, match=r"needs up to 17 MB.*but 1 MB are free"):
        run_prepare(source, config=CONFIG, out=tmp_path / "d")
    assert source.reads == []
    assert list_files(tmp_path) == []


@pytest.mark.slow
def test_a_disk_that_fills_half_way_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_source()
    keep = decoded_folder._DecodedWriter.keep

    def keep_until_full(bench: object, outcome: object) -> None:
        if len(source.reads) > 7:
            raise StorageError("The disk is full.")
        keep(bench, outcome)  # type: ignore[arg-type]

    monkeypatch.setattr(decoded_folder._DecodedWriter, "keep", keep_until_full)
    with pytest.raises(StorageError, match="full"):
        run_prepare(source, config=CONFIG, out=tmp_path / "d")
    monkeypatch.undo()
    run_prepare(source, config=CONFIG, out=tmp_path / "d")
    assert len(source.reads) == 25
    assert "the next attempt continues" in caplog.text


@pytest.mark.slow
def test_an_impossible_split_is_told_and_another_one_decodes_no_image_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_source()
    impossible = CONFIG.model_copy(update={"folds": 50})
    with pytest.raises(SplitError, match="too few for 50 separate parts"):
        run_prepare(source, config=impossible, out=tmp_path / "d")
    assert not (tmp_path / "d").exists()
    assert "the next attempt continues" in caplog.text
    run_prepare(source, config=CONFIG, out=tmp_path / "d")
    assert len(source.reads) == 24
    assert list_files(tmp_path) == ["d"]


def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StorageError, match="could not be written"):
        run_prepare(make_source(), config=CONFIG, out=blocked / "d")


@pytest.mark.slow
def test_the_given_split_is_kept_on_request(tmp_path: Path) -> None:
    source = make_source()
    names = ["train"] * 16 + ["test"] * 8
    source.images = [
        (make_record(number, record.class_name, given_split=names[number]), content)
        for number, (record, content) in enumerate(source.images)
    ]
    config = CONFIG.model_copy(update={"keep_given_split": True})
    result = run_prepare(source, config=config, out=tmp_path / "d")
    manifest = open_dataset(result.path).manifest
    given = manifest.loc[manifest["given_split"] == "test", "split"]
    assert (given == "test").all()
    assert any("taken from the training part" in warning for warning in result.warnings)


@pytest.mark.slow
def test_images_without_a_patient_are_told_with_their_share(tmp_path: Path) -> None:
    source = make_source()
    source.images = [
        (make_record(number, record.class_name, patient_id="" if number < 6 else "p"), content)
        if number < 6
        else (record, content)
        for number, (record, content) in enumerate(source.images)
    ]
    result = run_prepare(source, config=CONFIG, out=tmp_path / "d")
    assert result.record.patients_unknown_share == 0.25
    assert any("6 of 24 images (25%) have no patient id" in warning for warning in result.warnings)


@pytest.mark.slow
def test_nothing_in_dataset_json_names_the_machine(tmp_path: Path) -> None:
    result = run_prepare(make_source(), config=CONFIG, out=tmp_path / "d")
    content = (result.path / "dataset.json").read_text()
    assert str(tmp_path) not in content
    assert read_json(result.path / "dataset.json")["disclaimer"].startswith("Research and teaching")


@pytest.fixture
def killer_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AbstractSource:
    """A source in a module that worker processes can import; two of its images kill who reads."""
    (tmp_path / "killer_source.py").write_text(_KILLER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(executor, "_MIN_ITEMS_FOR_PROCESSES", 10)
    import killer_source  # type: ignore[import-not-found]

    return killer_source.KillerSource(os.getpid())


_KILLER = """
import os
from cxresnet.data.sources.phantom import PhantomSettings, PhantomSource

class KillerSource(PhantomSource):
    def __init__(self, parent):
        super().__init__(PhantomSettings(images_per_class=30, side_px=48))
        self.parent = parent

    def read(self, location):
        if location in ("image-00017", "image-00060") and os.getpid() != self.parent:
            os.kill(os.getpid(), 9)
        return super().read(location)
"""


@pytest.mark.slow
def test_an_image_that_kills_its_process_is_one_rejected_image(
    killer_source: AbstractSource, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"workers": 2})
    result = run_prepare(killer_source, config=config, out=tmp_path / "d")
    names, columns = read_safe_csv(result.path / "rejected.csv")
    assert columns[names.index("image_id")] == ["image-00017", "image-00060"]
    assert set(columns[names.index("code")]) == {"decoder-crash"}
    assert result.record.images.kept == 88


@pytest.mark.slow
def test_two_at_once_into_one_folder_do_not_collide(tmp_path: Path) -> None:
    class Nosy(ListedSource):
        """Tries to prepare into the same folder while it is being prepared."""

        def read(self, location: str) -> Content:
            if len(self.reads) not in {0, 11, 23}:  # the first, one in between and the last
                return super().read(location)
            with ThreadPoolExecutor(1) as other:
                second = other.submit(
                    run_prepare, make_source(), config=CONFIG, out=tmp_path / "d", force=True
                )
            assert isinstance(second.exception(), RunFolderError)
            assert "Another command" in str(second.exception())
            return super().read(location)

    run_prepare(Nosy(make_source().images), config=CONFIG, out=tmp_path / "d")
    assert list_files(tmp_path) == ["d"]


@pytest.mark.slow
def test_who_comes_second_does_not_write_over_what_the_first_just_made(tmp_path: Path) -> None:
    class Slow(ListedSource):
        """Is scanned while somebody else prepares the same folder to its end."""

        def scan(self) -> ScanResult:
            run_prepare(make_source(), config=CONFIG, out=tmp_path / "d")
            return super().scan()

    with pytest.raises(RunFolderError, match="already holds a dataset"):
        run_prepare(Slow(make_source(30).images), config=CONFIG, out=tmp_path / "d")
    assert len(read_manifest(tmp_path / "d" / "manifest.csv")) == 24
    assert list_files(tmp_path) == ["d"]


# A class is never lost without a word.


class ClaimingSource(ListedSource):
    """A source with a folder for a class of which nothing can be read."""

    @property
    def class_map(self) -> ClassMap:
        return build_class_map({"tuberculosis": ["TB"]} if self.named else None)

    def scan(self) -> ScanResult:
        return replace(super().scan(), classes=("pneumonia",) if not self.named else ())

    named = False


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True])
def test_a_class_that_a_folder_or_the_user_names_must_have_an_image(
    tmp_path: Path, named: bool
) -> None:
    source = ClaimingSource(make_source(30).images)
    source.named = named
    lost = "tuberculosis" if named else "pneumonia"
    with pytest.raises(ClassMapError, match=f"class '{lost}'.*--allow-empty-classes"):
        run_prepare(source, config=CONFIG, out=tmp_path / "d")
    assert not (tmp_path / "d").exists()
    allowed = CONFIG.model_copy(update={"allow_empty_classes": True})
    result = run_prepare(source, config=allowed, out=tmp_path / "d")
    assert any(f"class '{lost}' has no image" in warning for warning in result.warnings)
    assert result.record.class_names == ("normal", "covid-19")


@pytest.mark.slow
def test_a_class_whose_images_are_all_damaged_stops_the_work(tmp_path: Path) -> None:
    source = make_source(30)
    damaged = [(make_record(n, "pneumonia"), b"\x89PNG\r\n\x1a\nno") for n in (50, 51)]
    source.images.extend(damaged)
    with pytest.raises(ClassMapError, match=r"'pneumonia'.*2 files were left out, most often"):
        run_prepare(source, config=CONFIG, out=tmp_path / "d")


@pytest.mark.slow
def test_a_class_that_label_conflicts_leave_empty_stops_the_work(tmp_path: Path) -> None:
    source = make_source(30)
    source.images.append((make_record(50, "pneumonia"), source.images[0][1]))
    with pytest.raises(ClassMapError, match="'pneumonia'"):
        run_prepare(source, config=SEARCHED, out=tmp_path / "d")
