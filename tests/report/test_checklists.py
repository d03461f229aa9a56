"""No item says yes without a file that is there; what is not known says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from cxresnet import DISCLAIMER
from cxresnet.core.config import Config, ModelConfig
from cxresnet.core.run_folder import RunFolder, claim_run_folder
from cxresnet.evaluate.external import ExternalTest, write_external
from cxresnet.evaluate.leave_sources_out import LeaveSourcesOut, write_leave_sources_out
from cxresnet.evaluate.record import Evaluation, write_evaluation
from cxresnet.evaluate.selective import SelectiveResult, write_selective
from cxresnet.explain.record import Attributions, write_attributions
from cxresnet.model.checkpoint import CheckpointRecord, write_checkpoint
from cxresnet.model.presets import build_model
from cxresnet.report.artifacts import read_run_artifacts
from cxresnet.report.checklists.checklist import AnsweredItem, escape_markdown
from cxresnet.report.checklists.documents import (
    CLAIM,
    TRIPOD_AI,
    fill_checklists,
    render_model_card,
    write_checklists,
)
from cxresnet.report.checklists.facts_data import Answer, Evidence, yes
from cxresnet.report.checklists.facts_model import (
    describe_ensembling,
    describe_initial,
    describe_model,
    describe_selection,
    describe_training,
)

Beside = tuple[SelectiveResult, LeaveSourcesOut, ExternalTest]


@pytest.fixture
def empty(tmp_path: Path, dataset_folder: Path) -> RunFolder:
    return claim_run_folder(tmp_path / "my-run", dataset=dataset_folder)


@pytest.fixture
def trained(
    empty: RunFolder, history: pd.DataFrame, checkpoint_record: CheckpointRecord
) -> RunFolder:
    model = build_model(ModelConfig(preset="nano"), class_count=3)
    write_checkpoint(empty.checkpoint, tensors=model.state_dict(), record=checkpoint_record)
    history.to_csv(empty.history, index=False)
    environment = {"versions": {"python": "3.11", "torch": "2.13"}}
    (empty.train / "environment.json").write_text(json.dumps(environment))
    (empty.train / "config.json").write_text(Config().model_dump_json())
    return empty


@pytest.fixture
def finished(
    trained: RunFolder, evaluation: Evaluation, attributions: Attributions, beside: Beside
) -> RunFolder:
    selective, left_out, external = beside
    write_evaluation(trained.metrics, evaluation)
    write_attributions(trained.explain, attributions)
    write_selective(trained.evaluate / "selective.json", selective)
    write_leave_sources_out(trained.evaluate / "leave_sources_out.json", left_out)
    named = external.model_copy(update={"name": "clinic"})
    write_external(trained.path / "evaluate-clinic" / "external.json", named)
    return trained


def _gather(run: RunFolder) -> Evidence:
    return Evidence(read_run_artifacts(run), run.path)


def _list_items(evidence: Evidence) -> Iterator[AnsweredItem]:
    for items in fill_checklists(evidence).values():
        yield from items


def test_the_items_are_those_of_the_published_lists() -> None:
    assert [item.number for item in CLAIM.items] == [str(number) for number in range(1, 45)]
    numbers = [item.number for item in TRIPOD_AI.items]
    assert len(numbers) == len(set(numbers)) == 52
    assert {int(number.rstrip("abcdefg")) for number in numbers} == set(range(1, 28))


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["empty", "trained", "finished"])
def test_no_item_says_yes_without_a_file_that_is_there(
    stage: str, request: pytest.FixtureRequest
) -> None:
    evidence = _gather(request.getfixturevalue(stage))
    for one in _list_items(evidence):
        if one.answer.status == "yes":
            assert one.answer.artefact
            assert evidence.find(one.answer.artefact).exists(), one.item.number
        if one.answer.artefact:
            assert evidence.has(one.answer.artefact)


@pytest.mark.slow
def test_the_further_a_run_the_more_is_known(
    empty: RunFolder, request: pytest.FixtureRequest
) -> None:
    known = []
    for stage in ("empty", "trained", "finished"):
        items = list(_list_items(_gather(request.getfixturevalue(stage))))
        known.append(sum(one.answer.status == "yes" for one in items))
    assert known == sorted(known)
    assert known[0] < known[1] < known[2]


@pytest.mark.slow
def test_an_ensemble_is_described_as_an_ensemble(finished: RunFolder) -> None:
    evidence = _gather(finished)
    record = evidence.artifacts.record
    assert record is not None
    several = record.model_copy(
        update={
            "model": record.model.model_copy(update={"members": 2}),
            "notes": record.notes | {"seeds": [4, 7]},
        }
    )
    joined = Evidence(replace(evidence.artifacts, record=several), finished.path)

    for asked, alone, together in (
        (
            describe_ensembling,
            "from one network and",
            "from the mean of the logits of 2 networks and",
        ),
        (describe_initial, "Random, seed 0;", "Random, seeds 4, 7;"),
        (describe_training, "seed 0;", "seeds 4, 7;"),
        (describe_model, " parameters, one", "an ensemble of 2 networks"),
    ):
        assert alone in asked(evidence).text
        assert together in asked(joined).text


@pytest.mark.slow
def test_images_from_elsewhere_are_named_among_the_aims(finished: RunFolder) -> None:
    evidence = _gather(finished)
    (external,) = evidence.artifacts.externals
    alone = Evidence(replace(evidence.artifacts, externals=()), finished.path)

    def aims(asked: Evidence) -> str:
        return next(one for one in CLAIM.fill(asked) if one.item.number == "4").answer.text

    assert f"tested externally ({external.name})" in aims(evidence)
    assert "externally" not in aims(alone)


@pytest.mark.slow
def test_the_last_row_of_the_ledger_is_told_to_whoever_keeps_the_list(finished: RunFolder) -> None:
    evidence = _gather(finished)
    item = next(one for one in CLAIM.fill(evidence) if one.item.number == "37")
    assert "the test set was accessed 2 times (last row of the access log: ffff" in item.answer.text


@pytest.mark.slow
def test_a_last_epoch_is_not_called_the_best(finished: RunFolder) -> None:
    settings = Config().model_dump()
    settings["train"]["monitor"] = "last"
    (finished.train / "config.json").write_text(json.dumps(settings))
    assert describe_selection(_gather(finished)).text.startswith("The last epoch")


@pytest.mark.slow
def test_what_only_authors_know_is_never_known(finished: RunFolder) -> None:
    answers = {one.item.number: one.answer for one in CLAIM.fill(_gather(finished))}
    for number in ("2", "3", "5", "13", "16", "18", "34", "42", "44"):
        assert answers[number].status == "not known"
    ethics = next(one for one in TRIPOD_AI.fill(_gather(finished)) if one.item.number == "17")
    assert ethics.answer.status == "not known"


@pytest.mark.slow
def test_a_file_that_is_taken_away_takes_its_yes_with_it(finished: RunFolder) -> None:
    evidence = _gather(finished)
    before = [one.answer.artefact for one in _list_items(evidence) if one.answer.status == "yes"]
    assert "evaluate/metrics.json" in before
    finished.metrics.unlink()
    after = [one.answer for one in _list_items(evidence)]
    assert all(answer.artefact != "evaluate/metrics.json" for answer in after)
    assert any(answer.text == "The file that would show it is missing." for answer in after)


def test_a_yes_without_an_artefact_is_not_believed(empty: RunFolder) -> None:
    assert _gather(empty).check(yes("Trust me.", "")).status == "not known"
    assert _gather(empty).check(Answer("partly", "So so.", "gone.json")).artefact == ""


@pytest.mark.slow
def test_patients_in_two_splits_are_a_no(finished: RunFolder) -> None:
    # The images of the fixture pair patients across its splits.
    evidence = _gather(finished)
    dataset = evidence.artifacts.dataset
    assert dataset is not None
    torn = dataset.manifest.groupby("group_id")["split"].nunique().max() > 1
    item = next(one for one in CLAIM.fill(evidence) if one.item.number == "20")
    assert (item.answer.status == "no") == torn


@pytest.mark.slow
def test_the_files_are_written_and_hostile_names_stay_text(finished: RunFolder) -> None:
    paths = write_checklists(_gather(finished), finished.checklists)
    assert [path.name for path in paths] == ["claim.md", "tripod_ai.md", "model_card.md"]
    for path in paths:
        text = path.read_text()
        assert DISCLAIMER in text
        assert "<script>" not in text
        assert "not known" in text.lower()
    for path in paths[:2]:
        rows = [line for line in path.read_text().splitlines() if line.startswith("| ")]
        assert all(line.replace("\\|", "").count("|") == 7 for line in rows)


def test_a_model_card_of_a_run_without_a_network_knows_nothing_of_it(empty: RunFolder) -> None:
    card = render_model_card(_gather(empty))
    assert "- **Not known.** There is no trained model." in card
    assert "- **Not known.** Not evaluated yet." in card
    assert "Scores on the held-out test set" not in card


@pytest.mark.slow
def test_a_model_card_shows_the_gaps_and_says_nothing_twice(finished: RunFolder) -> None:
    evidence = _gather(finished)
    card = render_model_card(evidence)
    table = card.split("## External test")[1].split("## Not known")[0]
    left_out, gaps = table.split("| source | images |")
    tested = evidence.artifacts.left_out.tested
    rows = [line for line in gaps.splitlines() if line.startswith("| ")]
    assert len(rows) == len(tested) + 1
    assert rows[0].startswith(f"| {escape_markdown(tested[0].name)}, left out | ")
    assert all(row.count("|") == 7 for row in rows)
    rows = [line for line in left_out.splitlines() if line.startswith("| ")][1:]
    means = evidence.artifacts.left_out.mean_tasks
    assert len(rows) == sum(len(one.tasks) for one in tested) + len(means)
    assert rows[0].startswith(f"| {escape_markdown(tested[0].name)} | ")
    assert rows[-1].startswith("| mean, 1 set | ")
    assert all(row.replace("\\|", "").count("|") == 7 for row in rows)
    assert "got a wrong definite answer" in left_out
    alone = Evidence(replace(evidence.artifacts, externals=()), finished.path)
    sentence = escape_markdown(evidence.artifacts.left_out.sentence)
    assert render_model_card(alone).count(sentence) == 1
    nowhere = Evidence(replace(evidence.artifacts, externals=(), left_out=None), finished.path)
    assert "## External test" not in render_model_card(nowhere)


def test_markdown_cells_hold_together() -> None:
    assert escape_markdown("a|b\nc <b>") == "a\\|b c &lt;b&gt;"
