"""The stage: everything that is known of a run or a dataset, as one page that opens from disk."""

from __future__ import annotations

from pathlib import Path

from cxresnet.core.files import write_text
from cxresnet.core.run_folder import RunFolder, holding_run_folder
from cxresnet.data.dataset.dataset import PreparedDataset, open_dataset
from cxresnet.report.artifacts import RunArtifacts, build_dataset_artifacts, read_run_artifacts
from cxresnet.report.checklists.documents import write_checklists
from cxresnet.report.checklists.facts_data import Evidence
from cxresnet.report.formatting import format_count
from cxresnet.report.page import render_page
from cxresnet.report.registry import build_sections
from cxresnet.report.section import find_data_warnings, sort_warnings
from cxresnet.report.summary import build_first_screen, describe_run


@holding_run_folder
def run_report(run: RunFolder) -> Path:
    """Write `report.html` from whatever the run holds, and the checklists; returns its path.

    A half-finished run is no error: the page says what is missing and how to get it.

    Raises:
        StorageError: The page cannot be written.
    """
    artifacts = read_run_artifacts(run)
    page = write_text(run.report, render_report(artifacts))
    write_checklists(Evidence(artifacts, run.path), run.checklists)
    return page


def render_report(artifacts: RunArtifacts) -> str:
    """Render the page of a run, one HTML text that loads nothing and runs nothing."""
    return render_page(
        "run_report.html.j2",
        title=artifacts.name,
        lead=describe_run(artifacts),
        first=build_first_screen(artifacts),
        sections=build_sections(artifacts, "run"),
    )


# What is known of the images before any training, as a page of its own.


def write_data_report(dataset_path: Path, out: Path) -> Path:
    """Write the page about a prepared dataset; returns `out`.

    The findings of `findings.json` in the dataset's folder, if there is one, stand at the top.

    Args:
        dataset_path: The folder that `prepare` wrote.
        out: The HTML file to write.

    Raises:
        DatasetError: It is no dataset, or not whole.
        StorageError: The page cannot be written.
    """
    return write_text(out, render_data_report(open_dataset(dataset_path)))


def render_data_report(dataset: PreparedDataset) -> str:
    """Render the page of a dataset, one HTML text that loads nothing and runs nothing."""
    data = build_dataset_artifacts(dataset)
    name = dataset.record.source or dataset.record.name
    artifacts = RunArtifacts(name=name, dataset=dataset, dataset_artifacts=data)
    return render_page(
        "data_report.html.j2",
        title=name,
        lead=(
            f"{format_count(len(data.manifest))} images before any training. A model will use "
            "whatever predicts the class here, whether or not it shows the lungs."
        ),
        warnings=sort_warnings(find_data_warnings(data.manifest, findings=data.findings)),
        sections=build_sections(artifacts, "data"),
    )
