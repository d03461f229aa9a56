from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet.core.config import DataConfig
from cxresnet.core.errors import ConfigError, DatasetError, EmptySourceError, RunFolderError
from cxresnet.data.prepare import run_prepare
from cxresnet.data.shards import merge_shards, run_prepare_shard
from cxresnet.data.sources.phantom import PhantomSettings, PhantomSource
from cxresnet.data.verify import verify_dataset

CONFIG = DataConfig(side_px=24, common_side_px=32, workers=1)
SETTINGS = PhantomSettings(films_per_class=15, side_px=48, corrupt_films=4, near_duplicates=2)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("shards")
    return [
        run_prepare_shard(
            PhantomSource(SETTINGS), config=CONFIG, out=folder / f"s{number}", shard=(number, 3)
        )
        for number in (1, 2, 3)
    ]


def test_merged_shares_are_the_dataset_of_one_machine(shards: list[Path], tmp_path: Path) -> None:
    whole = run_prepare(PhantomSource(SETTINGS), config=CONFIG, out=tmp_path / "whole")
    merged = merge_shards(shards[::-1], config=CONFIG, out=tmp_path / "merged")
    assert merged.record.dataset_hash == whole.record.dataset_hash
    assert merged.record.files == whole.record.files
    assert merged.record.films == whole.record.films
    assert merged.record.films.rejected == 4
    assert merged.notices == whole.notices
    assert verify_dataset(merged.path).problems == ()


def test_a_missing_a_double_and_a_foreign_share_are_told(
    shards: list[Path], tmp_path: Path
) -> None:
    other = PhantomSource(PhantomSettings(films_per_class=12, side_px=48))
    foreign = run_prepare_shard(other, config=CONFIG, out=tmp_path / "foreign", shard=(3, 3))
    for paths, message in (
        (shards[:2], "Of 3 shares, these were named: 1, 2"),
        ([*shards, shards[0]], "these were named: 1, 1, 2, 3"),
        ([*shards[:2], foreign], "shares 1 and 3 are not of the same work"),
        ([], "no share to merge"),
        ([tmp_path], "no finished share"),
    ):
        with pytest.raises(DatasetError, match=message):
            merge_shards(paths, config=CONFIG, out=tmp_path / "d")


def test_another_road_is_told(shards: list[Path], tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"border_cut": 0.1})
    with pytest.raises(ConfigError, match="prepared with another side"):
        merge_shards(shards, config=config, out=tmp_path / "d")


@pytest.mark.parametrize("shard", [(0, 3), (4, 3), (1, 0)])
def test_a_share_that_is_none_is_told(shard: tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no share"):
        run_prepare_shard(PhantomSource(SETTINGS), config=CONFIG, out=tmp_path / "s", shard=shard)


def test_more_shares_than_films_are_told(tmp_path: Path) -> None:
    with pytest.raises(EmptySourceError, match="51 films make fewer than 90 shares"):
        run_prepare_shard(
            PhantomSource(SETTINGS), config=CONFIG, out=tmp_path / "s", shard=(90, 90)
        )


def test_a_share_is_not_written_over_unless_asked(shards: list[Path]) -> None:
    source = PhantomSource(SETTINGS)
    with pytest.raises(RunFolderError, match="already holds"):
        run_prepare_shard(source, config=CONFIG, out=shards[0], shard=(1, 3))
    run_prepare_shard(source, config=CONFIG, out=shards[0], shard=(1, 3), force=True)
