from __future__ import annotations

import json
from pathlib import Path

import pytest

from cxresnet.core.config import DataConfig
from cxresnet.core.errors import ConfigError, DatasetError, EmptySourceError, RunFolderError
from cxresnet.data.dataset.verify import verify_dataset
from cxresnet.data.phantoms.plan import PhantomSettings
from cxresnet.data.prepare.prepare import run_prepare
from cxresnet.data.prepare.shards import merge_shards, run_prepare_shard
from cxresnet.data.sources.phantom import PhantomSource

CONFIG = DataConfig(side_px=24, common_side_px=32, workers=1)
SETTINGS = PhantomSettings(images_per_class=15, side_px=48, corrupt_images=4, near_duplicates=2)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("shards")
    return [
        run_prepare_shard(
            PhantomSource(SETTINGS), config=CONFIG, out=folder / f"s{number}", shard=(number, 3)
        )
        for number in (1, 2, 3)
    ]


@pytest.mark.slow
def test_merged_shares_are_the_dataset_of_one_machine(shards: list[Path], tmp_path: Path) -> None:
    whole = run_prepare(PhantomSource(SETTINGS), config=CONFIG, out=tmp_path / "whole")
    merged = merge_shards(shards[::-1], config=CONFIG, out=tmp_path / "merged")
    assert merged.record.dataset_hash == whole.record.dataset_hash
    assert merged.record.files == whole.record.files
    assert merged.record.images == whole.record.images
    assert merged.record.images.rejected == 4
    assert merged.warnings == whole.warnings
    assert verify_dataset(merged.path).problems == ()


def test_a_missing_a_double_and_a_foreign_share_are_told(
    shards: list[Path], tmp_path: Path
) -> None:
    other = PhantomSource(PhantomSettings(images_per_class=12, side_px=48))
    foreign = run_prepare_shard(other, config=CONFIG, out=tmp_path / "foreign", shard=(3, 3))
    for paths, message in (
        (shards[:2], "Of 3 shares, these were named: 1, 2"),
        ([*shards, shards[0]], "these were named: 1, 1, 2, 3"),
        ([*shards[:2], foreign], "shares 1 and 3 do not belong together"),
        ([], "no share to merge"),
        ([tmp_path], "not a finished share"),
    ):
        with pytest.raises(DatasetError, match=message):
            merge_shards(paths, config=CONFIG, out=tmp_path / "d")


def test_other_preprocessing_is_told(shards: list[Path], tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"border_cut": 0.1})
    with pytest.raises(ConfigError, match="prepared with other preprocessing"):
        merge_shards(shards, config=config, out=tmp_path / "d")


def test_a_share_of_version_01_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = run_prepare_shard(
        PhantomSource(PhantomSettings(images_per_class=6, side_px=48)),
        config=CONFIG,
        out=tmp_path / "s",
        shard=(1, 1),
    )
    record = json.loads((path / "shard.json").read_text())
    del record["format"]
    record["scanned_films"] = record.pop("scanned_images")
    (path / "shard.json").write_text(json.dumps(record))
    with pytest.raises(DatasetError, match=r"was prepared by version 0\.1; prepare it again"):
        merge_shards([path], config=CONFIG, out=tmp_path / "d")


@pytest.mark.parametrize("shard", [(0, 3), (4, 3), (1, 0)])
def test_a_share_that_is_none_is_told(shard: tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no share"):
        run_prepare_shard(PhantomSource(SETTINGS), config=CONFIG, out=tmp_path / "s", shard=shard)


def test_more_shares_than_images_are_told(tmp_path: Path) -> None:
    with pytest.raises(EmptySourceError, match="51 images cannot fill 90 shares"):
        run_prepare_shard(
            PhantomSource(SETTINGS), config=CONFIG, out=tmp_path / "s", shard=(90, 90)
        )


def test_a_share_is_not_written_over_unless_asked(shards: list[Path]) -> None:
    source = PhantomSource(SETTINGS)
    with pytest.raises(RunFolderError, match="already holds"):
        run_prepare_shard(source, config=CONFIG, out=shards[0], shard=(1, 3))
    run_prepare_shard(source, config=CONFIG, out=shards[0], shard=(1, 3), force=True)
