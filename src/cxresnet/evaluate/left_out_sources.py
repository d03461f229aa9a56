"""What leaving each source out has shown: `leave_one_source_out.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cxresnet import DISCLAIMER
from cxresnet.core.files import write_json
from cxresnet.evaluate.gap import choose_headline_score
from cxresnet.evaluate.results import GapScore, Record, read_record

__all__ = [
    "LEAVE_ONE_SOURCE_OUT_NAME",
    "LeaveOneSourceOut",
    "LeftOutSource",
    "read_leave_one_source_out",
    "write_leave_one_source_out",
]

LEAVE_ONE_SOURCE_OUT_NAME = "leave_one_source_out.json"
"""Name of the file in `RUN/evaluate`."""


class LeftOutSource(Record):
    """One source.

    Attributes:
        source: Its name.
        films: Of it, in all splits; all are judged where it can be tested.
        patients: Independent groups among them.
        classes: Classes of its films.
        compared: Of these, those that the other sources have too; only these are compared.
        reason: Why it cannot be tested, one sentence; "" where it was.
        internal_films: Test films of the other sources, of the classes compared.
        external_films: Films of the source, of the classes compared.
        scores: Internal (test films of the other sources), external (the source) and gap, of the
            network that never saw the source; empty where it cannot be tested.
        sentence: What that means, in plain words.
    """

    source: str
    films: int
    patients: int
    classes: tuple[str, ...]
    compared: tuple[str, ...]
    reason: str
    internal_films: int
    external_films: int
    scores: tuple[GapScore, ...]
    sentence: str


class LeaveOneSourceOut(Record):
    """`leave_one_source_out.json`.

    Attributes:
        format: Version of this file.
        disclaimer: Stands on every output.
        dataset_hash: Of the films.
        class_names: In order.
        sources: One a source, by name.
        mean: Mean over the sources that were tested; empty for fewer than two of them.
        sentence: What all of it means, in plain words.
        seed: Of the bootstrap.
        resamples: Times the groups were drawn again.
        confidence: Coverage aimed at by every interval.
    """

    format: Literal[1] = 1
    disclaimer: str = DISCLAIMER
    dataset_hash: str
    class_names: tuple[str, ...]
    sources: tuple[LeftOutSource, ...]
    mean: tuple[GapScore, ...]
    sentence: str
    seed: int
    resamples: int
    confidence: float

    @property
    def headline(self) -> GapScore | None:
        """The score that stands for the whole; None where no source was tested."""
        tested = [one for one in self.sources if one.scores]
        if self.mean:
            return choose_headline_score(self.mean)
        return choose_headline_score(tested[0].scores) if tested else None


def write_leave_one_source_out(path: Path, result: LeaveOneSourceOut) -> Path:
    """Write `leave_one_source_out.json` whole or not at all; returns the path."""
    return write_json(path, result.model_dump(mode="json"))


def read_leave_one_source_out(path: Path) -> LeaveOneSourceOut:
    """Read `leave_one_source_out.json`.

    Raises:
        RunFolderError: It is missing, or not of this version.
    """
    return read_record(
        path, LeaveOneSourceOut, command="cxresnet evaluate RUN --leave-one-source-out"
    )
