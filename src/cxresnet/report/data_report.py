"""What the films say before any training, as a page of its own."""

from __future__ import annotations

from pathlib import Path

from cxresnet.core.files import write_text
from cxresnet.data.dataset import PreparedDataset, open_dataset
from cxresnet.report.material import build_film_material
from cxresnet.report.notices import find_film_notices, sort_notices
from cxresnet.report.page import render_page
from cxresnet.report.sections.copies import build_copies_section
from cxresnet.report.sections.films import build_films_section
from cxresnet.report.sections.statistics import build_statistics_section
from cxresnet.report.words import show_count

__all__ = ["render_data_report", "write_data_report"]


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
    """Render the page, one HTML text that loads nothing and runs nothing."""
    films = build_film_material(dataset)
    notices = find_film_notices(films.manifest, findings=films.findings)
    return render_page(
        "data_report.html.j2",
        title=dataset.record.source or dataset.record.name,
        lead=(
            f"{show_count(len(films.manifest))} films, before any training. Whatever tells the "
            "class here without a lung, a network will find."
        ),
        notices=sort_notices(notices),
        sections=[
            build_films_section(films),
            build_statistics_section(films),
            build_copies_section(films),
        ],
    )
