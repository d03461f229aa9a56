"""Do the files of a run belong together? What can be computed again is computed again.

A checksum finds a file that was altered. Someone who also rewrites the checksum is found here: the
headline is computed from the predictions, and their true classes are compared with the dataset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from cxresnet.core.checksums import (
    CHECKSUMS_NAME,
    FileState,
    compare_checksum,
    find_altered_files,
    read_checksums,
    record_folder_checksums,
)
from cxresnet.core.errors import CXResnetError, DatasetError, RunFolderError
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import PreparedDataset, open_dataset
from cxresnet.data.dataset.verify import Verification, verify_dataset
from cxresnet.data.prepare.preprocessing import Preprocessing
from cxresnet.evaluate.evaluated_images import require_recorded_accesses
from cxresnet.evaluate.record import Evaluation, read_evaluation
from cxresnet.metrics.classification import (
    HEADLINE_SCORES,
    build_headline_statistics,
    compute_confusion,
)
from cxresnet.metrics.statistic import compute_value
from cxresnet.model.checkpoint import CheckpointRecord, read_checkpoint
from cxresnet.model.sealed_folder import read_sealed_folder
from cxresnet.predict.decision import apply_operating_point, compute_network_hash
from cxresnet.predict.predictions import Predictions, read_predictions
from cxresnet.predict.training_images import read_training_images

_TOLERANCE = 1e-6
_WAY_OUT = "Run 'cxresnet evaluate RUN' again."


def require_training_dataset(
    record: CheckpointRecord, dataset: PreparedDataset, *, run: RunFolder
) -> None:
    """Refuse a dataset that is not the one that a network was trained on, or was altered since.

    Raises:
        DatasetError: It was prepared again, so that its test images may be training images; or its
            classes are in another order, or its mean and sd are others than those of the network.
    """
    if record.dataset_hash != dataset.dataset_hash:
        raise DatasetError(
            f"The dataset '{dataset.path}' has changed since the network of '{run.path}' "
            "was trained. Train again, or restore the old dataset."
        )
    if record.class_names != dataset.class_names:
        raise DatasetError(
            f"The dataset '{dataset.path}' has the classes {', '.join(dataset.class_names)}, the "
            f"network of '{run.path}' was trained with {', '.join(record.class_names)}, in this "
            "order. Restore the dataset's dataset.json, or prepare and train again."
        )
    if Preprocessing.model_validate(record.preprocessing) != dataset.preprocessing:
        raise DatasetError(
            f"The preprocessing in the dataset.json of '{dataset.path}', with its mean and sd, is "
            f"not the one that the network of '{run.path}' was trained with. Restore it, or "
            "prepare and train again."
        )


def read_checked_evaluation(run: RunFolder, dataset: PreparedDataset | None) -> Evaluation:
    """Read `metrics.json`, and compare it with the predictions, and these with the dataset.

    Args:
        run: Evaluated.
        dataset: Of the run; None where it is not at hand. It is not compared where it was prepared
            again since.

    Raises:
        RunFolderError: A file is damaged, was altered, or does not belong to the others.
    """
    evaluation = read_evaluation(run.metrics)
    recorded = read_checksums(run.evaluate)
    if not run.predictions.is_file() and run.predictions.name not in recorded:
        return evaluation  # of a run that somebody passed on without its table
    table = read_predictions(run.predictions)
    require_headline(evaluation, table)
    if dataset is not None and dataset.dataset_hash == evaluation.provenance.dataset_hash:
        require_true_classes(table, dataset)
    return evaluation


def require_headline(evaluation: Evaluation, table: Predictions) -> None:
    """Compute headline and confusion matrix again from the predictions, and compare them.

    Raises:
        RunFolderError: They differ.
    """
    known = table.select(table.truth >= 0)
    if evaluation.class_names != known.class_names:
        raise RunFolderError(f"metrics.json and predictions.csv have different classes. {_WAY_OUT}")
    evaluated = apply_operating_point(known, evaluation.operating_point)
    confusion = compute_confusion(
        evaluated.truth, evaluated.predicted, class_count=len(known.class_names)
    )
    if tuple(map(tuple, confusion.tolist())) != evaluation.confusion:
        raise RunFolderError(
            "The confusion matrix in metrics.json is not the one that follows from "
            f"predictions.csv: one of the two was altered. {_WAY_OUT}"
        )
    statistics = zip(HEADLINE_SCORES, build_headline_statistics(evaluated), strict=True)
    for name, statistic in statistics:
        computed, stated = compute_value(statistic), getattr(evaluation.headline, name).value
        if not _is_same(computed, stated):
            raise RunFolderError(
                f"metrics.json states {name.replace('_', ' ')} {_show(stated)}, but from "
                f"predictions.csv it is {_show(computed)}: one of the two was altered. {_WAY_OUT}"
            )


def require_true_classes(table: Predictions, dataset: PreparedDataset) -> None:
    """Compare images and true classes of the predictions with the test split of the dataset.

    Raises:
        RunFolderError: An image is missing or is too much, or a true class is another.
    """
    test = dataset.manifest[dataset.manifest["split"] == "test"]
    expected = dict(zip(test["image_id"], test["class_name"], strict=True))
    names = (*table.class_names, "")
    found = {
        image_id: names[label]
        for image_id, label in zip(table.image_ids, table.truth.tolist(), strict=True)
    }
    if differing := sorted(expected.keys() ^ found.keys()):
        state = "lacks" if differing[0] in expected else "has"
        raise RunFolderError(
            f"predictions.csv {state} '{differing[0]}', unlike the test split of the dataset "
            f"({len(differing)} images differ). {_WAY_OUT}"
        )
    for image_id, class_name in found.items():
        if class_name != expected[image_id]:
            raise RunFolderError(
                f"In predictions.csv '{image_id}' shows '{class_name}'; in the dataset it shows "
                f"'{expected[image_id]}'. One of the two was altered. {_WAY_OUT}"
            )


def _is_same(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return abs(first - second) <= _TOLERANCE


def _show(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


# `cxresnet verify RUN`.


def verify_run(
    run: RunFolder, *, recheck_near_duplicates: bool = False, record_missing: bool = False
) -> Verification:
    """Verify a run: its dataset, its network, and that its files belong together.

    Args:
        run: Trained, perhaps evaluated and explained.
        recheck_near_duplicates: As of `verify_dataset`.
        record_missing: Record the checksums of folders that have none, as they are now, if nothing
            else is wrong; of the dataset too.

    Raises:
        StorageError: A checksum cannot be written.
    """
    found = [
        _run_check(
            "",
            partial(
                _verify_its_dataset,
                run,
                recheck_near_duplicates=recheck_near_duplicates,
                record_missing=record_missing,
            ),
        ),
        _run_check("the network is whole and belongs to the dataset", partial(_check_network, run)),
        _run_check(
            "the headline follows from the predictions, their true classes are those of the "
            "dataset, and no access to the test set is missing from its log",
            partial(_check_evaluation, run),
        ),
    ]
    problems = [problem for one in found for problem in one.problems]
    problems += [one for folder in _list_folders(run) for one in find_altered_files(folder)]
    if record_missing and not problems:
        for folder in _find_unrecorded(run):
            record_folder_checksums(folder)
    if not problems:
        problems += [
            f"The folder {folder.name} has no {CHECKSUMS_NAME}: an earlier version wrote it, or it "
            f"was removed. If you trust it: 'cxresnet verify {run.path} --record-checksums'."
            for folder in _find_unrecorded(run)
        ]
    proofs = [proof for one in found for proof in one.proofs]
    if not problems:
        proofs.append("the files of the run have the SHA-256 that they were written with")
    return Verification(tuple(proofs), tuple(problems))


def _run_check(proof: str, check: Callable[[], Verification | None]) -> Verification:
    """Run a check that raises what is wrong, or says itself what it found."""
    try:
        return check() or Verification((proof,), ())
    except CXResnetError as error:
        return Verification((), (str(error),))


def _verify_its_dataset(
    run: RunFolder, *, recheck_near_duplicates: bool, record_missing: bool
) -> Verification:
    return verify_dataset(
        run.read_dataset_path(),
        recheck_near_duplicates=recheck_near_duplicates,
        record_missing=record_missing,
    )


def _check_network(run: RunFolder) -> None:
    _, record = read_checkpoint(run.checkpoint)
    require_training_dataset(record, open_dataset(run.read_dataset_path()), run=run)
    read_training_images(run)
    for manifest in sorted(run.train.glob("*/MANIFEST.json")):
        read_sealed_folder(manifest.parent)  # where a stopped training would go on


def _check_evaluation(run: RunFolder) -> None:
    if not run.metrics.is_file() and compare_checksum(run.metrics) is FileState.UNRECORDED:
        return
    dataset = open_dataset(run.read_dataset_path())
    provenance = read_checked_evaluation(run, dataset).provenance
    if provenance.checkpoint != compute_network_hash(run):
        raise RunFolderError(f"metrics.json is of another network. {_WAY_OUT}")
    if provenance.dataset_hash == dataset.dataset_hash:
        require_recorded_accesses(dataset, provenance.access_log)


def _list_folders(run: RunFolder) -> Iterator[Path]:
    for folder in (run.train, run.evaluate, run.explain, *sorted(run.path.glob("evaluate-*"))):
        if folder.is_dir():
            yield folder


def _find_unrecorded(run: RunFolder) -> list[Path]:
    return [folder for folder in _list_folders(run) if not read_checksums(folder)]
