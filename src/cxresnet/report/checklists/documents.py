"""Writes the checklists and the model card of a run as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cxresnet import DISCLAIMER, __version__
from cxresnet.core.files import write_text
from cxresnet.evaluate.leave_sources_out import LeaveSourcesOut
from cxresnet.evaluate.record import Evaluation
from cxresnet.metrics.estimate import Estimate, format_estimate
from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.checklists import facts_data as data
from cxresnet.report.checklists import facts_evaluation as test
from cxresnet.report.checklists import facts_model as model
from cxresnet.report.checklists.checklist import (
    AnsweredItem,
    Checklist,
    Item,
    ask_authors,
    escape_markdown,
    render_markdown,
)
from cxresnet.report.checklists.facts_data import Answer, Evidence
from cxresnet.report.sections.external import build_gap_rows

# CLAIM, the checklist for artificial intelligence in medical imaging, in its update of 2024.


CLAIM = Checklist(
    name="claim",
    title="CLAIM 2024",
    reference="Tejani et al. 2024, Radiology: Artificial Intelligence 6(4)",
    items=(
        Item("1", "Title", "States that it is about AI, and which kind", model.describe_title),
        Item("2", "Abstract", "Summary of design, methods and results", ask_authors("an abstract")),
        Item("3", "Background", "Clinical need and the intended role", ask_authors("the need")),
        Item("4", "Aims", "Aims and hypotheses", model.describe_aims),
        Item("5", "Design", "Retrospective or prospective", ask_authors("how images were taken")),
        Item("6", "Design", "What kind of study it is", model.describe_aims),
        Item("7", "Data", "Where the images come from", data.describe_sources),
        Item("8", "Data", "Eligibility criteria", data.describe_eligibility),
        Item("9", "Data", "Preprocessing of the images", data.describe_preparation),
        Item("10", "Data", "Which of the images are used", data.describe_cleaning),
        Item("11", "Data", "De-identification", data.describe_identity),
        Item("12", "Data", "Missing data, and how they are handled", data.describe_missing),
        Item("13", "Data", "Image acquisition", ask_authors("devices and protocols")),
        Item("14", "Labels", "Reference standard", data.describe_labels),
        Item(
            "15",
            "Labels",
            "Reason for the reference standard",
            ask_authors("the choice of the standard"),
        ),
        Item("16", "Labels", "Who labelled, with which qualification", ask_authors("who labelled")),
        Item("17", "Labels", "How the test images were labelled", ask_authors("who labelled them")),
        Item("18", "Labels", "Agreement between labellers", ask_authors("their agreement")),
        Item("19", "Splits", "How images were assigned to splits", data.describe_partition),
        Item("20", "Splits", "Level at which the splits are disjoint", data.describe_independence),
        Item("21", "Size", "Intended sample size, and why", data.describe_size),
        Item("22", "Model", "Full description of the model", model.describe_model),
        Item("23", "Model", "Software, with versions", model.describe_software),
        Item("24", "Model", "Initialisation of the weights", model.describe_initial),
        Item("25", "Training", "Training and augmentation", model.describe_training),
        Item("26", "Training", "Selection of the final model", model.describe_selection),
        Item("27", "Training", "Ensembling, if used", model.describe_ensembling),
        Item("28", "Evaluation", "Metrics, and why", test.describe_accuracy),
        Item("29", "Evaluation", "Uncertainty of the metrics", test.describe_uncertainty),
        Item("30", "Evaluation", "Robustness", test.describe_robustness),
        Item("31", "Evaluation", "Explanation of predictions", test.describe_explanation),
        Item("32", "Evaluation", "Internal test", test.describe_internal),
        Item("33", "Evaluation", "External test", test.describe_external),
        Item("34", "Evaluation", "Registered, if a trial", ask_authors("a registration")),
        Item("35", "Results", "Flow of images: found, excluded, kept", data.describe_flow),
        Item("36", "Results", "Patients in each split", data.describe_attributes),
        Item("37", "Results", "Metrics with their uncertainty", test.describe_internal),
        Item("38", "Results", "Accuracy by class", test.describe_accuracy),
        Item("39", "Results", "Failure analysis", test.describe_failures),
        Item("40", "Discussion", "Limitations", test.describe_limits),
        Item("41", "Discussion", "What it means for practice", ask_authors("the clinical role")),
        Item("42", "Other", "Where the protocol is", ask_authors("a protocol")),
        Item("43", "Other", "Availability of software and images", model.describe_code),
        Item("44", "Other", "Funding, and the role of funders", ask_authors("the funding")),
    ),
)


# TRIPOD+AI, the reporting guideline for clinical prediction models, of 2024.


TRIPOD_AI = Checklist(
    name="tripod_ai",
    title="TRIPOD+AI",
    reference="Collins et al. 2024, BMJ 385:e078378",
    items=(
        Item("1", "Title", "States that a model is developed or tested", model.describe_title),
        Item("2", "Abstract", "A structured abstract", ask_authors("an abstract")),
        Item("3a", "Introduction", "Clinical context, existing models", ask_authors("context")),
        Item("3b", "Introduction", "Target population and users", ask_authors("the intended use")),
        Item("3c", "Introduction", "Known inequalities in health", ask_authors("inequalities")),
        Item("4", "Introduction", "Aims", model.describe_aims),
        Item("5a", "Data", "Sources of the data", data.describe_sources),
        Item("5b", "Data", "Dates of the data", ask_authors("the dates")),
        Item("6a", "Participants", "Study setting", ask_authors("centres and setting")),
        Item("6b", "Participants", "Eligibility criteria", data.describe_eligibility),
        Item("6c", "Participants", "Treatments received", ask_authors("treatments")),
        Item("7", "Data", "Preparation of the data", data.describe_preparation),
        Item("8a", "Outcome", "Outcome, and how it was assessed", data.describe_labels),
        Item("8b", "Outcome", "Who assessed it", ask_authors("who assessed the outcome")),
        Item("8c", "Outcome", "Blinding of the assessment", ask_authors("blinding")),
        Item(
            "9a",
            "Predictors",
            "Choice of the predictors",
            ask_authors("the choice of the image alone"),
        ),
        Item("9b", "Predictors", "Definition of the predictors", data.describe_preparation),
        Item("9c", "Predictors", "Who measured them", ask_authors("who took the images")),
        Item("10", "Size", "Sample size", data.describe_size),
        Item("11", "Missing data", "Handling of missing data", data.describe_missing),
        Item("12a", "Analysis", "How data were split", data.describe_partition),
        Item("12b", "Analysis", "Handling of the predictors", model.describe_augmentation),
        Item("12c", "Analysis", "Type of model, and how it is built", model.describe_training),
        Item("12d", "Analysis", "Differences between sites", test.describe_sites),
        Item("12e", "Analysis", "Which measures, with plots", test.describe_uncertainty),
        Item("12f", "Analysis", "Whether it was updated", ask_authors("an update")),
        Item("12g", "Analysis", "How predictions are computed", model.describe_output),
        Item("13", "Imbalance", "Handling of class imbalance", model.describe_balance),
        Item("14", "Fairness", "Approach to fairness", test.describe_fairness),
        Item("15", "Output", "Output and thresholds", model.describe_output),
        Item("16", "Development", "How development and test differ", data.describe_shift),
        Item("17", "Ethics", "Approval and consent", ask_authors("ethical approval")),
        Item("18a", "Open science", "Funding", ask_authors("the funding")),
        Item("18b", "Open science", "Interests", ask_authors("conflicts of interest")),
        Item("18c", "Open science", "Protocol", ask_authors("a protocol")),
        Item("18d", "Open science", "Registration", ask_authors("a registration")),
        Item("18e", "Open science", "Where the data are", ask_authors("where the images are")),
        Item("18f", "Open science", "Where the code is", model.describe_code),
        Item("19", "Public", "Involvement of patients and public", ask_authors("their role")),
        Item("20a", "Results", "Flow of participants", data.describe_flow),
        Item("20b", "Results", "Characteristics of participants", data.describe_attributes),
        Item("20c", "Results", "Development against test data", data.describe_shift),
        Item("21", "Results", "Numbers in each analysis", data.describe_partition),
        Item("22", "Results", "Full model, for use by others", model.describe_model),
        Item("23a", "Results", "Performance with intervals", test.describe_internal),
        Item("23b", "Results", "Performance by site", test.describe_sites),
        Item("24", "Results", "Results of an update", ask_authors("an update, if there was one")),
        Item("25", "Discussion", "Interpretation", ask_authors("the interpretation")),
        Item("26", "Discussion", "Limitations", test.describe_limits),
        Item("27a", "Use", "Handling of poor or missing input", test.describe_input),
        Item("27b", "Use", "Skills that users need", ask_authors("users and their skills")),
        Item("27c", "Use", "Next steps", ask_authors("next steps")),
    ),
)


# A model card: what the model is, its intended use, its scores, and what is not known.


_PARTS = (
    ("What it is", (model.describe_title, model.describe_model, model.describe_software)),
    ("Training data", (data.describe_sources, data.describe_labels, data.describe_missing,
                              data.describe_partition, data.describe_independence)),
    ("How it was trained", (model.describe_training, model.describe_selection,
                            model.describe_balance)),
    ("Output", (model.describe_output, test.describe_input)),
    ("Evaluation", (test.describe_internal, test.describe_external, test.describe_sites,
                           test.describe_uncertainty, test.describe_fairness)),
    ("Limitations", (test.describe_limits, test.describe_failures)),
)  # fmt: skip

_USE = """\
## Intended use

- Research and teaching: to study what such a model learns, and whether to trust it.
- **Not** for diagnosis, ruling out a disease, triage, or any decision about a person.
- Not for children, lateral views, CT or other images, unless the training data include them.

"""

_NOT_KNOWN = """\
## Not known

Not recorded, and to be stated by the authors of a study: ethical approval, consent, funding, who
labelled the images and how well they agree, devices and protocols, treatment, ethnicity, and what
happens when the model is used.
"""


def render_model_card(evidence: Evidence) -> str:
    """Render the card as Markdown; what no file shows is "not known"."""
    name = escape_markdown(evidence.artifacts.name)
    lines = [
        f"# Model card: {name}", "",
        f"**{DISCLAIMER}** Written by CXResnet {__version__} from the files of the run.", "",
        _USE,
    ]  # fmt: skip
    for title, facts in _PARTS:
        lines += [f"## {title}", ""]
        answers = [evidence.check(fact(evidence)) for fact in facts]
        lines += [_render(answer) for answer in _drop_repeated(answers)]
        lines.append("")
    if evidence.artifacts.evaluation is not None:
        lines += _render_numbers(evidence.artifacts.evaluation)
    lines += _render_external(evidence.artifacts)
    return "\n".join([*lines, _NOT_KNOWN])


def _drop_repeated(answers: Sequence[Answer]) -> list[Answer]:
    """Drop an answer that an earlier one contains word for word."""
    return [
        answer
        for place, answer in enumerate(answers)
        if not (answer.text and any(answer.text in before.text for before in answers[:place]))
    ]


def _render(answer: Answer) -> str:
    text = escape_markdown(answer.text) or "Not known."
    mark = "**Not known.** " if answer.status == "not known" else ""
    shown = f" (`{answer.artefact}`)" if answer.artefact else ""
    return f"- {mark}{text}{shown}"


def _render_numbers(evaluation: Evaluation) -> list[str]:
    lines = [
        "## Scores on the held-out test set", "",
        "| class | images | patients | sensitivity | specificity | AUROC |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for one in evaluation.classes:
        numbers = (one.sensitivity, one.specificity, one.auroc)
        cells = [escape_markdown(one.class_name), str(one.images), str(one.patients)]
        lines.append(f"| {' | '.join([*cells, *map(_show, numbers)])} |")
    return [*lines, ""]


def _render_external(artifacts: RunArtifacts) -> list[str]:
    """Render the scores on sources left out, then all generalisation gaps, where tested."""
    left_out = artifacts.left_out
    tested = [
        (f"{one.name}, left out", one.external_images, one.scores)
        for one in (left_out.sets if left_out else ())
    ]
    tested += [(one.name, one.external_images, one.scores) for one in artifacts.externals]
    rows = [
        (place, str(images), row.name, *map(_show, (row.score.internal, row.score.external)),
         _show(row.score.generalisation_gap))
        for place, images, scores in tested
        for row in build_gap_rows(scores)
    ]  # fmt: skip
    if not rows:
        return []
    lines = [
        "## External test", "",
        *(_render_left_out(left_out) if left_out and left_out.tested else ()),
        "| source | images | score | internal | external | gap |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [f"| {' | '.join(map(escape_markdown, row))} |" for row in rows]
    return [*lines, ""]


def _render_left_out(left_out: LeaveSourcesOut) -> list[str]:
    """Render the areas on sources left out, the means last, and what was decided there."""
    rows = [(one.name, task) for one in left_out.tested for task in one.tasks]
    rows += [
        (f"mean, {task.sets} {'set' if task.sets == 1 else 'sets'}", task)
        for task in left_out.mean_tasks
    ]
    lines = [
        "| sources left out | classes | images | AUROC | best shortcut baseline | difference |",
        "|---|---|---|---|---|---|",
    ]
    for name, task in rows:
        baseline = _show(task.baseline_auroc) if task.baseline_auroc else "not tried"
        difference = format_estimate(task.difference, signed=True) if task.difference else "–"
        cells = (name, task.title, str(task.auroc.n), _show(task.auroc), baseline, difference)
        lines.append(f"| {' | '.join(map(escape_markdown, cells))} |")
    shares = left_out.mean_decisions
    if shares is not None:
        lines += [
            "",
            (
                f"Of the images of sources left out, {_show(shares.wrong)} got a wrong definite "
                f"answer and {_show(shares.abstained)} none (mean over the sets)."
            ),
        ]
    return [*lines, ""]


def _show(estimate: Estimate) -> str:
    if estimate.value is None:
        return "not defined"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f} (no interval)"
    return format_estimate(estimate)


CHECKLISTS = (CLAIM, TRIPOD_AI)


def fill_checklists(evidence: Evidence) -> dict[Checklist, tuple[AnsweredItem, ...]]:
    """Fill every checklist from what a run holds."""
    return {checklist: checklist.fill(evidence) for checklist in CHECKLISTS}


def write_checklists(evidence: Evidence, folder: Path) -> tuple[Path, ...]:
    """Write `claim.md`, `tripod_ai.md` and `model_card.md`; returns their paths.

    Raises:
        StorageError: They cannot be written.
    """
    written = [
        write_text(folder / f"{checklist.name}.md", render_markdown(checklist, filled))
        for checklist, filled in fill_checklists(evidence).items()
    ]
    return (*written, write_text(folder / "model_card.md", render_model_card(evidence)))
