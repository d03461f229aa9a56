from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import pytest

from cxresnet.core.config import DataConfig
from cxresnet.core.errors import DatasetError, RunFolderError
from cxresnet.data.dataset import held_out
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.data.dataset.held_out import (
    AccessRecord,
    AccessRequest,
    carry_over_access_log,
    find_broken_links,
    hold_access_log,
    log_access,
    read_access_log,
    start_access_log,
)
from cxresnet.data.dataset.verify import verify_dataset
from cxresnet.data.manifest import write_safe_csv
from cxresnet.data.phantoms.plan import PhantomSettings
from cxresnet.data.prepare.prepare import run_prepare
from cxresnet.data.sources.phantom import PhantomSource

CONFIG = DataConfig(side_px=32, common_side_px=48, workers=1, find_duplicates=False)
REQUEST = AccessRequest(reason="a first look", run="first", network="", config="c0")


def prepare(out: Path, *, seed: int = 0, config: DataConfig = CONFIG) -> None:
    source = PhantomSource(PhantomSettings(images_per_class=10, side_px=48, seed=seed))
    run_prepare(source, config=config, out=out, force=True)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset whose test split was never opened; only to be copied."""
    path = tmp_path_factory.mktemp("prepared") / "d"
    prepare(path)
    return path


@pytest.fixture
def opened(prepared: Path, tmp_path: Path) -> Path:
    """A dataset whose test split was opened once."""
    path = shutil.copytree(prepared, tmp_path / "d")
    open_dataset(path).open_held_out_test(REQUEST)
    return path


@pytest.mark.slow
def test_preparing_the_same_images_again_does_not_seal_them_anew(
    opened: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(opened, config=CONFIG.model_copy(update={"border_cut": 0.1}))
    (access,) = read_access_log(opened / "test_access_log.csv")
    assert access.reason == "a first look"
    images = int((open_dataset(opened).manifest["split"] == "test").sum())
    assert (
        f"accessed (1), and {images} of the {images} images of the new one were in it"
        in caplog.text
    )
    proofs = verify_dataset(opened).proofs
    assert any("accessed once (1 of them before the dataset was prepared" in one for one in proofs)


@pytest.mark.slow
def test_the_openings_of_other_images_are_not_laid_at_the_door_of_the_new(
    opened: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(opened, seed=1)
    assert read_access_log(opened / "test_access_log.csv") == ()
    assert "none of its images, so its access log begins empty" in caplog.text
    assert "the test set was never accessed" in verify_dataset(opened).proofs


@pytest.mark.slow
def test_a_test_that_was_never_opened_is_replaced_without_a_word(
    prepared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = shutil.copytree(prepared, tmp_path / "d")
    prepare(path)
    assert read_access_log(path / "test_access_log.csv") == ()
    assert "access log" not in caplog.text


@pytest.mark.slow
def test_a_ledger_that_cannot_be_read_is_kept_and_verify_says_so(
    opened: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (opened / "test_access_log.csv").write_text("scratched out")
    prepare(opened, seed=1)
    assert (opened / "test_access_log.csv").read_text() == "scratched out"
    assert "kept as it is" in caplog.text
    assert any("access log" in problem for problem in verify_dataset(opened).problems)


@pytest.mark.parametrize(("images", "kept"), [("bc", 3), ("cd", 0)])
def test_one_image_in_common_is_enough_to_keep_the_accesses(
    images: str, kept: int, access_log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fresh = access_log.parent / "fresh"
    fresh.mkdir()
    for folder, test in ((access_log.parent, "ab"), (fresh, images)):
        rows = [("test", image) for image in test] + [("train", "b"), ("train", "a")]
        write_safe_csv(folder / "manifest.csv", ("split", "content_sha256"), rows)
    start_access_log(fresh / "test_access_log.csv")

    carry_over_access_log(access_log.parent, fresh)

    assert len(read_access_log(fresh / "test_access_log.csv")) == kept
    if kept:
        assert "1 of the 2 images of the new one" in caplog.text
    else:
        assert "none of its images" in caplog.text


def _open(reason: str) -> AccessRequest:
    return AccessRequest(reason=reason, run="=first\nrun", network="ef" * 32, config="cd" * 32)


@pytest.fixture
def access_log(tmp_path: Path) -> Path:
    path = start_access_log(tmp_path / "test_access_log.csv")
    for reason in ("evaluate run 1", "=evaluate\nrun 2", "third"):
        log_access(path, _open(reason), dataset_hash="ab" * 32)
    return path


def test_openings_are_counted_and_chained(access_log: Path) -> None:
    accesses = read_access_log(access_log)
    assert [access.number for access in accesses] == [1, 2, 3]
    assert accesses[1].reason == "=evaluate run 2"
    assert (accesses[1].run, accesses[1].network) == ("=first run", "ef" * 32)
    assert {access.config for access in accesses} == {"cd" * 32}
    assert accesses[0].previous_hash == "0" * 64
    assert accesses[2].previous_hash == accesses[1].row_hash
    assert find_broken_links(accesses) == []


@pytest.mark.parametrize(
    ("number", "damage", "message"),
    [
        (2, lambda line: line.replace("third", "first"), "Row 3 was changed"),
        (1, lambda line: line.replace("=first run", "other run"), "Row 2 was changed"),
        (0, lambda line: line.replace("cdcd", "abab", 1), "Row 1 was changed"),
        (1, lambda line: "", "Row 2 does not follow"),
        (0, lambda line: "", "Row 1 does not follow"),
    ],
)
def test_a_changed_or_missing_row_breaks_the_chain_and_keeps_the_seal(
    access_log: Path, number: int, damage: object, message: str
) -> None:
    lines = access_log.read_text().splitlines(keepends=True)
    lines[number + 1] = damage(lines[number + 1])  # type: ignore[operator]
    access_log.write_text("".join(lines))
    assert any(message in problem for problem in find_broken_links(read_access_log(access_log)))
    with pytest.raises(DatasetError, match="test access log was altered"):
        log_access(access_log, _open("once more"), dataset_hash="ab" * 32)


def test_no_opening_is_lost_when_many_open_at_once(access_log: Path) -> None:
    def open_often(number: int) -> None:
        for turn in range(5):
            log_access(access_log, _open(f"{number} {turn}"), dataset_hash="ab" * 32)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(open_often, range(4)))
    accesses = read_access_log(access_log)
    assert len(accesses) == 3 + 4 * 5
    assert len({access.reason for access in accesses}) == 3 + 4 * 5
    assert find_broken_links(accesses) == []
    assert [path.name for path in access_log.parent.iterdir()] == [access_log.name]


def test_the_log_is_kept_where_it_is_not_known_which_images_it_is_about(
    access_log: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "manifest.csv").write_bytes(b"\xff")
    (tmp_path / "fresh").mkdir()
    fresh = start_access_log(tmp_path / "fresh" / access_log.name)
    carry_over_access_log(tmp_path, tmp_path / "fresh")
    assert read_access_log(fresh) == read_access_log(access_log)
    assert "kept as it is" in caplog.text


def test_one_that_holds_the_log_for_too_long_is_named(
    access_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out, "_WAIT_SECONDS", 0.1)
    with hold_access_log(access_log.parent), ThreadPoolExecutor(1) as other:
        refused = other.submit(log_access, access_log, _open("too late"), dataset_hash="")
        with pytest.raises(RunFolderError, match="is writing the test access log"):
            refused.result()
    assert len(read_access_log(access_log)) == 3


def _pick(columns: list[str], change: str) -> list[str]:
    return {
        "one is missing": columns[:-1],
        "one is more": [*columns, "signature"],
        "another order": columns[::-1],
    }[change]


@pytest.mark.parametrize("change", ["one is missing", "one is more", "another order"])
def test_a_table_of_other_columns_is_no_ledger_that_was_never_opened(
    tmp_path: Path, change: str
) -> None:
    path = tmp_path / "test_access_log.csv"
    columns = [field.name for field in fields(AccessRecord)]
    write_safe_csv(path, columns, [])
    assert read_access_log(path) == ()
    write_safe_csv(path, _pick(columns, change), [])
    with pytest.raises(DatasetError, match="it is not known how often the test set was accessed"):
        read_access_log(path)


@pytest.mark.parametrize(
    "content", [None, b"", b"\xff\xfe", b'"number"\n1\n', b"number\nx\n", b"gone"]
)
def test_a_ledger_that_is_gone_or_none_is_told(access_log: Path, content: bytes | None) -> None:
    if content is None:
        access_log.unlink()
    else:
        access_log.write_bytes(content)
    with pytest.raises(DatasetError, match="missing or cannot be read"):
        read_access_log(access_log)


@pytest.mark.slow
def test_a_replacement_that_was_killed_half_way_forgets_no_opening(
    opened: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed between the two renames: the old dataset is set aside, the new one not in place."""
    rename = Path.rename

    def die(path: Path, target: Path) -> Path:
        if target == opened:
            raise SystemExit(137)
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", die)
        with pytest.raises(SystemExit):
            prepare(opened)
    assert not opened.exists()
    with pytest.raises(DatasetError, match="was removed or replaced meanwhile"):
        log_access(opened / "test_access_log.csv", REQUEST, dataset_hash="0" * 64)
    assert not opened.exists(), "else nobody would put the old dataset back"
    opened.mkdir()
    prepare(opened)
    assert "The dataset that was there is back, with its test access log" in caplog.text
    (access,) = read_access_log(opened / "test_access_log.csv")
    assert access.reason == "a first look"
    assert [path.name for path in opened.parent.iterdir()] == [opened.name]


def make_old(path: Path) -> None:
    """Turn a dataset into one as version 0.1 wrote it, as far as names go."""
    log = (path / "test_access_log.csv").read_text()
    (path / "test_openings.csv").write_text(log.replace("accessed_utc", "opened_utc", 1))
    (path / "test_access_log.csv").unlink()
    manifest = path / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("pixels_sha256", "film_sha256", 1))
    record = json.loads((path / "dataset.json").read_text())
    record["films"] = record.pop("images")
    record["notices"] = record.pop("warnings")
    (path / "dataset.json").write_text(json.dumps(record | {"format": 1}))


def test_a_dataset_of_version_01_is_refused_with_the_way_out(opened: Path) -> None:
    make_old(opened)
    message = r"was prepared by version 0\.1; prepare it again with .*--force"
    for read in (open_dataset, verify_dataset):
        with pytest.raises(DatasetError, match=message):
            read(opened)


def test_a_dataset_of_the_future_is_refused_with_the_way_out(opened: Path) -> None:
    path = opened / "dataset.json"
    path.write_text(path.read_text().replace('"format": 2', '"format": 3', 1))
    with pytest.raises(DatasetError, match=r"prepared by a newer version\. Update cxresnet"):
        open_dataset(opened)


@pytest.mark.slow
def test_the_accesses_of_version_01_are_carried_over(
    opened: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = read_access_log(opened / "test_access_log.csv")
    make_old(opened)
    prepare(opened)
    assert read_access_log(opened / "test_access_log.csv") == before
    assert not (opened / "test_openings.csv").exists()
    assert "accessed (1)" in caplog.text
    assert not verify_dataset(opened).problems
    open_dataset(opened).open_held_out_test(REQUEST)
    assert find_broken_links(read_access_log(opened / "test_access_log.csv")) == []


@pytest.mark.slow
def test_the_accesses_of_version_01_to_other_images_are_not_carried_over(opened: Path) -> None:
    make_old(opened)
    prepare(opened, seed=1)
    assert read_access_log(opened / "test_access_log.csv") == ()


@pytest.mark.slow
def test_an_access_log_of_version_01_that_cannot_be_read_is_kept(opened: Path) -> None:
    make_old(opened)
    (opened / "test_openings.csv").write_text("scratched out")
    prepare(opened)
    assert (opened / "test_access_log.csv").read_text() == "scratched out"
