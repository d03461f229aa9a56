"""Ask all questions; an answer is kept under what it was computed from, and not computed twice."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cxresnet import __version__
from cxresnet.audit.context import AuditContext, CannotBeTestedError
from cxresnet.audit.pictures import encode_picture
from cxresnet.audit.question import (
    Question,
    QuestionAnswer,
    build_finding,
    list_questions,
)
from cxresnet.audit.scorecard import (
    Scorecard,
    choose_verdict,
    describe_headline,
    describe_reason,
    write_scorecard,
)
from cxresnet.core.errors import ConfigError, CXResnetError
from cxresnet.core.files import compute_sha256, write_bytes
from cxresnet.core.finding import Finding
from cxresnet.core.record import Record, read_record, write_record
from cxresnet.explain.context import list_versions

_logger = logging.getLogger(__name__)

NOT_THE_MODEL = (
    "Measured with a small network of ours, trained on this dataset, not with the model itself."
)
"""Stands at the end of what a question that trains found out about somebody else's model."""


class KeptAnswer(Record):
    """`NAME.json`: the answer to one question.

    Attributes:
        content: SHA-256 of what it was computed from.
        finding: The answer.
        seconds: How long it took.
        pictures: From the name of each of its pictures to their SHA-256.
    """

    content: str
    finding: Finding
    seconds: float
    pictures: dict[str, str]


def choose_questions(only: Sequence[str] = (), skip: Sequence[str] = ()) -> tuple[Question, ...]:
    """Choose questions by name or number.

    Raises:
        ConfigError: There is no such question, or none is left.
    """
    questions = list_questions()
    known = {str(key): one for one in questions for key in (one.name, one.number)}
    for name in (*only, *skip):
        if name.replace("-", "_") not in known:
            names = ", ".join(f"{one.number} {one.name}" for one in questions)
            raise ConfigError(f"The audit has no question '{name}'. It has: {names}.")
    wanted = {known[name.replace("-", "_")].name for name in only} or {
        one.name for one in questions
    }
    left = wanted - {known[name.replace("-", "_")].name for name in skip}
    if not left:
        raise ConfigError("No question is left: --skip leaves out all that --only names.")
    return tuple(one for one in questions if one.name in left)


def run_audit(context: AuditContext, questions: Sequence[Question]) -> Scorecard:
    """Ask the questions, and write each answer and the scorecard.

    Answers to other questions that an earlier call kept stay on the scorecard where they are of
    the same model and images.

    Args:
        context: The model, its images, and the folder.
        questions: From `choose_questions`.

    Raises:
        StorageError: The folder cannot be written.
    """
    context.folder.mkdir(parents=True, exist_ok=True)
    clock = _Clock(questions)
    try:
        for question in questions:
            is_kept = _find_kept(context, question) is not None
            clock.begin(question, is_kept=is_kept)
            if not is_kept:
                _ask(context, question)
    except BaseException:  # also Ctrl-C: what was answered belongs on the scorecard
        with contextlib.suppress(CXResnetError):
            _write_kept(context)
        raise
    return _write_kept(context)


def _write_kept(context: AuditContext) -> Scorecard:
    """Write the scorecard of all answers that are kept."""
    findings = []
    for question in list_questions():
        kept = _find_kept(context, question)
        if kept is not None:
            findings.append(kept.finding)
        elif _get_path(context, question).is_file():
            _logger.warning(
                "The earlier answer to question %s (%s) is of another model, config or version, or "
                "not whole, and is left out. Ask it again.",
                question.number,
                question.name,
            )
    scorecard = Scorecard(
        model=context.model.name,
        dataset=context.dataset.path.resolve().name,
        dataset_hash=context.dataset.dataset_hash,
        images=len(context.test),
        patients=len(set(context.groups.tolist())),
        verdict=choose_verdict(findings),
        headline=describe_headline(findings),
        reason=describe_reason(findings),
        findings=tuple(findings),
        seed=context.config.seed,
        versions=list_versions(),
    )
    if findings:
        write_scorecard(context.folder, scorecard)
    return scorecard


def _ask(context: AuditContext, question: Question) -> KeptAnswer:
    started = time.monotonic()
    answer = _answer(context, question)
    pictures = {name: encode_picture(picture) for name, _, picture in answer.pictures}
    for name, encoded in pictures.items():
        write_bytes(context.folder / name, encoded)
    kept = KeptAnswer(
        content=_compute_content(context, question),
        finding=build_finding(question, answer),
        seconds=time.monotonic() - started,
        pictures={name: hashlib.sha256(encoded).hexdigest() for name, encoded in pictures.items()},
    )
    write_record(_get_path(context, question), kept)
    return kept


def _answer(context: AuditContext, question: Question) -> QuestionAnswer:
    """Ask; the answer of small networks of ours does not pass for one of somebody else's model."""
    try:
        answer = question.ask(context)
    except CannotBeTestedError as reason:
        return QuestionAnswer("cannot be tested", str(reason))
    if question.trains and context.model.predictor is None:
        return replace(answer, sentence=f"{answer.sentence} {NOT_THE_MODEL}")
    return answer


def _find_kept(context: AuditContext, question: Question) -> KeptAnswer | None:
    """Find the answer of an earlier call; None where it is of something else, or not whole."""
    path = _get_path(context, question)
    if not path.is_file():
        return None
    try:
        kept = read_record(path, KeptAnswer, command="cxresnet audit RUN")
    except CXResnetError:
        return None
    is_whole = all(
        (context.folder / name).is_file() and compute_sha256(context.folder / name) == expected
        for name, expected in kept.pictures.items()
    )
    return kept if is_whole and kept.content == _compute_content(context, question) else None


def _get_path(context: AuditContext, question: Question) -> Path:
    return context.folder / f"{question.name}.json"


def _compute_content(context: AuditContext, question: Question) -> str:
    """Compute the SHA-256 of all that an answer depends on."""
    facts = {
        "question": question.name,
        "model": context.model.content,
        "classes": list(context.class_names),
        "dataset": context.dataset.dataset_hash,
        "config": context.settings.model_dump(mode="json"),
        "read": _hash_read_files(context),
        "version": __version__,
        "code": _hash_code(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@functools.cache
def _hash_code() -> str:
    """Hash the code of the audit: whoever changes a question wants it asked again."""
    room = Path(__file__).parent
    texts = [path.read_bytes() for path in sorted(room.rglob("*.py"))]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def _hash_read_files(context: AuditContext) -> dict[str, str]:
    """Hash the records of the run that some questions read: they change as the run goes on."""
    if context.run is None:
        return {}
    folder = context.run.path
    paths = [
        *sorted(folder.glob("evaluate*/*.json")),
        *sorted(folder.glob("explain/*.json")),
        *sorted(folder.glob("train/cross_validation.json")),
    ]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


class _Clock:
    """Says which question is asked, and about how long the others take."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self._questions = list(questions)
        self._started = time.monotonic()
        self._done = 0.0

    def begin(self, question: Question, *, is_kept: bool) -> None:
        number = self._questions.index(question)
        rest = sum(one.cost for one in self._questions[number:])
        seconds = time.monotonic() - self._started
        left = f" (about {_round_up(rest * seconds / self._done)} left)" if self._done > 5 else ""
        kept = " (kept from before)" if is_kept else ""
        _logger.info(
            "Question %s (%s of %s): %s%s%s",
            question.number,
            number + 1,
            len(self._questions),
            question.title,
            kept,
            "" if is_kept else left,
        )
        if not is_kept:
            self._done += question.cost


def _round_up(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} {'minute' if minutes == 1 else 'minutes'}"
