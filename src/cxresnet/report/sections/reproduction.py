"""How to reproduce the run: commands, config, versions, seeds, hashes; reporting checklists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cxresnet import __version__
from cxresnet.data.dataset.dataset import PreparedDataset
from cxresnet.evaluate.record import Evaluation, Provenance
from cxresnet.model.checkpoint import CheckpointRecord
from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.checklists.checklist import AnsweredItem, Checklist, count_answers
from cxresnet.report.checklists.documents import fill_checklists
from cxresnet.report.checklists.facts_data import Evidence
from cxresnet.report.registry import WHOLE, register_section


@dataclass(frozen=True)
class Pin:
    """One thing that must be the same to get the same numbers."""

    name: str
    value: str


@dataclass(frozen=True)
class ReproductionView:
    """What the template shows.

    Attributes:
        commands: In order.
        pins: Versions, seeds and hashes.
        config: The whole config, one `section.key = value` a line; "" where it is not known.
    """

    commands: tuple[str, ...]
    pins: tuple[Pin, ...]
    config: str


@register_section(
    "reproduction",
    title="Reproduction",
    short_title="Reproduction",
    order=130,
    uses=("dataset", "record", "evaluation", "config"),
)
def build_reproduction_view(
    dataset: PreparedDataset | None,
    record: CheckpointRecord | None,
    evaluation: Evaluation | None,
    config: Mapping[str, Mapping[str, object]],
) -> ReproductionView:
    """List the commands, and everything that must be the same to get the same numbers.

    Args:
        dataset: The prepared dataset.
        record: What came with the weights.
        evaluation: The numbers.
        config: By section and key.
    """
    return list_pins(
        dataset_hash=dataset.dataset_hash if dataset else "",
        versions=record.versions if record else {},
        provenance=evaluation.provenance if evaluation else None,
        config=config,
    )


def list_pins(
    *,
    dataset_hash: str,
    versions: Mapping[str, str],
    provenance: Provenance | None,
    config: Mapping[str, Mapping[str, object]],
) -> ReproductionView:
    """List commands, versions, seeds and hashes, as far as they are known.

    Args:
        dataset_hash: Of the prepared dataset; "" where unknown.
        versions: Of the libraries used for training.
        provenance: Of the numbers; None where nothing is evaluated.
        config: By section and key.
    """
    pins = [Pin("cxresnet, this page", __version__)]
    pins += [Pin(name, version) for name, version in versions.items()]
    if dataset_hash:
        pins.append(Pin("dataset", dataset_hash))
    if provenance is not None:
        pins += [
            Pin("weights, SHA-256", provenance.checkpoint),
            Pin("trained on dataset", provenance.trained_on),
            Pin("seed of the intervals", str(provenance.seed)),
            Pin("resamples of the intervals", str(provenance.resamples)),
        ]
    pins += [
        Pin(f"seed of {section}", str(values["seed"]))
        for section, values in config.items()
        if "seed" in values and section != "evaluate"
    ]
    return ReproductionView(
        commands=(
            "cxresnet prepare SOURCE --out DATASET --config config.toml",
            "cxresnet train DATASET --out RUN --config config.toml",
            "cxresnet evaluate RUN --config config.toml",
            "cxresnet explain RUN --config config.toml",
            "cxresnet report RUN",
        ),
        pins=tuple(pins),
        config=_write_config(config),
    )


def _write_config(config: Mapping[str, Mapping[str, object]]) -> str:
    return "\n".join(
        f"{section}.{key} = {value}"
        for section, values in config.items()
        for key, value in values.items()
    )


# The reporting checklists, filled from the run's files.


@dataclass(frozen=True)
class FilledChecklist:
    """One checklist with its answers, and how many of each kind."""

    checklist: Checklist
    items: tuple[AnsweredItem, ...]
    counts: str


@dataclass(frozen=True)
class ChecklistView:
    """What the template shows; `badges` is the colour of each answer."""

    filled: tuple[FilledChecklist, ...]
    badges: dict[str, str]


@register_section(
    "checklists",
    title="Reporting checklists",
    short_title="Checklists",
    order=140,
    needs=("folder",),
    uses=(WHOLE,),
)
def build_checklists_view(folder: Path, artifacts: RunArtifacts) -> ChecklistView:
    """Fill the checklists from the files of the run."""
    filled = tuple(
        FilledChecklist(checklist, items, count_answers(items))
        for checklist, items in fill_checklists(Evidence(artifacts, folder)).items()
    )
    badges = {"yes": "green", "partly": "amber", "no": "red", "not known": ""}
    return ChecklistView(filled, badges)
