"""The stage: everything that is known of a run, as one page that opens from disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxresnet.core.files import write_text
from cxresnet.core.run_folder import RunFolder
from cxresnet.evaluate.alarm_record import Alarm
from cxresnet.evaluate.alarms import doubt_source_gap
from cxresnet.report.checklists.evidence import Evidence
from cxresnet.report.checklists.write import write_checklists
from cxresnet.report.material import RunMaterial, build_film_material, read_run_material
from cxresnet.report.notices import (
    find_film_notices,
    find_finding_notices,
    find_test_notices,
    sort_notices,
)
from cxresnet.report.page import render_page
from cxresnet.report.section import Notice, Section
from cxresnet.report.sections.answers import build_answers_section
from cxresnet.report.sections.architecture import build_architecture_section
from cxresnet.report.sections.audit import build_audit_section
from cxresnet.report.sections.checklists import build_checklists_section
from cxresnet.report.sections.concept import build_concept_section
from cxresnet.report.sections.elsewhere import build_elsewhere_section
from cxresnet.report.sections.evaluation import build_evaluation_section
from cxresnet.report.sections.explanation import build_explanation_section
from cxresnet.report.sections.films import FilmMaterial, build_films_section
from cxresnet.report.sections.gallery import build_gallery_section
from cxresnet.report.sections.probabilities import build_probabilities_section
from cxresnet.report.sections.reproduction import build_reproduction_section
from cxresnet.report.sections.story import build_story_section
from cxresnet.report.sections.summary import (
    build_headline_cards,
    describe_run,
    find_best_baseline,
)
from cxresnet.report.sections.training import build_training_section
from cxresnet.report.sections.trust import build_trust_section

__all__ = ["render_report", "run_report"]


def run_report(run: RunFolder) -> Path:
    """Write `report.html` from whatever the run holds, and the checklists; returns its path.

    A half-finished run is no error: the page says what is missing and how to get it.

    Raises:
        StorageError: The page cannot be written.
    """
    material = read_run_material(run)
    evidence = Evidence(material, run.path)
    page = write_text(run.report, render_report(material, evidence))
    write_checklists(evidence, run.checklists)
    return page


def render_report(material: RunMaterial, evidence: Evidence) -> str:
    """Render the page, one HTML text that loads nothing and runs nothing."""
    films = build_film_material(material.dataset) if material.dataset else None
    evaluation = material.evaluation
    return render_page(
        "page.html.j2",
        title=material.name,
        lead=describe_run(material),
        notices=sort_notices(_find_notices(material, films)),
        sections=[*_build_sections(material, films), build_checklists_section(evidence)],
        evaluation=evaluation,
        alarms=_list_alarms(material),
        cards=build_headline_cards(evaluation) if evaluation else (),
        best=find_best_baseline(evaluation) if evaluation else None,
        class_names=material.record.class_names if material.record else (),
    )


def _build_sections(material: RunMaterial, films: FilmMaterial | None) -> list[Section]:
    record, config = material.record, material.config
    sections = [
        build_films_section(films),
        build_architecture_section(
            material.model,
            preset=record.model.preset if record else "",
            side_px=_find_side_px(record.preprocessing if record else {}),
            class_names=record.class_names if record else (),
        ),
        build_training_section(
            material.history,
            chosen_epoch=_find_chosen_epoch(material),
            settings=config.get("train", {}),
            environment=material.environment,
            learning_rates=material.learning_rates,
            members=material.members,
        ),
        build_evaluation_section(material.evaluation),
        build_probabilities_section(material.evaluation),
        build_elsewhere_section(material.left_out, material.externals),
        build_answers_section(material.selective),
        *_build_insight_sections(material),
        build_explanation_section(material.attributions),
        build_trust_section(material.trust),
        build_gallery_section(material.attributions),
        build_reproduction_section(
            dataset_hash=material.dataset.dataset_hash if material.dataset else "",
            versions=record.versions if record else {},
            provenance=material.evaluation.provenance if material.evaluation else None,
            config=config,
        ),
    ]
    if material.findings:
        sections.insert(-1, build_audit_section(material.findings))
    return sections


def _build_insight_sections(material: RunMaterial) -> list[Section]:
    """Build what stands before the maps, where it is known; the maps say how to get it."""
    if material.attributions is None or material.insights is None:
        return []
    sections = [build_story_section(material.attributions, material.insights)]
    if material.insights.index.concept is not None:
        sections.append(build_concept_section(material.insights.index.concept))
    return sections


def _list_alarms(material: RunMaterial) -> tuple[Alarm, ...]:
    """List the alarms of the test, and the one of sources that were left out since."""
    if material.evaluation is None:
        return ()
    alarms = material.evaluation.alarms
    found = doubt_source_gap(material.left_out.headline if material.left_out else None)
    known = {alarm.rule for alarm in alarms}
    return alarms if found is None or found.rule in known else (found, *alarms)


def _find_notices(material: RunMaterial, films: FilmMaterial | None) -> tuple[Notice, ...]:
    notices = material.damaged
    if films is not None:
        notices += find_film_notices(films.manifest, findings=films.findings)
    if material.evaluation is not None:
        notices += find_test_notices(material.evaluation)
    return notices + find_finding_notices(material.findings)


def _find_side_px(preprocessing: Mapping[str, Any]) -> int:
    return int(preprocessing.get("side_px", 0))


def _find_chosen_epoch(material: RunMaterial) -> int | None:
    """Find the epoch that the checkpoint says it is of."""
    if material.record is None:
        return None
    epoch = (material.record.notes | material.record.metrics).get("epoch")
    return int(epoch) if isinstance(epoch, int | float) else None
