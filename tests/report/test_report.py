"""The page about the images alone."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from cxresnet import DISCLAIMER
from cxresnet.audit.scorecard import Scorecard, write_scorecard
from cxresnet.core.config import ModelConfig
from cxresnet.core.errors import DatasetError
from cxresnet.core.finding import Finding, Measure, write_findings
from cxresnet.core.run_folder import RunFolder, claim_run_folder
from cxresnet.evaluate.external import ExternalTest, write_external
from cxresnet.evaluate.leave_sources_out import LeaveSourcesOut, write_leave_sources_out
from cxresnet.evaluate.record import Evaluation, write_evaluation
from cxresnet.evaluate.selective import SelectiveResult, write_selective
from cxresnet.explain.record import Attributions, write_attributions
from cxresnet.explain.sanity.record import SanityCard, write_sanity_card
from cxresnet.model.checkpoint import CheckpointRecord, write_checkpoint
from cxresnet.model.presets import build_model
from cxresnet.report.report import run_report, write_data_report


@pytest.mark.slow
def test_it_counts_shows_and_warns(dataset_folder: Path, tmp_path: Path) -> None:
    path = write_data_report(dataset_folder, tmp_path / "data.html")
    html = path.read_text()
    for text in (
        "Class covid-19 has sources of its own",
        "Unknown patients",
        "Images by class and split",
        "The files before preprocessing",
        "Near-duplicates",
        "blank",
        "<dd>3: 1 rejected, 2 with conflicting labels</dd>",
        "They are listed in conflicts.csv.",
        DISCLAIMER,
    ):
        assert text in html
    assert "<script" not in html


@pytest.mark.slow
def test_the_findings_of_the_dataset_stand_at_the_top_with_evidence(
    dataset_folder: Path, tmp_path: Path
) -> None:
    finding = Finding(
        question="source_confounding",
        title="Can the source predict the class?",
        verdict="red",
        sentence="It does.",
        measures=(Measure(name="Cramér's V", value=0.875, n=12),),
    )
    write_findings(dataset_folder, (finding,))
    html = write_data_report(dataset_folder, tmp_path / "data.html").read_text()
    assert html.index("Can the source predict the class?") < html.index("Images by class and split")
    assert "0.875" in html


@pytest.mark.slow
def test_the_test_split_stays_sealed(dataset_folder: Path, tmp_path: Path) -> None:
    write_data_report(dataset_folder, tmp_path / "data.html")
    assert not (dataset_folder / "test_openings.csv").exists()


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cxresnet prepare"):
        write_data_report(tmp_path, tmp_path / "data.html")


# A report can be made from a run at any point, and stays small.


@pytest.fixture
def run(tmp_path: Path, dataset_folder: Path) -> RunFolder:
    return claim_run_folder(tmp_path / "my-run", dataset=dataset_folder)


def _train(run: RunFolder, history: pd.DataFrame, record: CheckpointRecord) -> None:
    model = build_model(ModelConfig(preset="nano"), class_count=3)
    write_checkpoint(run.checkpoint, tensors=model.state_dict(), record=record)
    history.to_csv(run.history, index=False)
    (run.train / "environment.json").write_text(json.dumps({"python": "3.11"}))


@pytest.mark.slow
def test_of_a_run_that_is_only_claimed_the_images_are_shown(run: RunFolder) -> None:
    path = run_report(run)
    html = path.read_text()
    assert path == run.report
    assert html.count('class="missing"') == 11
    assert "Images by class and split" in html
    assert DISCLAIMER in html


@pytest.mark.slow
def test_of_a_finished_run_nothing_is_missing(  # noqa: PLR0917  fixtures
    run: RunFolder,
    history: pd.DataFrame,
    checkpoint_record: CheckpointRecord,
    evaluation: Evaluation,
    attributions: Attributions,
    sanity_card: SanityCard,
    scorecard: Scorecard,
    beside: tuple[SelectiveResult, LeaveSourcesOut, ExternalTest],
) -> None:
    _train(run, history, checkpoint_record)
    write_scorecard(run.path / "audit", scorecard)
    write_evaluation(run.metrics, evaluation)
    write_attributions(run.explain, attributions)
    write_sanity_card(run.explain, sanity_card)
    selective, left_out, external = beside
    write_selective(run.evaluate / "selective.json", selective)
    write_leave_sources_out(run.evaluate / "leave_sources_out.json", left_out)
    write_external(run.path / "evaluate-clinic" / "external.json", external)
    html = run_report(run).read_text()
    assert 'class="missing"' not in html
    for anchor in (
        "data",
        "architecture",
        "training",
        "test",
        "external",
        "abstention",
        "explanation",
        "sanity",
        "gallery",
        "appendix",
        "checklists",
    ):
        assert f'<section id="{anchor}"' in html
    assert "Validation images chose epoch 1" in html
    assert "<script" not in html
    assert len(html) < 5_000_000


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(
    run: RunFolder, history: pd.DataFrame, checkpoint_record: CheckpointRecord
) -> None:
    _train(run, history, checkpoint_record)
    assert run_report(run).read_bytes() == run_report(run).read_bytes()


@pytest.mark.slow
def test_a_damaged_part_is_said_in_red_and_the_rest_is_shown(
    run: RunFolder, evaluation: Evaluation, tmp_path: Path
) -> None:
    write_evaluation(run.metrics, evaluation)
    run.metrics.write_text(run.metrics.read_text()[:500])
    html = run_report(run).read_text()
    assert "The test of this run cannot be read" in html
    assert "Images by class and split" in html
    assert str(tmp_path) not in html


def test_a_dataset_that_is_gone_is_missing_not_damaged(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "dataset").rename(tmp_path / "external")
    html = run_report(run).read_text()
    assert "is not there any more" in html
    assert "cannot be read" not in html


@pytest.mark.slow
def test_the_test_split_stays_sealed_of_report(run: RunFolder, dataset_folder: Path) -> None:
    run_report(run)
    assert not (dataset_folder / "test_openings.csv").exists()
