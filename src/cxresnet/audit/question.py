"""What a question of the audit is: one function, registered where it is defined.

A question stands in a file of `audit/questions` that nothing else has to be told about:

    @register_question("invariance", number=7, title="Do harmless changes change the answer?", ...)
    def answer_invariance(context: AuditContext) -> QuestionAnswer: ...

It raises `CannotBeTestedError` (`context.py`) where the images or the model do not allow an answer.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from PIL import Image

from cxresnet.audit.context import AuditContext
from cxresnet.core.finding import VERDICTS, Finding, Measure, Picture, Verdict
from cxresnet.metrics.estimate import Estimate


@dataclass(frozen=True)
class QuestionAnswer:
    """The answer to one question, before it is written.

    Attributes:
        verdict: Green, amber or red; "cannot be tested" with the reason and the way out as its
            sentence.
        sentence: What was found, and what it means, in plain words.
        measures: The numbers behind it.
        pictures: From file name (PNG) to caption and picture.
        next_step: What to do about it; "" takes the question's.
    """

    verdict: Verdict
    sentence: str
    measures: tuple[Measure, ...] = ()
    pictures: tuple[tuple[str, str, Image.Image], ...] = ()
    next_step: str = ""


Ask = Callable[[AuditContext], QuestionAnswer]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of the audit.

    Attributes:
        name: Stable short name, for `--only` and as name of its file.
        number: Its place on the scorecard.
        title: The question, for people.
        threshold: From where on it is amber or red, and why.
        next_step: What to do where it is not green.
        cost: How long it takes beside the others, 1 for a look at a table; for the time left.
        trains: Whether it measures small networks of ours that it trains on the dataset, and not
            the model itself.
        ask: Answers it.
    """

    name: str
    number: int
    title: str
    threshold: str
    next_step: str
    cost: float
    trains: bool = False
    ask: Ask


_QUESTIONS: dict[str, Question] = {}


def register_question(
    name: str,
    *,
    number: int,
    title: str,
    threshold: str,
    next_step: str,
    cost: float = 1.0,
    trains: bool = False,
) -> Callable[[Ask], Ask]:
    """Register the decorated function as what answers a question; see `Question`."""

    def register(ask: Ask) -> Ask:
        _QUESTIONS[name] = Question(
            name=name,
            number=number,
            title=title,
            threshold=threshold,
            next_step=next_step,
            cost=cost,
            trains=trains,
            ask=ask,
        )
        return ask

    return register


def list_questions() -> tuple[Question, ...]:
    """List all questions in the order of the scorecard; their files are imported once."""
    package = importlib.import_module("cxresnet.audit.questions")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    return tuple(sorted(_QUESTIONS.values(), key=lambda question: question.number))


def build_finding(question: Question, answer: QuestionAnswer) -> Finding:
    """Build what is written of an answer."""
    return Finding(
        question=question.name,
        number=question.number,
        title=question.title,
        verdict=answer.verdict,
        sentence=answer.sentence,
        measures=answer.measures,
        threshold=question.threshold,
        next_step=""
        if answer.verdict in {"green", "cannot be tested"}
        else answer.next_step or question.next_step,
        pictures=tuple(Picture(name=name, caption=caption) for name, caption, _ in answer.pictures),
    )


def build_measure(name: str, estimate: Estimate, *, note: str = "") -> Measure:
    """Build a measure from an estimate."""
    return Measure(
        name=name,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        note=note or estimate.reason,
    )


def find_worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Find the worst of some verdicts; green where there is none.

    >>> find_worst(["green", "red", "amber"])
    'red'
    """
    return max(verdicts, key=VERDICTS.index, default="green")
