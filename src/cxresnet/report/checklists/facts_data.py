"""Answers about images, patients, labels and splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxresnet.report.artifacts import RunArtifacts

# What a checklist may answer with: the run's own files, and nothing else.


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
        artifacts: What the files say.
        run: The folder of the run.
    """

    artifacts: RunArtifacts
    run: Path

    def has(self, artefact: str) -> bool:
        """Check whether a file exists; artefacts beginning with "dataset/" are in the dataset."""
        return self.find(artefact).exists()

    def find(self, artefact: str) -> Path:
        """Find the place of an artefact."""
        dataset = self.artifacts.dataset
        if artefact.startswith("dataset/") and dataset is not None:
            return dataset.path / artefact.removeprefix("dataset/")
        return self.run / artefact

    def check(self, answer: Answer) -> Answer:
        """Take back an answer whose artefact is missing, because it cannot be verified."""
        if answer.status == "not known":
            return answer
        if answer.artefact and self.has(answer.artefact):
            return answer
        if answer.status == "yes":
            return not_known("The file that would show it is missing.")
        return Answer(answer.status, answer.text)


def yes(text: str, artefact: str) -> Answer:
    """Build the answer that an artefact shows."""
    return Answer("yes", text, artefact)


def partly(text: str, artefact: str = "") -> Answer:
    """Build the answer to an item that is known only in part."""
    return Answer("partly", text, artefact)


def not_known(text: str = "") -> Answer:
    """Build the answer to an item that no file of the run shows; `text` names who could."""
    return Answer("not known", text)


_RECORD = "dataset/dataset.json"
_MANIFEST = "dataset/manifest.csv"
_NOTHING = "The prepared dataset is missing."


def describe_sources(evidence: Evidence) -> Answer:
    """State where the images come from."""
    dataset = evidence.artifacts.dataset
    if dataset is None:
        return not_known(_NOTHING)
    counts = dataset.manifest["source"].value_counts()
    listed = ", ".join(f"{name or 'unnamed'} ({count} images)" for name, count in counts.items())
    return partly(
        f"Sources by name and size: {listed}. Why they were chosen, and where and when the images "
        "were taken, is not recorded.",
        _RECORD,
    )


def describe_eligibility(evidence: Evidence) -> Answer:
    """Name the eligibility criteria of the images."""
    dataset = evidence.artifacts.dataset
    if dataset is None:
        return not_known(_NOTHING)
    images = dataset.record.images
    return partly(
        f"Of {images.scanned} images found, {images.rejected} could not be used and "
        f"{images.conflicting} had conflicting labels. Which patients were eligible before that is "
        "not recorded.",
        "dataset/rejected.csv",
    )


def describe_preparation(evidence: Evidence) -> Answer:
    """Describe the preprocessing."""
    dataset = evidence.artifacts.dataset
    if dataset is None:
        return not_known(_NOTHING)
    preprocessing = dataset.preprocessing
    return yes(
        "One preprocessing pipeline for every image of every class: resize mode "
        f"{preprocessing.resize_mode}, a common {preprocessing.common_side_px} px, grey levels "
        f"between percentiles {preprocessing.low_percentile:g} and "
        f"{preprocessing.high_percentile:g}, side {preprocessing.side_px} px. The values are "
        "stored with the weights.",
        _RECORD,
    )


def describe_cleaning(evidence: Evidence) -> Answer:
    """State which part of the images is used."""
    dataset = evidence.artifacts.dataset
    if dataset is None:
        return not_known(_NOTHING)
    return yes(
        "All readable images of the named classes are used. Near-duplicates are kept in one split; "
        "near-duplicates with conflicting labels are listed and excluded.",
        "dataset/conflicts.csv",
    )


def describe_identity(evidence: Evidence) -> Answer:
    """Describe the de-identification as far as the run shows it."""
    if evidence.artifacts.dataset is None:
        return not_known(_NOTHING)
    return partly(
        "The manifest holds the patient IDs of the source; no output derives patient names from "
        "file names. Whether and how the provider de-identified the images is not recorded.",
        _MANIFEST,
    )


def describe_missing(evidence: Evidence) -> Answer:
    """State what is missing, and what was done about it."""
    dataset = evidence.artifacts.dataset
    if dataset is None:
        return not_known(_NOTHING)
    shares = {
        name: float((dataset.manifest[name] == "").mean())
        for name in ("patient_id", "view", "sex", "age_years")
    }
    listed = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return yes(
        f"Missing values are not imputed. Share of images without: {listed}. An image without a "
        "patient ID counts as one patient, together with its near-duplicates.",
        _MANIFEST,
    )


def describe_labels(evidence: Evidence) -> Answer:
    """Describe the labels as far as the source does."""
    dataset = evidence.artifacts.dataset
    if dataset is None:
        return not_known(_NOTHING)
    return partly(
        f"The label of an image is the class in its source: {', '.join(dataset.class_names)}. "
        "How it was obtained (from a test, a report or a reader) is not recorded.",
        _MANIFEST,
    )


def describe_partition(evidence: Evidence) -> Answer:
    """Describe how images were assigned to splits."""
    dataset = evidence.artifacts.dataset
    if dataset is None:
        return not_known(_NOTHING)
    counts = dataset.manifest["split"].value_counts()
    listed = ", ".join(f"{counts.get(name, 0)} {name}" for name in ("train", "val", "test"))
    seed = dataset.record.config.seed
    return yes(
        f"At random within classes, seed {seed}: {listed}. The test split is held out; each access "
        "is recorded in a hash-chained log.",
        _MANIFEST,
    )


def describe_independence(evidence: Evidence) -> Answer:
    """State at which level the splits are disjoint."""
    dataset = evidence.artifacts.dataset
    if dataset is None:
        return not_known(_NOTHING)
    groups = dataset.manifest.groupby("group_id")["split"].nunique()
    if int(groups.max()) > 1:
        return Answer(
            "no", "A patient or a cluster of near-duplicates is in two splits.", _MANIFEST
        )
    share = dataset.record.patients_unknown_share
    if share > 0:
        return partly(
            f"By patient and cluster of near-duplicates, but {share:.0%} of the images have no "
            "patient ID: for these, only near-duplicates are kept in one split.",
            _MANIFEST,
        )
    return yes("By patient and cluster of near-duplicates: none is in two splits.", _MANIFEST)


def describe_size(evidence: Evidence) -> Answer:
    """State how many images there are."""
    dataset = evidence.artifacts.dataset
    if dataset is None:
        return not_known(_NOTHING)
    return partly(
        f"{len(dataset.manifest)} images, all that the source has. No sample size was calculated; "
        "the intervals show the resulting precision.",
        _RECORD,
    )


def describe_flow(evidence: Evidence) -> Answer:
    """Count the images found, excluded and kept."""
    dataset = evidence.artifacts.dataset
    if dataset is None:
        return not_known(_NOTHING)
    images = dataset.record.images
    return yes(
        f"{images.scanned} images found = {images.rejected} rejected + {images.conflicting} with "
        f"conflicting labels + {images.kept} kept; each excluded image is listed with its reason.",
        _RECORD,
    )


def describe_attributes(evidence: Evidence) -> Answer:
    """State what is known of the patients in each split."""
    dataset = evidence.artifacts.dataset
    if dataset is None:
        return not_known(_NOTHING)
    known = [
        name
        for name in ("age_years", "sex", "view", "source")
        if (dataset.manifest[name] != "").any()
    ]
    if "age_years" not in known or "sex" not in known:
        listed = ", ".join(known)
        return partly(f"Recorded by image: {listed}. The source has no age or no sex.", _MANIFEST)
    return yes("Age, sex, view and source by split are in the manifest.", _MANIFEST)


def describe_shift(evidence: Evidence) -> Answer:
    """Describe how the training data differ from the test data."""
    dataset = evidence.artifacts.dataset
    if dataset is None:
        return not_known(_NOTHING)
    if evidence.artifacts.externals:
        names = ", ".join(one.name for one in evidence.artifacts.externals)
        return yes(
            f"Training and internal test come from the same sources; external test: {names}.",
            f"evaluate-{evidence.artifacts.externals[0].name}/external.json",
        )
    return partly(
        "Training and test come from the same sources; there is no external test.", _RECORD
    )
