"""The sections of the pages: each registers itself where it is defined.

A new section is one module in `report/sections` that calls `register_section`, and one template of
the same name as its anchor. Nothing else has to be told about it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.section import ReportSection

Page = Literal["run", "data"]
Build = TypeVar("Build", bound=Callable[..., object])

WHOLE = "."
"""As a name in `uses`: the artifacts as a whole."""


@dataclass(frozen=True, kw_only=True)
class SectionSpec:
    """What the pages know of a section before it is built.

    Attributes:
        anchor: Its address in the page, and the name of its template.
        title: Its heading.
        short_title: Its name in the list of contents.
        order: Where it stands: sections are sorted by it.
        build: Builds what the template shows from the artifacts in `needs`, `any_of` and `uses`,
            in this order, by position.
        needs: Artifacts without which there is nothing to show, by attribute of `RunArtifacts`;
            a dot goes deeper.
        any_of: At least one of these must be there as well.
        uses: Artifacts that may be missing.
        missing: What stands there instead, and how to get it; "" leaves the section out.
        pages: The pages on which it stands.
    """

    anchor: str
    title: str
    short_title: str
    order: int
    build: Callable[..., object]
    needs: Sequence[str] = ()
    any_of: Sequence[str] = ()
    uses: Sequence[str] = ()
    missing: str = ""
    pages: Sequence[Page] = ("run",)


_SPECS: dict[str, SectionSpec] = {}


def register_section(anchor: str, **known: Any) -> Callable[[Build], Build]:
    """Register the decorated function as the builder of a section; see `SectionSpec`."""

    def register(build: Build) -> Build:
        _SPECS[anchor] = SectionSpec(anchor=anchor, build=build, **known)
        return build

    return register


def list_sections(page: Page = "run") -> tuple[SectionSpec, ...]:
    """List the sections of a page in order; modules of `report/sections` are imported once."""
    package = importlib.import_module("cxresnet.report.sections")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    found = [spec for spec in _SPECS.values() if page in spec.pages]
    return tuple(sorted(found, key=lambda spec: (spec.order, spec.anchor)))


def build_sections(artifacts: RunArtifacts, page: Page = "run") -> tuple[ReportSection, ...]:
    """Build every section of a page from what there is."""
    sections = [_build_section(spec, artifacts) for spec in list_sections(page)]
    return tuple(section for section in sections if section.view is not None or section.missing)


def build_section(anchor: str, artifacts: RunArtifacts) -> ReportSection:
    """Build one section by its anchor.

    Raises:
        KeyError: There is no such section.
    """
    list_sections()
    return _build_section(_SPECS[anchor], artifacts)


def _build_section(spec: SectionSpec, artifacts: RunArtifacts) -> ReportSection:
    needs, any_of, uses = (
        [_find(artifacts, name) for name in names] for names in (spec.needs, spec.any_of, spec.uses)
    )
    complete = all(map(_is_there, needs)) and (not any_of or any(map(_is_there, any_of)))
    return ReportSection(
        anchor=spec.anchor,
        title=spec.title,
        short_title=spec.short_title,
        view=spec.build(*needs, *any_of, *uses) if complete else None,
        missing="" if complete else spec.missing,
    )


def _find(artifacts: RunArtifacts, name: str) -> object:
    """Find an artifact by its dotted name; None where a part of it is missing."""
    found: object = artifacts
    for part in name.split(".") if name != WHOLE else ():
        found = getattr(found, part) if found is not None else None
    return found


def _is_there(found: object) -> bool:
    """Say whether an artifact holds anything: a table without rows does not."""
    return found is not None and (not hasattr(found, "__len__") or len(found) > 0)
