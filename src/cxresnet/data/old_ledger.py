"""What becomes of the ledger of a dataset that is replaced: its openings may not be forgotten.

Preparing again must not seal films anew that somebody has looked at; but the openings of one set of
films say nothing about another. The content of the files decides, not the hash of the dataset,
which any change of the preprocessing changes.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from cxresnet.core.errors import DatasetError
from cxresnet.core.files import explain_storage_errors
from cxresnet.data.dataset_record import LEDGER_NAME, MANIFEST_NAME
from cxresnet.data.manifest import read_manifest
from cxresnet.data.sealed_test import read_ledger

__all__ = ["keep_old_ledger"]

_logger = logging.getLogger(__name__)


def keep_old_ledger(old: Path, fresh: Path) -> None:
    """Carry the openings of a dataset into the one that replaces it, if both test the same films.

    What was done is logged. An old ledger or manifest that cannot be read is no reason to forget:
    the ledger is then carried as it is, and `verify` says what is wrong with it.

    Args:
        old: The dataset that will be replaced; it need not be there.
        fresh: The new dataset, whole, with an empty ledger.

    Raises:
        StorageError: The ledger cannot be written.
    """
    if not (old / LEDGER_NAME).is_file():
        return
    try:
        openings = len(read_ledger(old / LEDGER_NAME))
        before, now = (_read_test_films(path) for path in (old, fresh))
    except DatasetError:
        _carry(old, fresh, "The old ledger of test openings is kept as it is.")
        return
    if not openings:
        return
    same = len(before & now)
    if not same:
        _logger.warning(
            "The dataset that was here is replaced; its test split had been opened (%d). The new "
            "test split has none of its films, so its ledger of openings begins empty.",
            openings,
        )
        return
    _carry(
        old,
        fresh,
        f"The test split that was here had been opened ({openings}), and {same} of the {len(now)} "
        f"films of the new one were in it: the openings stay in {LEDGER_NAME} and are counted.",
    )


def _read_test_films(path: Path) -> set[str]:
    manifest = read_manifest(path / MANIFEST_NAME)
    return set(manifest.loc[manifest["split"] == "test", "content_sha256"])


def _carry(old: Path, fresh: Path, sentence: str) -> None:
    with explain_storage_errors(fresh):
        shutil.copyfile(old / LEDGER_NAME, fresh / LEDGER_NAME)
    _logger.warning("%s", sentence)
