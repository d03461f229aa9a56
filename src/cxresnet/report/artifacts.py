"""What a run holds so far, read from its files; what is not there yet is None."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.audit.open import AUDIT_NAME
from cxresnet.audit.scorecard import SCORECARD_NAME, Scorecard, read_scorecard
from cxresnet.core.checksums import FileState, compare_checksum, require_unaltered
from cxresnet.core.errors import CXResnetError, RunFolderError
from cxresnet.core.files import read_json
from cxresnet.core.finding import Finding, read_findings
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import PreparedDataset, open_dataset
from cxresnet.data.dataset.dataset_record import ImageCounts
from cxresnet.evaluate.checks import read_checked_evaluation
from cxresnet.evaluate.external import (
    EXTERNAL_NAME,
    ExternalTest,
    list_external_folders,
    read_external,
)
from cxresnet.evaluate.leave_sources_out import (
    LEAVE_SOURCES_OUT_NAME,
    LeaveSourcesOut,
    read_leave_sources_out,
)
from cxresnet.evaluate.members import MEMBERS_NAME, read_members
from cxresnet.evaluate.merge_advice import MERGE_ADVICE_NAME, MergeAdvice, read_merge_advice
from cxresnet.evaluate.record import Evaluation
from cxresnet.evaluate.selective import SELECTIVE_NAME, SelectiveResult, read_selective
from cxresnet.explain.record import Attributions, read_attributions
from cxresnet.explain.sanity.record import CARD_NAME, SanityCard, read_sanity_card
from cxresnet.explain.summary import SUMMARY_NAME, ExplanationSummary, read_explanation_summary
from cxresnet.metrics.agreement import Spread
from cxresnet.model.checkpoint import CheckpointRecord, read_model
from cxresnet.model.ensemble import Network
from cxresnet.report.section import ReportWarning

Part = TypeVar("Part")


class _Images(Protocol):
    """(n, side, side) uint8, perhaps on the disk; one image is read when it is asked for."""

    def __getitem__(self, row: int) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, eq=False)
class DatasetArtifacts:
    """What the sections about the images are made of.

    Attributes:
        class_names: In order.
        manifest: All images.
        training: The rows of the training images, as drawn from; the test stays sealed.
        training_images: Row i belongs to row i of `training`.
        side_px: Side of a prepared image.
        counts: Where every scanned image went.
        rejected: `rejected.csv`; empty where nothing was.
        findings: Results of the checks of the images before any training.
    """

    class_names: tuple[str, ...]
    manifest: pd.DataFrame
    training: pd.DataFrame
    training_images: _Images
    side_px: int
    counts: ImageCounts
    rejected: pd.DataFrame
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class RunArtifacts:
    """Everything that the page is made of.

    Attributes:
        name: Of the run.
        folder: Of the run; None for a page about a dataset alone.
        dataset: The prepared images.
        dataset_artifacts: The same as the sections about images read it.
        model: The network that validation chose.
        record: What came with its weights.
        history: One row an epoch.
        learning_rates: The sweep for the learning rate, one row a rate.
        members: What each of several networks reaches by itself on the test.
        config: By section and key.
        environment: Of the training, by name.
        evaluation: The numbers.
        attributions: The maps.
        explanation_summary: Text summaries, nearest neighbours and means per lung zone.
        sanity: Results of the sanity checks of the maps.
        selective: Results with abstention.
        left_out: Sets of sources, tested on networks that were trained without them.
        merge_advice: What each source does for the scores on other sources left out.
        externals: Tests on other datasets.
        audit: The scorecard of the audit.
        damaged: One warning for each part that is there but cannot be read.
    """

    name: str
    folder: Path | None = None
    dataset: PreparedDataset | None = None
    dataset_artifacts: DatasetArtifacts | None = None
    model: Network | None = None
    record: CheckpointRecord | None = None
    history: pd.DataFrame | None = None
    learning_rates: pd.DataFrame | None = None
    members: Mapping[str, Spread] | None = None
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    attributions: Attributions | None = None
    explanation_summary: ExplanationSummary | None = None
    sanity: SanityCard | None = None
    selective: SelectiveResult | None = None
    left_out: LeaveSourcesOut | None = None
    merge_advice: MergeAdvice | None = None
    externals: tuple[ExternalTest, ...] = ()
    audit: Scorecard | None = None
    damaged: tuple[ReportWarning, ...] = ()


def read_run_artifacts(run: RunFolder) -> RunArtifacts:
    """Read all that is there. A half-finished run is no error; neither is a damaged part."""
    reader, evaluate = _Reader(run.path), run.evaluate
    network = reader.read("network", run.checkpoint, read_model)
    model, record = network if network else (None, None)
    dataset = reader.read("dataset", run.mark, lambda _: _open_dataset_if_there(run))
    return RunArtifacts(
        name=run.path.resolve().name,
        folder=run.path,
        dataset=dataset,
        dataset_artifacts=build_dataset_artifacts(dataset) if dataset else None,
        model=model,
        record=record,
        history=reader.read("history", run.history, pd.read_csv),
        learning_rates=reader.read("learning-rate sweep", run.learning_rates, pd.read_csv),
        members=reader.read("scores of the members", run.evaluate / MEMBERS_NAME, read_members),
        config=reader.read("config", run.train / "config.json", read_json) or {},
        environment=reader.read("environment", run.train / "environment.json", read_json) or {},
        evaluation=reader.read(
            "test", run.metrics, lambda _: read_checked_evaluation(run, dataset)
        ),
        attributions=reader.read(
            "explanation", run.explain / "index.json", lambda path: read_attributions(path.parent)
        ),
        explanation_summary=reader.read(
            "text summaries",
            run.explain / SUMMARY_NAME,
            lambda path: read_explanation_summary(path.parent),
        ),
        sanity=reader.read(
            "sanity checks", run.explain / CARD_NAME, lambda path: read_sanity_card(path.parent)
        ),
        selective=reader.read("results with abstention", evaluate / SELECTIVE_NAME, read_selective),
        left_out=reader.read(
            "test on sources left out",
            evaluate / LEAVE_SOURCES_OUT_NAME,
            read_leave_sources_out,
        ),
        merge_advice=reader.read("merge advice", evaluate / MERGE_ADVICE_NAME, read_merge_advice),
        externals=tuple(_read_externals(reader, run)),
        audit=_read_audit(reader, run),
        damaged=(*reader.damaged, *_warn_of_unrecorded_metrics(run)),
    )


def _warn_of_unrecorded_metrics(run: RunFolder) -> Iterator[ReportWarning]:
    """Warn where it is not known whether the numbers were edited."""
    with contextlib.suppress(RunFolderError):  # damaged checksums: the reader says so
        if run.metrics.is_file() and compare_checksum(run.metrics) is FileState.UNRECORDED:
            yield ReportWarning(
                "amber",
                "Test results without a checksum",
                "An earlier version wrote them, or their checksum was removed, so it is not known "
                "whether their intervals were altered. The main scores were computed again from "
                "the predictions, where these are there. 'cxresnet evaluate RUN' makes them again; "
                "'cxresnet verify RUN --record-checksums' keeps them.",
            )


def _open_dataset_if_there(run: RunFolder) -> PreparedDataset | None:
    try:
        path = run.read_dataset_path()
    except RunFolderError:
        return None
    return open_dataset(path)


def _read_audit(reader: _Reader, run: RunFolder) -> Scorecard | None:
    path = run.path / AUDIT_NAME / SCORECARD_NAME
    return reader.read("scorecard of the audit", path, lambda path: read_scorecard(path.parent))


def _read_externals(reader: _Reader, run: RunFolder) -> Iterator[ExternalTest]:
    for folder in list_external_folders(run):
        test = reader.read("external test", folder / EXTERNAL_NAME, read_external)
        if test is not None:
            yield test


class _Reader:
    """Reads parts, and notes those that are there but cannot be read."""

    def __init__(self, root: Path) -> None:
        self.damaged: list[ReportWarning] = []
        self._root = root

    def read(self, name: str, path: Path, read: Callable[[Path], Part]) -> Part | None:
        """Read one part; None where it is not there or cannot be read."""
        if not path.exists():
            return None
        try:
            require_unaltered(path, way_out="Run the command again that wrote it.")
            return read(path)
        except (CXResnetError, ValueError, OSError) as error:
            # A message of another library may hold anything. Ours are sentences, but may name
            # folders of this machine, which do not belong on a page that is passed on.
            reason = str(error) if isinstance(error, CXResnetError) else type(error).__name__
            reason = reason.replace(str(self._root), self._root.name)
            self.damaged.append(
                ReportWarning("red", f"The {name} of this run cannot be read", reason)
            )
            return None


def build_dataset_artifacts(dataset: PreparedDataset) -> DatasetArtifacts:
    """Gather what the section about the images needs; the test split stays sealed.

    Raises:
        DatasetError: There is no training split, or a list beside the images is damaged.
    """
    training = None if dataset.record.config.external_test else dataset.select("train")
    return DatasetArtifacts(
        class_names=dataset.class_names,
        manifest=dataset.manifest,
        training=dataset.manifest.iloc[:0] if training is None else training.manifest,
        training_images=[] if training is None else training.images,
        side_px=dataset.preprocessing.side_px,
        counts=dataset.record.images,
        rejected=_read_rejected(dataset.path / "rejected.csv"),
        findings=read_findings(dataset.path),
    )


def _read_rejected(path: Path) -> pd.DataFrame:
    """Read the list of images left out; empty where there is none."""
    empty = pd.DataFrame({"image_id": [], "code": [], "reason": []}, dtype="str")
    if not path.is_file():
        return empty
    frame = pd.read_csv(path, dtype="str", keep_default_na=False)
    return frame.reindex(columns=empty.columns, fill_value="")
