"""A run in about twenty lines of text: what was done, what it found, and what is missing."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator

from cxresnet.data.dataset.dataset_record import CONFLICTS_NAME, REJECTED_NAME, ImageCounts
from cxresnet.evaluate.record import Evaluation
from cxresnet.evaluate.results import GeneralisationGap
from cxresnet.metrics.estimate import format_estimate
from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.formatting import format_duration
from cxresnet.report.sections.model import find_chosen_epoch
from cxresnet.report.summary import split_red_flags

_LABEL_WIDTH = 10
_MOST_LINES = 2


def list_overview(artifacts: RunArtifacts, *, width: int = 80) -> Iterator[str]:
    """List what a run is and found, one part a line or two.

    Args:
        artifacts: What there is of the run.
        width: Of the terminal, in characters.

    Yields:
        At most twenty-two lines.
    """
    run = artifacts.folder or artifacts.name
    if artifacts.dataset is not None:
        yield f"{'Dataset':<{_LABEL_WIDTH}}{artifacts.dataset.path}"
    for label, text in (
        ("Images", _tell_images(artifacts)),
        ("Classes", _tell_classes(artifacts)),
        ("Network", _tell_network(artifacts)),
        ("Test", _tell_test(artifacts)),
        ("Shortcuts", _tell_baseline(artifacts.evaluation)),
        ("Certainty", _tell_certainty(artifacts)),
        ("Outside", _tell_outside(artifacts)),
        ("Maps", _tell_maps(artifacts)),
        ("Findings", _tell_findings(artifacts)),
        ("Audit", _tell_audit(artifacts)),
    ):
        yield from _fold(label, text.replace("RUN", str(run)), width=width)
    has_page = artifacts.folder is not None and (artifacts.folder / "report.html").is_file()
    page = f"{run}/report.html" if has_page else f"not written yet: cxresnet report {run}"
    yield f"{'Report':<{_LABEL_WIDTH}}{page}"


def _fold(label: str, text: str, *, width: int) -> Iterator[str]:
    yield from textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=f"{label:<{_LABEL_WIDTH}}",
        subsequent_indent=" " * _LABEL_WIDTH,
        max_lines=_MOST_LINES,
        placeholder=" …",
        break_on_hyphens=False,
    )


def _tell_images(artifacts: RunArtifacts) -> str:
    data = artifacts.dataset_artifacts
    if data is None:
        return "the dataset of this run is missing or cannot be read"
    known = data.manifest.loc[data.manifest["patient_id"] != "", ["source", "patient_id"]]
    patients = len(known.drop_duplicates())
    return (
        f"{_count(len(data.manifest), 'image')} of "
        f"{_count(data.manifest['source'].nunique(), 'source')}, "
        f"{_count(patients, 'known patient')}; {_tell_left_out(data.counts)}"
    )


def _tell_left_out(counts: ImageCounts) -> str:
    """Tell how many images are not in the dataset, why, and which file lists them."""
    reasons = [
        f"{count:,} {words} ({name})"
        for count, words, name in (
            (counts.rejected, "rejected", REJECTED_NAME),
            (counts.conflicting, "with conflicting labels", CONFLICTS_NAME),
        )
        if count
    ]
    return f"{counts.left_out:,} left out{': ' if reasons else ''}{', '.join(reasons)}"


def _count(number: int, noun: str) -> str:
    """Count things, as in "1 source" and "2 sources"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _tell_classes(artifacts: RunArtifacts) -> str:
    data = artifacts.dataset_artifacts
    if data is None:
        return "unknown"
    counts = Counter(zip(data.manifest["class_name"], data.manifest["split"], strict=True))
    shown = (
        f"{name} {' + '.join(str(counts[name, split]) for split in ('train', 'val', 'test'))}"
        for name in data.class_names
    )
    return f"{', '.join(shown)} (training + validation + test)"


def _tell_network(artifacts: RunArtifacts) -> str:
    if artifacts.model is None or artifacts.record is None:
        return "not trained yet, or its checkpoint cannot be read: cxresnet train DATASET --out RUN"
    parameters = sum(parameter.numel() for parameter in artifacts.model.parameters())
    text = f"{artifacts.record.model.preset}, {_count(parameters, 'parameter')}"
    members = artifacts.record.model.members
    text += f", {members} networks" if members > 1 else ""
    if artifacts.history is None:
        return text
    text += f"; {_count(len(artifacts.history), 'epoch')}"
    if "seconds" in artifacts.history:
        text += f" in {format_duration(float(artifacts.history['seconds'].sum()))}"
    epoch = find_chosen_epoch(artifacts.record)
    return text if epoch is None else f"{text}, of which epoch {epoch} is used"


def _tell_test(artifacts: RunArtifacts) -> str:
    evaluation = artifacts.evaluation
    if evaluation is None:
        return "not evaluated yet: cxresnet evaluate RUN"
    ours = evaluation.headline
    return (
        f"balanced accuracy {format_estimate(ours.balanced_accuracy)}, macro AUROC "
        f"{format_estimate(ours.macro_auroc)}; {_count(evaluation.images, 'image')} of "
        f"{_count(evaluation.patients, 'patient')}, "
        f"{evaluation.provenance.confidence:.0%} intervals"
    )


def _tell_baseline(evaluation: Evaluation | None) -> str:
    best = evaluation.find_best_baseline() if evaluation else None
    if best is None or best.headline is None:
        return "no shortcut baseline was compared"
    theirs = format_estimate(best.headline.balanced_accuracy)
    text = f"best baseline ({best.title}): balanced accuracy {theirs}"
    difference = best.balanced_accuracy_difference
    if difference is None:
        return text
    return f"{text}; the network differs by {format_estimate(difference, signed=True)}"


def _tell_certainty(artifacts: RunArtifacts) -> str:
    evaluation, selective = artifacts.evaluation, artifacts.selective
    if evaluation is None:
        return "not known before the evaluation"
    error = evaluation.calibration.expected_calibration_error
    text = f"calibration error {format_estimate(error)}"
    if selective is None:
        return text
    return (
        f"{text}; decides on {format_estimate(selective.decided, digits=2)} of the images, of "
        f"these correct: {format_estimate(selective.selective_accuracy)}"
    )


def _tell_outside(artifacts: RunArtifacts) -> str:
    tests = [(one.name, one.scores) for one in artifacts.externals]
    if artifacts.left_out is not None:
        tests.insert(0, ("sources left out", artifacts.left_out.mean))
    shown = [f"{name}: {_tell_gap(scores)}" for name, scores in tests if scores]
    if shown:
        return "; ".join(shown)
    return "not tested yet: cxresnet evaluate RUN --leave-sources-out, or --data OTHER"


def _tell_gap(scores: tuple[GeneralisationGap, ...]) -> str:
    """Tell the balanced accuracy on images from outside; where there is none, the first score."""
    score = next((one for one in scores if one.name == "balanced_accuracy"), scores[0])
    return (
        f"{score.title} {format_estimate(score.external)}, generalisation gap "
        f"{format_estimate(score.generalisation_gap, signed=True)}"
    )


def _tell_maps(artifacts: RunArtifacts) -> str:
    card = artifacts.sanity
    if card is None:
        known = artifacts.attributions is not None
        return f"{'not tested' if known else 'not explained'} yet: cxresnet explain RUN"
    passed = [method.title for method in card.methods if method.passed]
    failed = [method.title for method in card.methods if not method.passed]
    return (
        f"sanity checks passed by {', '.join(passed) or 'no method'}; "
        f"failed by {', '.join(failed) or 'none'}"
    )


def _tell_findings(artifacts: RunArtifacts) -> str:
    """Count the findings by colour, and name the red ones: unreadable parts and red flags first."""
    data = artifacts.dataset_artifacts
    findings = data.findings if data else ()
    counts = Counter(finding.verdict for finding in findings)
    red = [one.title for one in artifacts.damaged]
    red += [flag.title for flag in split_red_flags(artifacts)[0]]
    red += [finding.title for finding in findings if finding.verdict == "red"]
    text = f"{len(red)} red, {counts['amber']} amber, {counts['green']} green"
    return f"{text}. Red: {'; '.join(red)}" if red else text


def _tell_audit(artifacts: RunArtifacts) -> str:
    scorecard = artifacts.audit
    if scorecard is None:
        return "not audited yet: cxresnet audit RUN"
    return f"{scorecard.verdict}. {scorecard.headline}"
