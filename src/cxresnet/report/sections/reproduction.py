"""How to make it again: commands, config, versions, seeds, hashes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cxresnet import __version__
from cxresnet.evaluate.record import Provenance
from cxresnet.report.section import Section

__all__ = ["Pin", "ReproductionView", "build_reproduction_section"]


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


def build_reproduction_section(
    *,
    dataset_hash: str,
    versions: Mapping[str, str],
    provenance: Provenance | None,
    config: Mapping[str, Mapping[str, object]],
) -> Section:
    """Build the section from whatever of it is known.

    Args:
        dataset_hash: Of the prepared dataset; "" where unknown.
        versions: Of the libraries that trained.
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
    view = ReproductionView(
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
    return Section("reproduction", "How to make it again", "Reproduce", view=view)


def _write_config(config: Mapping[str, Mapping[str, object]]) -> str:
    return "\n".join(
        f"{section}.{key} = {value}"
        for section, values in config.items()
        for key, value in values.items()
    )
