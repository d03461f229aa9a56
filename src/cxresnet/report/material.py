"""What a run holds so far, read from its files; what is not there yet is None."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from cxresnet.core.errors import CXResnetError, RunFolderError
from cxresnet.core.files import read_json
from cxresnet.core.finding import FINDINGS_NAME, Finding, read_findings
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset import PreparedDataset, open_dataset
from cxresnet.evaluate.external import (
    EXTERNAL_NAME,
    ExternalTest,
    list_external_folders,
    read_external,
)
from cxresnet.evaluate.left_out_sources import (
    LEAVE_ONE_SOURCE_OUT_NAME,
    LeaveOneSourceOut,
    read_leave_one_source_out,
)
from cxresnet.evaluate.members import MEMBERS_NAME, read_members
from cxresnet.evaluate.record import Evaluation, read_evaluation
from cxresnet.evaluate.selective import SELECTIVE_NAME, SelectiveResult, read_selective
from cxresnet.explain.insights import INSIGHTS_NAME, Insights, read_insights
from cxresnet.explain.record import Attributions, read_attributions
from cxresnet.explain.trust.record import CARD_NAME, TrustCard, read_trust_card
from cxresnet.metrics.spread import Spread
from cxresnet.model.checkpoint import CheckpointRecord, read_model
from cxresnet.model.ensemble import Network
from cxresnet.report.section import Notice
from cxresnet.report.sections.films import FilmMaterial

__all__ = ["RunMaterial", "build_film_material", "read_run_material"]

Part = TypeVar("Part")


@dataclass(frozen=True)
class RunMaterial:
    """Everything that the page is made of.

    Attributes:
        name: Of the run.
        dataset: The prepared films.
        model: The network that validation chose.
        record: What came with its weights.
        history: One row an epoch.
        learning_rates: The sweep for the learning rate, one row a rate.
        members: What each of several networks reaches by itself on the test.
        config: By section and key.
        environment: Of the training, by name.
        evaluation: The numbers.
        attributions: The maps.
        insights: Films in words, films alike, zones class by class.
        trust: What the maps are worth.
        findings: What was asked of the network.
        selective: When it may answer.
        left_out: Each source judged by a network that never saw it.
        externals: Other datasets.
        damaged: One notice for each part that is there but cannot be read.
    """

    name: str
    dataset: PreparedDataset | None = None
    model: Network | None = None
    record: CheckpointRecord | None = None
    history: pd.DataFrame | None = None
    learning_rates: pd.DataFrame | None = None
    members: Mapping[str, Spread] | None = None
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    attributions: Attributions | None = None
    insights: Insights | None = None
    trust: TrustCard | None = None
    findings: tuple[Finding, ...] = ()
    selective: SelectiveResult | None = None
    left_out: LeaveOneSourceOut | None = None
    externals: tuple[ExternalTest, ...] = ()
    damaged: tuple[Notice, ...] = ()


def read_run_material(run: RunFolder) -> RunMaterial:
    """Read all that is there. A half-finished run is no error; neither is a damaged part."""
    reader = _Reader(run.path)
    network = reader.read("network", run.checkpoint, read_model)
    model, record = network if network else (None, None)
    return RunMaterial(
        name=run.path.resolve().name,
        dataset=reader.read("dataset", run.mark, lambda _: _open_dataset_if_there(run)),
        model=model,
        record=record,
        history=reader.read("history", run.history, pd.read_csv),
        learning_rates=reader.read("learning rates", run.learning_rates, pd.read_csv),
        members=reader.read("seeds", run.evaluate / MEMBERS_NAME, read_members),
        config=reader.read("config", run.train / "config.json", read_json) or {},
        environment=reader.read("environment", run.train / "environment.json", read_json) or {},
        evaluation=reader.read("test", run.metrics, read_evaluation),
        attributions=reader.read(
            "explanation", run.explain / "index.json", lambda path: read_attributions(path.parent)
        ),
        insights=reader.read(
            "films in words", run.explain / INSIGHTS_NAME, lambda path: read_insights(path.parent)
        ),
        trust=reader.read(
            "trust card", run.explain / CARD_NAME, lambda path: read_trust_card(path.parent)
        ),
        findings=reader.read(
            "audit", run.audit / FINDINGS_NAME, lambda path: read_findings(path.parent)
        )
        or (),
        selective=reader.read("sets of classes", run.evaluate / SELECTIVE_NAME, read_selective),
        left_out=reader.read(
            "sources left out", run.evaluate / LEAVE_ONE_SOURCE_OUT_NAME, read_leave_one_source_out
        ),
        externals=tuple(_read_externals(reader, run)),
        damaged=tuple(reader.damaged),
    )


def _open_dataset_if_there(run: RunFolder) -> PreparedDataset | None:
    try:
        path = run.read_dataset_path()
    except RunFolderError:
        return None
    return open_dataset(path)


def _read_externals(reader: _Reader, run: RunFolder) -> Iterator[ExternalTest]:
    for folder in list_external_folders(run):
        test = reader.read("external test", folder / EXTERNAL_NAME, read_external)
        if test is not None:
            yield test


class _Reader:
    """Reads parts, and notes those that are there but cannot be read."""

    def __init__(self, root: Path) -> None:
        self.damaged: list[Notice] = []
        self._root = root

    def read(self, name: str, path: Path, read: Callable[[Path], Part]) -> Part | None:
        """Read one part; None where it is not there or cannot be read."""
        if not path.exists():
            return None
        try:
            return read(path)
        except (CXResnetError, ValueError, OSError) as error:
            # A stranger's message may hold anything; ours are sentences, but may name the machine's
            # folders, which are nobody's business where the page goes.
            reason = str(error) if isinstance(error, CXResnetError) else type(error).__name__
            reason = reason.replace(str(self._root), self._root.name)
            self.damaged.append(Notice("red", f"The {name} of this run cannot be read", reason))
            return None


def build_film_material(dataset: PreparedDataset) -> FilmMaterial:
    """Gather what the section about the films needs; the test split stays sealed.

    Raises:
        DatasetError: There is no training split, or a list beside the films is damaged.
    """
    training = None if dataset.record.config.outside else dataset.select("train")
    return FilmMaterial(
        class_names=dataset.class_names,
        manifest=dataset.manifest,
        training=dataset.manifest.iloc[:0] if training is None else training.manifest,
        training_films=[] if training is None else training.films,
        side_px=dataset.preprocessing.side_px,
        rejected=_read_rejected(dataset.path / "rejected.csv"),
        findings=read_findings(dataset.path),
    )


def _read_rejected(path: Path) -> pd.DataFrame:
    """Read the list of films left out; empty where there is none."""
    empty = pd.DataFrame({"image_id": [], "code": [], "reason": []}, dtype="str")
    if not path.is_file():
        return empty
    frame = pd.read_csv(path, dtype="str", keep_default_na=False)
    return frame.reindex(columns=empty.columns, fill_value="")
