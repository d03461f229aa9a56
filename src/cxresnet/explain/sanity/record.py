"""The sanity card on disk: the results of all sanity checks in `sanity_card.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cxresnet import DISCLAIMER
from cxresnet.core.record import Record, read_record, write_record
from cxresnet.metrics.estimate import Estimate

CARD_NAME = "sanity_card.json"

SanityVerdict = Literal["pass", "fail", "not tested"]


class SanityMeasure(Record):
    """One number of a test.

    Attributes:
        name: The reference or the measure, in words.
        estimate: The number, over images of which no two are of one patient.
        chance: The chance level that must be exceeded; None where the threshold is fixed.
    """

    name: str
    estimate: Estimate
    chance: float | None = None


class TestResult(Record):
    """One test of one method.

    Attributes:
        test: Name of the sanity check.
        verdict: Whether it was passed.
        sentence: Why, in words, with the deciding number.
        measures: All numbers; the first one decides. Empty where nothing could be measured.
    """

    __test__ = False

    test: str
    verdict: SanityVerdict
    sentence: str
    measures: tuple[SanityMeasure, ...] = ()


class CascadeStep(Record):
    """The similarity that maps retain when the weights down to a part are randomised.

    Attributes:
        part: The part whose weights were randomised last.
        similarity_retained: By measure, "signed", "absolute" and "ssim": 1 is the same map, 0 is no
            more similar than the map of another image.
    """

    part: str
    similarity_retained: dict[str, Estimate]


class MethodCard(Record):
    """All tests of one method.

    Attributes:
        name: Of the method.
        title: Shown to readers.
        passed: No test failed.
        tests: In the order of `list_checks`.
        steps: The cascade of weight randomisation, from the head down.
    """

    name: str
    title: str
    passed: bool
    tests: tuple[TestResult, ...]
    steps: tuple[CascadeStep, ...]


class AboveChance(Record):
    """Whether the network beats chance; otherwise attribution maps are not meaningful.

    Attributes:
        passed: It does.
        macro_auroc: On a sample of the test images.
        randomized_best: The highest macro AUROC of the models with randomised weights.
        randomized_models: How many there are.
        sentence: In words.
    """

    passed: bool
    macro_auroc: Estimate
    randomized_best: float | None
    randomized_models: int
    sentence: str


class SanityCard(Record):
    """`sanity_card.json`.

    Attributes:
        format: Version of this file.
        disclaimer: What it must not be used for.
        content: Hash over network, images, config and versions: the same content, the same card.
        network: Hash over the weights that were tested.
        data_verdict: What the audit found in the training data, one sentence; "" if it was not run.
        images: Images that the maps were tested on, each of another patient.
        masks_found: How many of their lung masks come from the lung finder.
        seed: Of all random draws in the tests.
        versions: Of the software that computed it.
        above_chance: Comes first: where it fails, every test fails.
        methods: In the order of the config.
    """

    format: Literal[2] = 2
    disclaimer: str = DISCLAIMER
    content: str
    network: str = ""
    data_verdict: str = ""
    images: int
    masks_found: int
    seed: int
    versions: dict[str, str]
    above_chance: AboveChance
    methods: tuple[MethodCard, ...]

    def has_failed(self, method: str) -> bool:
        """Say whether a method failed; one that was not tested did not fail."""
        return self.find_verdict(method) is False

    def find_verdict(self, method: str) -> bool | None:
        """Find whether a method passed; None where it was not tested."""
        return next((card.passed for card in self.methods if card.name == method), None)


def write_sanity_card(folder: Path, card: SanityCard) -> Path:
    """Write the card whole or not at all; returns its path.

    Raises:
        StorageError: The folder cannot be written.
    """
    return write_record(folder / CARD_NAME, card)


def read_sanity_card(folder: Path) -> SanityCard:
    """Read what `write_sanity_card` wrote.

    Raises:
        RunFolderError: It is missing, damaged or of another version.
    """
    return read_record(
        folder / CARD_NAME, SanityCard, command="cxresnet explain RUN --sanity-checks-only"
    )
