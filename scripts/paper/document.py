"""The text of the study: a template, filled with the numbers of the run."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from paper.figures import Facts, Figure

from cxresnet import DISCLAIMER
from cxresnet.core.files import write_text
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset_record import ACCESS_LOG_NAME
from cxresnet.data.dataset.held_out import read_access_log
from cxresnet.evaluate.baseline_comparison import Baseline
from cxresnet.evaluate.record import Evaluation
from cxresnet.explain.sanity.check import list_checks
from cxresnet.explain.zone_means import RADIOLOGY, ClassZoneMeans
from cxresnet.metrics.estimate import Estimate, format_estimate
from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.sections.data import build_data_view
from cxresnet.report.sections.model import build_architecture_view

ORDER = (
    "exclusion-flow", "architecture", "training-code", "history", "confusion", "roc", "calibration",
    "decision", "left-out-sources", "pairs", "phantoms", "zones",
)  # fmt: skip
_HERE = Path(__file__).parent
_IN_NUMBER = 20
"""Images of a class; fewer make no test."""


@dataclass(frozen=True)
class ZoneReading:
    """What the zone means of one class say beside what radiology expects.

    Attributes:
        class_name: The predicted class.
        means: As `explain` wrote them.
        above: Zones whose whole interval lies above their area.
        below: Zones whose whole interval lies below it.
        radiology: What radiology expects; "" where it is not known.
    """

    class_name: str
    means: ClassZoneMeans
    above: tuple[str, ...]
    below: tuple[str, ...]
    radiology: str


def gather_facts(run: RunArtifacts) -> Facts:
    """Gather what the captions of a run share."""
    evaluation, environment = run.evaluation, run.environment
    versions = environment.get("versions", {})
    machine = (
        f"{environment.get('cpu_cores', '?')} CPU cores, "
        f"threads used: {environment.get('threads', '?')}, "
        f"{'no GPU' if not environment.get('gpus') else 'GPU'}, {environment.get('system', '?')} "
        f"{environment.get('machine', '?')}, PyTorch {versions.get('torch', '?')}"
    )
    seeds = (run.folder / "train/seeds.json") if run.folder else Path()
    known = [run.config.get("train", {}).get("seed", 0)]
    if seeds.is_file():
        known = [one["seed"] for one in json.loads(seeds.read_text())["seeds"]]
    provenance = evaluation.provenance if evaluation else None
    interval = (
        f"{provenance.confidence * 100:g} %, {provenance.resamples:,} resamples of patients"
        if provenance
        else "none"
    )
    n = f"{evaluation.images:,} images of {evaluation.patients:,} patients" if evaluation else "–"
    return Facts(_find_dates(run), machine, ",".join(map(str, known)), interval, n)


def _find_dates(run: RunArtifacts) -> dict[str, str]:
    """Find when each stage ended: from the records where they say so, else from the file."""
    dates: dict[str, str] = {}
    if run.dataset is not None:
        created = json.loads((run.dataset.path / "dataset.json").read_text())["created_utc"]
        dates["prepare"] = str(created)[:10]
        for access in read_access_log(run.dataset.path / ACCESS_LOG_NAME):
            if run.folder is None or access.run == run.folder.resolve().name:
                dates[access.reason.split(":")[0]] = access.accessed_utc[:10]
    history = RunFolder(run.folder).history if run.folder else Path()
    if history.is_file():
        changed = datetime.fromtimestamp(history.stat().st_mtime, UTC)
        dates["train"] = changed.date().isoformat()
    return dates


def write_document(
    out: Path, run: RunArtifacts, figures: Sequence[Figure], *, phantom_run: RunArtifacts | None
) -> None:
    """Write `index.md`, `figures.json` and `numbers.csv`."""
    ordered = sorted(figures, key=lambda one: ORDER.index(one.name))
    record = {"disclaimer": DISCLAIMER, "figures": [asdict(one) for one in ordered]}
    text = json.dumps(record, indent=1, ensure_ascii=False)
    write_text(out / "figures.json", text + "\n")
    write_text(out / "numbers.csv", _format_numbers(ordered))
    write_text(out / "index.md", _render(run, ordered, phantom_run))


def _format_numbers(figures: Sequence[Figure]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["figure", "name", "value", "low", "high", "n", "patients"])
    for figure in figures:
        for one in figure.numbers:
            cells = [one.value, one.low, one.high]
            shown = ["" if cell is None else f"{cell:.6g}" for cell in cells]
            writer.writerow([figure.name, one.name, *shown, one.n or "", one.patients or ""])
    return stream.getvalue()


def _render(run: RunArtifacts, figures: Sequence[Figure], phantom_run: RunArtifacts | None) -> str:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  Markdown; nothing of it comes from strangers
    )
    environment.filters |= {
        "estimate": show_estimate,
        "difference": lambda one: show_estimate(one, signed=True),
        "count": lambda number: f"{number:,}",
        "grouped": group_thousands,
        "percent": lambda share: f"{share:.0%}".replace("%", " %"),
    }
    environment.tests["covid_normal"] = lambda name: name.startswith("COVID-19 against normal")
    evaluation = run.evaluation
    return environment.get_template("index.md.j2").render(
        run=run,
        phantom_run=phantom_run,
        figures={one.name: one for one in figures},
        numbers={one.name: place for place, one in enumerate(figures, start=1)},
        values={one.name: {number.name: number for number in one.numbers} for one in figures},
        data=build_data_view(run.dataset_artifacts) if run.dataset_artifacts else None,
        model=build_architecture_view(run.model, run.record) if run.model else None,
        evaluation=evaluation,
        baseline=_find_baseline(evaluation),
        sources=_read_sources(),
        zones=_read_zones(run),
        dates=gather_facts(run).dates,
        checks={check.test: check.title for check in list_checks()},
        verdict=_compare(evaluation),
        shared_sources=_find_shared_sources(run),
        disclaimer=DISCLAIMER,
    )


def group_thousands(text: str) -> str:
    """Write the whole numbers above 999 of a text with commas, and leave dates and names alone.

    >>> group_thousands("3943 images, 2026-11-28, AUROC 0.9712 (n = 12345).")
    '3,943 images, 2026-11-28, AUROC 0.9712 (n = 12,345).'
    """
    whole = r"(?<![\w.,/-])\d{4,}(?![\w/-]|[.,]\d)"
    return re.sub(whole, lambda found: f"{int(found[0]):,}", text)


def show_estimate(estimate: Estimate | None, *, signed: bool = False) -> str:
    """Show an estimate in a text, with the sign that a text has."""
    if estimate is None:
        return "–"
    return format_estimate(estimate, signed=signed).replace("-", "−")


def _find_baseline(evaluation: Evaluation | None) -> Baseline | None:
    if evaluation is None:
        return None
    found = (one for one in evaluation.baselines if one.name == evaluation.best_baseline)
    return next(found, None)


def _compare(evaluation: Evaluation | None) -> str:
    """Compare the network with the best baseline on the internal test, in words."""
    baseline = _find_baseline(evaluation)
    found = baseline.balanced_accuracy_difference if baseline else None
    if found is None or found.low is None or found.high is None:
        return "The network was not compared with baselines."
    if found.high < 0:
        return "On the internal test, a baseline without anatomy is better than the network."
    if found.low <= 0:
        return "On the internal test, the network cannot be distinguished from a baseline."
    return "On the internal test, the network is better than the best baseline without anatomy."


def _find_shared_sources(run: RunArtifacts) -> list[str]:
    """Find the sources that hold the first and the last class in number."""
    if run.dataset is None:
        return []
    counts = run.dataset.manifest.groupby(["source", "class_name"]).size().unstack(fill_value=0)
    first, last = run.dataset.class_names[0], run.dataset.class_names[-1]
    least = counts.reindex(columns=[first, last], fill_value=0).min(axis=1)
    return [str(source) for source in least.index[least >= _IN_NUMBER]]


def _read_sources() -> dict[str, dict[str, str]]:
    with (_HERE / "sources.csv").open(encoding="utf-8", newline="") as stream:
        return {row["source"]: row for row in csv.DictReader(stream)}


def _read_zones(run: RunArtifacts) -> tuple[ZoneReading, ...]:
    summary = run.explanation_summary
    means = summary.index.zone_means if summary else None
    return tuple(_read_class(one) for one in means.classes if one.zones) if means else ()


def _read_class(one: ClassZoneMeans) -> ZoneReading:
    lungs = [zone for zone in one.zones if zone.zone != "outside"]
    above = tuple(zone.zone for zone in lungs if (zone.share.low or 0.0) > zone.area)
    below = tuple(
        zone.zone for zone in lungs if zone.share.high is not None and zone.share.high < zone.area
    )
    words = RADIOLOGY.get(one.class_name, "").removeprefix("Radiology: ")
    return ZoneReading(one.class_name, one, above, below, words)
