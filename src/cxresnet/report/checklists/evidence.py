"""What a checklist may answer with: the run's own files, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxresnet.report.material import RunMaterial

__all__ = ["Answer", "Evidence", "Status", "not_known", "partly", "yes"]

Status = Literal["yes", "partly", "no", "not known"]


@dataclass(frozen=True)
class Answer:
    """The answer to one item.

    Attributes:
        status: "yes" only beside an artefact that is there.
        text: What is known, one or two sentences.
        artefact: The file that shows it, relative to the run; "" where there is none.
    """

    status: Status
    text: str
    artefact: str = ""


@dataclass(frozen=True)
class Evidence:
    """A run with its files.

    Attributes:
        material: What the files say.
        run: The folder of the run.
    """

    material: RunMaterial
    run: Path

    def has(self, artefact: str) -> bool:
        """Say whether a file is there; artefacts that begin with "dataset/" lie in the dataset."""
        return self.find(artefact).exists()

    def find(self, artefact: str) -> Path:
        """Find the place of an artefact."""
        dataset = self.material.dataset
        if artefact.startswith("dataset/") and dataset is not None:
            return dataset.path / artefact.removeprefix("dataset/")
        return self.run / artefact

    def check(self, answer: Answer) -> Answer:
        """Take back an answer whose artefact is not there: then nobody can look it up."""
        if answer.status == "not known":
            return answer
        if answer.artefact and self.has(answer.artefact):
            return answer
        if answer.status == "yes":
            return not_known("The file that would show it is not there.")
        return Answer(answer.status, answer.text)


def yes(text: str, artefact: str) -> Answer:
    """Say that an item is answered by an artefact."""
    return Answer("yes", text, artefact)


def partly(text: str, artefact: str = "") -> Answer:
    """Say what is known of an item, and what is not."""
    return Answer("partly", text, artefact)


def not_known(text: str = "") -> Answer:
    """Say that no file of the run answers an item; `text` says who could."""
    return Answer("not known", text)
