"""Which images are evaluated: the held-out test of the run, or all images of another dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.core.config.section import Section
from cxresnet.core.errors import ClassMapError, DatasetError
from cxresnet.core.progress import track
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import ImageSet, PreparedDataset, open_dataset
from cxresnet.data.dataset.dataset_record import ACCESS_LOG_NAME
from cxresnet.data.dataset.held_out import AccessRecord, AccessRequest, read_access_log
from cxresnet.data.duplicates import compute_fingerprints, find_clusters
from cxresnet.evaluate.results import AccessLogEntry
from cxresnet.predict.decision import compute_network_hash
from cxresnet.predict.predictor import Predictor

_REASON = "evaluate"
"""The reason of accesses for scores begins with it."""


@dataclass(frozen=True, kw_only=True)
class EvaluatedImages:
    """Images that are evaluated.

    Attributes:
        name: "test", or the name of the other dataset.
        dataset: Where they are from.
        image_sets: The images, one set after the other.
        keep: Which of them are evaluated, (images,): not those that leaked into training.
        accesses: How often the held-out test set was opened for scores, this time included; None
            for images of another dataset.
        notes: Sentences for the reader.
        leaked_images: Images with a near-duplicate or an image of their patient in another split; 0
            for images of another dataset, of which near-duplicates are left out.
        access_log: Every access to the held-out test set so far; empty where there is none.
    """

    name: str
    dataset: PreparedDataset
    image_sets: tuple[ImageSet, ...]
    keep: NDArray[np.bool_]
    accesses: int | None
    notes: tuple[str, ...] = ()
    leaked_images: int = 0
    access_log: tuple[AccessLogEntry, ...] = ()

    @property
    def facts(self) -> pd.DataFrame:
        """Rows of the manifest of the evaluated images."""
        rows = pd.concat([image_set.manifest for image_set in self.image_sets], ignore_index=True)
        return rows[self.keep].reset_index(drop=True)


def open_test_images(
    training_dataset: PreparedDataset, access_request: AccessRequest
) -> EvaluatedImages:
    """Open the held-out test set of the dataset that the network was trained on.

    Args:
        training_dataset: The dataset.
        access_request: For the access log; its reason begins with "evaluate".

    Raises:
        DatasetError: There is no test split, or the access log was altered.
    """
    images = training_dataset.open_held_out_test(access_request)
    access_log = read_access_log(training_dataset.path / ACCESS_LOG_NAME)
    return EvaluatedImages(
        name="test",
        dataset=training_dataset,
        image_sets=(images,),
        keep=np.ones(len(images), dtype=bool),
        accesses=sum(access.reason.startswith(_REASON) for access in access_log),
        leaked_images=count_leaked_images(training_dataset.manifest),
        access_log=tuple(_describe_access(access) for access in access_log),
    )


def require_recorded_accesses(
    training_dataset: PreparedDataset, recorded: Sequence[AccessLogEntry]
) -> None:
    """Refuse an access log that was truncated at the end, which its hash chain would not show.

    Args:
        training_dataset: The dataset.
        recorded: The access log as of an earlier evaluation of the run.

    Raises:
        DatasetError: An access is missing or differs.
    """
    kept = [
        _describe_access(access)
        for access in read_access_log(training_dataset.path / ACCESS_LOG_NAME)
    ]
    for row, now in zip_longest(recorded, kept[: len(recorded)]):
        if now is None or row not in {now, now.model_copy(update={"row_hash": ""})}:
            raise DatasetError(
                f"The access log of the test set was altered: access {row.number} of "
                f"{row.accessed_utc}, which an earlier evaluation recorded, is not in it. Restore "
                "the access log, or prepare the dataset again."
            )


def count_leaked_images(manifest: pd.DataFrame) -> int:
    """Count test images that share a group, a duplicate cluster or their pixels with others."""
    test = (manifest["split"] == "test").to_numpy()
    crossing = np.zeros(int(test.sum()), dtype=bool)
    for column in ("group_id", "cluster_id", "pixels_sha256"):
        here, other_splits = manifest.loc[test, column], manifest.loc[~test, column]
        crossing |= here.isin(other_splits).to_numpy(dtype=bool)
    return int(crossing.sum())


def _describe_access(access: AccessRecord) -> AccessLogEntry:
    return AccessLogEntry.model_validate(
        {name: getattr(access, name) for name in AccessLogEntry.model_fields}
    )


def open_external_images(
    path: Path,
    *,
    predictor: Predictor,
    training_dataset: PreparedDataset,
    access_request: AccessRequest,
) -> EvaluatedImages:
    """Open all images of another dataset, except those that the network was trained on.

    Args:
        path: The other dataset, prepared as the network's own was.
        predictor: The network.
        training_dataset: The dataset that it was trained on.
        access_request: For the access log of the other dataset's own test set, if it has one.

    Raises:
        DatasetError: It is the network's own dataset, or was prepared differently.
        ClassMapError: It holds none of the network's classes.
    """
    other = open_dataset(path)
    if other.dataset_hash == training_dataset.dataset_hash:
        raise DatasetError(
            f"'{path}' is the dataset that the network was trained on. "
            "Leave --data out to evaluate its held-out test set."
        )
    require_same_preprocessing(other, predictor)
    shared = [name for name in other.class_names if name in predictor.class_names]
    if not shared:
        raise ClassMapError(
            f"'{path}' has the classes {', '.join(other.class_names)}, and the network has the "
            f"classes {', '.join(predictor.class_names)}. Prepare it again with --classes."
        )
    image_sets = _open_all(other, access_request)
    duplicated = _find_near_duplicates(image_sets, training_dataset)
    note = (
        f"{int(duplicated.sum())} images are near-duplicates of training or validation images, "
        "and are left out."
    )
    return EvaluatedImages(
        name=other.record.name,
        dataset=other,
        image_sets=image_sets,
        keep=~duplicated,
        accesses=None,
        notes=(note,) if duplicated.any() else (),
    )


def _open_all(dataset: PreparedDataset, access_request: AccessRequest) -> tuple[ImageSet, ...]:
    present = set(dataset.manifest["split"])
    image_sets = [dataset.select(split) for split in ("train", "val") if split in present]
    if "test" in present:
        image_sets.append(
            dataset.open_held_out_test(
                replace(access_request, reason=f"{_REASON}: as another dataset")
            )
        )
    return tuple(image_sets)


def require_same_preprocessing(other: PreparedDataset, predictor: Predictor) -> None:
    """Refuse images whose preprocessing differs from that of the network's own.

    Raises:
        DatasetError: It differs in more than mean and sd; says in what.
    """
    measured = {"mean", "sd"}
    theirs = other.preprocessing.model_dump(exclude=measured)
    ours = predictor.preprocessing.model_dump(exclude=measured)
    differing = [name for name in ours if ours[name] != theirs[name]]
    if differing:
        name = differing[0]
        raise DatasetError(
            f"'{other.path}' was prepared with {name} = {theirs[name]}, the network's images with "
            f"{ours[name]}. Prepare it again with the config of the run."
        )


def _find_near_duplicates(
    image_sets: Sequence[ImageSet], training_dataset: PreparedDataset
) -> NDArray[np.bool_]:
    """Find near-duplicates of training images: the same file, or the same picture in another."""
    training_sets = (training_dataset.select("train"), training_dataset.select("val"))
    prints = compute_fingerprints(
        image
        for image_set in track((*training_sets, *image_sets), "Looking for near-duplicates")
        for image in image_set.images
    )
    clusters = find_clusters(prints)
    known = sum(map(len, training_sets))
    near_duplicate = np.isin(clusters[known:], clusters[:known])
    files = pd.concat([image_set.manifest["content_sha256"] for image_set in training_sets])
    same = pd.concat([image_set.manifest["content_sha256"].isin(files) for image_set in image_sets])
    found: NDArray[np.bool_] = near_duplicate | same.to_numpy(dtype=bool)
    return found


def describe_access_request(run: RunFolder, *, reason: str, config: Section) -> AccessRequest:
    """Describe, for the access log, which run opens the test set, and with which config.

    Args:
        run: Trained.
        reason: Begins with "evaluate" where scores are computed on the images.
        config: The section that is in force.

    Raises:
        CheckpointError: The network is missing or damaged.
    """
    return AccessRequest(
        reason=reason,
        run=run.path.resolve().name,
        network=compute_network_hash(run),
        config=config.compute_hash(),
    )
