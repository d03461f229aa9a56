from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import torch

from cxresnet.audit.scorecard import Scorecard
from cxresnet.core.config import ModelConfig
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.data.dataset.dataset_record import ImageCounts
from cxresnet.evaluate.leave_sources_out import LeaveSourcesOut
from cxresnet.evaluate.record import Evaluation
from cxresnet.evaluate.selective import SelectiveResult
from cxresnet.explain.sanity.record import SanityCard
from cxresnet.model.checkpoint import CheckpointRecord
from cxresnet.model.presets import build_model
from cxresnet.report.artifacts import DatasetArtifacts, RunArtifacts
from cxresnet.report.overview import list_overview
from cxresnet.report.section import ReportWarning


def _tell(artifacts: RunArtifacts) -> tuple[str, list[str]]:
    lines = list(list_overview(artifacts))
    return " ".join(" ".join(lines).split()), lines


def test_a_whole_run_is_told_in_twenty_lines_of_eighty_columns(  # noqa: PLR0917  fixtures
    dataset_artifacts: DatasetArtifacts,
    evaluation: Evaluation,
    selective: SelectiveResult,
    sanity_card: SanityCard,
    left_out: LeaveSourcesOut,
    scorecard: Scorecard,
    history: pd.DataFrame,
    checkpoint_record: CheckpointRecord,
    tmp_path: Path,
) -> None:
    (tmp_path / "report.html").touch()
    with torch.random.fork_rng():
        model = build_model(ModelConfig(stem_width=4, widths=(4,), depths=(1,)), class_count=3)
    told, lines = _tell(
        RunArtifacts(
            name="r",
            folder=tmp_path,
            dataset_artifacts=dataset_artifacts,
            evaluation=evaluation,
            selective=selective,
            sanity=sanity_card,
            left_out=left_out,
            audit=scorecard,
            history=history,
            record=checkpoint_record,
            model=model,
        )
    )
    assert len(lines) <= 22
    assert max(len(line) for line in lines if "report.html" not in line) <= 80
    assert "Images 12 images of 3 sources, 3 known patients; 5 left out: 3 rejected" in told
    assert "(rejected.csv), 2 with conflicting labels (conflicts.csv)" in told
    assert "3 epochs in 1 min 15 s, of which epoch 1 is used" in told
    assert "balanced accuracy 0.800 (0.700–0.900), macro AUROC 0.800" in told
    assert "95% intervals" in told
    assert "calibration error 0.800" in told
    assert "Audit red. The decision follows the lungs in 9 % of swaps." in told
    assert "sources left out: macro AUROC" in told
    assert "sanity checks passed by no method; failed by" in told
    assert f"Report {tmp_path}/report.html" in told
    assert "yet" not in told


def test_one_source_is_not_several_and_nothing_left_out_needs_no_reason(
    dataset_artifacts: DatasetArtifacts, dataset_folder: Path
) -> None:
    manifest = dataset_artifacts.manifest.assign(source="one", patient_id="p1")
    counts = ImageCounts(scanned=12, rejected=0, conflicting=0, kept=12)
    data = dataclasses.replace(dataset_artifacts, manifest=manifest, counts=counts)
    told, lines = _tell(
        RunArtifacts(name="r", dataset=open_dataset(dataset_folder), dataset_artifacts=data)
    )
    assert lines[0] == f"Dataset   {dataset_folder}"
    assert "Images 12 images of 1 source, 1 known patient; 0 left out Classes" in told


def test_what_was_not_done_yet_is_said_with_the_command() -> None:
    told, lines = _tell(RunArtifacts(name="runs/mine"))
    assert len(lines) <= 16
    for command in (
        "cxresnet train DATASET --out runs/mine",
        "not evaluated yet: cxresnet evaluate runs/mine",
        "not tested yet: cxresnet evaluate runs/mine --leave-sources-out",
        "not explained yet: cxresnet explain runs/mine",
        "not written yet: cxresnet report runs/mine",
    ):
        assert command in told
    assert "0 red, 0 amber, 0 green" in told


def test_red_findings_and_unreadable_parts_are_named(
    evaluation: Evaluation, dataset_artifacts: DatasetArtifacts
) -> None:
    damaged = (ReportWarning("red", "The history of this run cannot be read", "It is cut off."),)
    (flag,) = evaluation.red_flags
    told, _ = _tell(
        RunArtifacts(
            name="r",
            evaluation=evaluation,
            damaged=damaged,
            dataset_artifacts=dataclasses.replace(dataset_artifacts, findings=()),
        )
    )
    assert flag.title.startswith("Perfect")
    assert "2 red, 0 amber, 0 green. Red: The history of this run cannot be read; Perfect" in told


def test_on_drawings_a_perfect_score_is_no_red_flag(
    evaluation: Evaluation, dataset_artifacts: DatasetArtifacts
) -> None:
    drawn = dataset_artifacts.manifest.assign(source="phantom-a")
    data = dataclasses.replace(dataset_artifacts, manifest=drawn, findings=())
    told, _ = _tell(RunArtifacts(name="r", evaluation=evaluation, dataset_artifacts=data))
    assert "0 red" in told
