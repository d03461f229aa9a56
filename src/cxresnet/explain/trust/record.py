"""The trust card as it is written: `trust_card.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from cxresnet import DISCLAIMER
from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import read_json, write_json
from cxresnet.metrics.estimate import Estimate

__all__ = [
    "CARD_NAME",
    "Knowledge",
    "MethodCard",
    "Step",
    "TestName",
    "TestResult",
    "TrustCard",
    "TrustMeasure",
    "TrustVerdict",
    "read_trust_card",
    "write_trust_card",
]

CARD_NAME = "trust_card.json"

TestName = Literal["weights", "deletion", "insertion", "repeatability", "lungs", "pointing"]
TrustVerdict = Literal["pass", "fail", "not tested"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TrustMeasure(_Record):
    """One number of a test.

    Attributes:
        name: Against what, or by which measure, in words.
        estimate: The number, over films of which no two are of one patient.
        chance: What must be beaten; None where the threshold is the same for all.
    """

    name: str
    estimate: Estimate
    chance: float | None = None


class TestResult(_Record):
    """One test of one method.

    Attributes:
        test: Which.
        verdict: Whether it held.
        sentence: Why, in words, with the number.
        measures: All numbers; the first one decided. Empty where nothing could be measured.
    """

    __test__ = False

    test: TestName
    verdict: TrustVerdict
    sentence: str
    measures: tuple[TrustMeasure, ...] = ()


class Step(_Record):
    """What the maps keep of themselves when the network has unlearned down to a part.

    Attributes:
        part: The part whose weights were shuffled last.
        kept: By measure, "signed", "absolute" and "ssim": 1 is the same map, 0 is no more alike
            than another film's.
    """

    part: str
    kept: dict[str, Estimate]


class MethodCard(_Record):
    """All tests of one method.

    Attributes:
        name: Of the method.
        title: For people.
        trusted: No test failed.
        tests: In the order of `TestName`.
        steps: The cascade of the test "weights", from the head down.
    """

    name: str
    title: str
    trusted: bool
    tests: tuple[TestResult, ...]
    steps: tuple[Step, ...]


class Knowledge(_Record):
    """Whether the network knows anything that a map could be right about.

    Attributes:
        passed: It does.
        macro_auroc: On the films of the test that were asked.
        shuffled_best: The highest of as many copies with shuffled weights.
        copies: How many.
        sentence: In words.
    """

    passed: bool
    macro_auroc: Estimate
    shuffled_best: float | None
    copies: int
    sentence: str


class TrustCard(_Record):
    """`trust_card.json`.

    Attributes:
        format: Version of this file.
        disclaimer: What it must not be used for.
        content: Hash over network, films, config and versions: the same content, the same card.
        network: Hash over the weights that were tested.
        data_verdict: What the training data betray, one sentence; "" if nobody asked.
        films: Films that the maps were tested on, each of another patient.
        masks_found: How many of their lung masks come from the lung finder.
        seed: Of all chance in the tests.
        versions: Of what computed it.
        knowledge: Comes first: without it nothing is passed.
        methods: In the order of the config.
    """

    format: Literal[1] = 1
    disclaimer: str = DISCLAIMER
    content: str
    network: str = ""
    data_verdict: str = ""
    films: int
    masks_found: int
    seed: int
    versions: dict[str, str]
    knowledge: Knowledge
    methods: tuple[MethodCard, ...]

    def is_distrusted(self, method: str) -> bool:
        """Say whether a method failed; one that was not tested did not."""
        return any(card.name == method and not card.trusted for card in self.methods)


def write_trust_card(folder: Path, card: TrustCard) -> Path:
    """Write the card whole or not at all; returns its path.

    Raises:
        StorageError: The folder cannot be written.
    """
    return write_json(folder / CARD_NAME, card.model_dump(mode="json"))


def read_trust_card(folder: Path) -> TrustCard:
    """Read what `write_trust_card` wrote.

    Raises:
        RunFolderError: There is none, or it is damaged or of another version.
    """
    try:
        return TrustCard.model_validate(read_json(folder / CARD_NAME))
    except FileNotFoundError as error:
        raise RunFolderError(
            f"'{folder}' holds no trust card. Make one with 'cxresnet explain RUN --trust-only'."
        ) from error
    except (OSError, ValueError, ValidationError) as error:
        raise RunFolderError(
            f"The trust card in '{folder}' cannot be read ({type(error).__name__}). "
            "Make it again with 'cxresnet explain RUN --trust-only'."
        ) from error
