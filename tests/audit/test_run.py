"""Answers are kept under what they were computed from, no longer, and not computed twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxresnet.audit import run as audit_run
from cxresnet.audit.context import AuditContext, CannotBeTestedError
from cxresnet.audit.open import open_run_audit
from cxresnet.audit.question import Question, QuestionAnswer, list_questions
from cxresnet.audit.run import choose_questions, run_audit
from cxresnet.audit.scorecard import Scorecard, read_scorecard
from cxresnet.core.config import Config
from cxresnet.core.config.audit import AuditConfig
from cxresnet.core.errors import ConfigError, CXResnetError, RunFolderError
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import ImageSet

NAMES = ("leakage", "frame_swap", "external")


class Asked:
    """Questions that write down that they were asked, and answer as they are told to."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.refusals: dict[str, BaseException] = {}
        self.questions = tuple(
            Question(
                name=name,
                number=number,
                title=f"Is it {name}?",
                threshold="Red where it is.",
                next_step="Do it better.",
                cost=1,
                ask=self._build(name),
            )
            for number, name in enumerate(NAMES, start=1)
        )

    def _build(self, name: str) -> Callable[[AuditContext], QuestionAnswer]:
        def ask(context: AuditContext) -> QuestionAnswer:
            self.names.append(name)
            if name in self.refusals:
                raise self.refusals[name]
            picture = (f"{name}-one.png", "What it is.", Image.new("L", (4, 4)))
            return QuestionAnswer("amber", "It may be.", pictures=(picture,))

        return ask

    def collect(self) -> list[str]:
        """Say who was asked since the last time."""
        names, self.names = self.names, []
        return names


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    questions = Asked()
    monkeypatch.setattr(audit_run, "list_questions", lambda: questions.questions)
    return questions


@pytest.fixture
def context(tmp_path: Path) -> AuditContext:
    manifest = pd.DataFrame({"group_id": [0, 0, 1]})
    return AuditContext(
        model=cast("Any", _build_model("one")),
        dataset=cast("Any", SimpleNamespace(path=tmp_path / "data", dataset_hash="abc")),
        test=ImageSet(np.zeros((3, 4, 4), np.uint8), np.zeros(3, np.int64), manifest),
        settings=Config(),
        folder=tmp_path / "run" / "audit",
        run=RunFolder(tmp_path / "run"),
    )


def _build_model(content: str) -> SimpleNamespace:
    return SimpleNamespace(name="mine", content=content, class_names=("normal", "covid-19"))


def _audit(context: AuditContext, *names: str) -> Scorecard:
    return run_audit(context, choose_questions(names))


def test_an_answer_is_kept_and_not_asked_for_twice(asked: Asked, context: AuditContext) -> None:
    first = _audit(context)
    assert asked.collect() == list(NAMES)
    assert _audit(context) == first == read_scorecard(context.folder)
    assert asked.collect() == []
    assert (first.images, first.patients, first.verdict) == (3, 2, "amber")


def test_what_was_answered_before_stays_on_the_scorecard(
    asked: Asked, context: AuditContext
) -> None:
    _audit(context, "external")
    second = _audit(context, "1")
    assert asked.collect() == ["external", "leakage"]
    assert [one.question for one in second.findings] == ["leakage", "external"]


@pytest.mark.parametrize(
    "change",
    [
        {"model": _build_model("two")},
        {"settings": Config(audit=AuditConfig(seed=1))},
        {"dataset": SimpleNamespace(path=Path("data"), dataset_hash="other")},
    ],
    ids=["model", "config", "dataset"],
)
def test_an_answer_about_something_else_is_asked_for_again_and_not_shown(
    asked: Asked, context: AuditContext, change: dict[str, Any]
) -> None:
    _audit(context)
    asked.collect()
    changed = _audit(replace(context, **change), "leakage")
    assert asked.collect() == ["leakage"]
    assert [one.question for one in changed.findings] == ["leakage"]


def test_a_new_evaluation_is_read_again(asked: Asked, context: AuditContext) -> None:
    _audit(context)
    asked.collect()
    (context.folder.parent / "evaluate-other").mkdir()
    (context.folder.parent / "evaluate-other" / "external.json").write_text("{}")
    _audit(context)
    assert asked.collect() == list(NAMES)


def test_an_answer_of_other_code_is_asked_for_again(
    asked: Asked, context: AuditContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    _audit(context)
    asked.collect()
    monkeypatch.setattr(audit_run, "_hash_code", lambda: "changed")
    _audit(context)
    assert asked.collect() == list(NAMES)


def test_a_killed_audit_resumes_where_it_was(asked: Asked, context: AuditContext) -> None:
    asked.refusals["frame_swap"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        _audit(context)
    assert [one.question for one in read_scorecard(context.folder).findings] == ["leakage"]
    asked.refusals.clear()
    asked.collect()
    assert len(_audit(context).findings) == 3
    assert asked.collect() == ["frame_swap", "external"]


@pytest.mark.parametrize("name", ["leakage.json", "leakage-one.png"])
@pytest.mark.parametrize("is_gone", [False, True], ids=["damaged", "gone"])
def test_an_answer_whose_files_are_damaged_is_asked_for_again(
    asked: Asked, context: AuditContext, name: str, is_gone: bool
) -> None:
    _audit(context)
    asked.collect()
    (context.folder / name).unlink()
    if not is_gone:
        (context.folder / name).write_text('{"content": "cut')
    _audit(context)
    assert asked.collect() == ["leakage"]


def test_what_cannot_be_tested_is_on_the_scorecard_with_its_reason(
    asked: Asked, context: AuditContext
) -> None:
    asked.refusals["external"] = CannotBeTestedError("There is one source only.")
    finding = _audit(context).find("external")
    assert finding is not None
    assert (finding.verdict, finding.sentence) == (
        "cannot be tested",
        "There is one source only.",
    )
    assert finding.next_step == ""
    asked.collect()
    _audit(context)
    assert asked.collect() == []


def test_questions_are_chosen_by_name_or_number_and_left_out(asked: Asked) -> None:
    def choose(*only: str, skip: tuple[str, ...] = ()) -> list[str]:
        return [one.name for one in choose_questions(only, skip)]

    assert choose() == list(NAMES)
    assert choose("3", "frame-swap") == ["frame_swap", "external"]
    assert choose(skip=("2",)) == ["leakage", "external"]
    with pytest.raises(
        ConfigError, match=r"no question 'swap'. It has: 1 leakage, 2 frame_swap, 3"
    ):
        choose("swap")
    with pytest.raises(ConfigError, match="No question is left"):
        choose("1", skip=("leakage",))


@pytest.mark.slow
def test_a_run_that_was_passed_on_without_its_dataset_is_audited_on_another(tmp_path: Path) -> None:
    bundled = files("cxresnet") / "predict" / "bundled_network"
    shutil.copytree(str(bundled), tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    with pytest.raises(RunFolderError, match="The dataset of the run"):
        open_run_audit(run, config=Config())
    with pytest.raises(CXResnetError, match="nowhere"):
        open_run_audit(run, config=Config(), dataset=tmp_path / "nowhere")


def test_every_question_has_its_own_number_and_says_what_its_lights_mean() -> None:
    questions = list_questions()
    numbers = [one.number for one in questions]
    assert numbers == sorted(set(numbers))
    for one in questions:
        assert one.title.endswith("?"), one.name
        assert one.threshold.endswith("."), one.name
        assert one.next_step.endswith("."), one.name
