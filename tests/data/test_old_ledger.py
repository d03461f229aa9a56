from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet.core.config import DataConfig
from cxresnet.data.dataset import open_dataset
from cxresnet.data.prepare import run_prepare
from cxresnet.data.sealed_test import Opener, read_ledger
from cxresnet.data.sources.phantom import PhantomSettings, PhantomSource
from cxresnet.data.verify import verify_dataset

CONFIG = DataConfig(side_px=32, common_side_px=48, workers=1)
OPENER = Opener(reason="a first look", run="first", network="", config="c0")


def prepare(out: Path, *, seed: int = 0, config: DataConfig = CONFIG) -> None:
    source = PhantomSource(PhantomSettings(films_per_class=10, side_px=48, seed=seed))
    run_prepare(source, config=config, out=out, force=True)


@pytest.fixture
def opened(tmp_path: Path) -> Path:
    """A dataset whose test split was opened once."""
    prepare(tmp_path / "d")
    open_dataset(tmp_path / "d").open_sealed_test(OPENER)
    return tmp_path / "d"


def test_preparing_the_same_films_again_does_not_seal_them_anew(
    opened: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(opened, config=CONFIG.model_copy(update={"border_cut": 0.1}))
    (opening,) = read_ledger(opened / "test_openings.csv")
    assert opening.reason == "a first look"
    films = int((open_dataset(opened).manifest["split"] == "test").sum())
    assert f"opened (1), and {films} of the {films} films of the new one were in it" in caplog.text
    proofs = verify_dataset(opened).proofs
    assert any("opened once (1 of them before the dataset was prepared" in one for one in proofs)


def test_the_openings_of_other_films_are_not_laid_at_the_door_of_the_new(
    opened: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(opened, seed=1)
    assert read_ledger(opened / "test_openings.csv") == ()
    assert "none of its films, so its ledger of openings begins empty" in caplog.text
    assert "the test split is sealed: it was never opened" in verify_dataset(opened).proofs


def test_a_test_that_was_never_opened_is_replaced_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(tmp_path / "d")
    prepare(tmp_path / "d")
    assert read_ledger(tmp_path / "d" / "test_openings.csv") == ()
    assert "ledger" not in caplog.text


def test_a_ledger_that_cannot_be_read_is_kept_and_verify_says_so(
    opened: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (opened / "test_openings.csv").write_text("scratched out")
    prepare(opened, seed=1)
    assert (opened / "test_openings.csv").read_text() == "scratched out"
    assert "kept as it is" in caplog.text
    assert any("ledger" in problem for problem in verify_dataset(opened).problems)
