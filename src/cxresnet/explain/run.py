"""The explain stage: maps, figures, text summaries and the sanity card of a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxresnet.core.config import ExplainConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.core.run_folder import RunFolder, holding_run_folder
from cxresnet.explain.attribution import compute_attributions, explain_choices
from cxresnet.explain.choice import choose_requested, find_class
from cxresnet.explain.context import ExplainContext, open_context, read_decisions
from cxresnet.explain.figures import write_figures
from cxresnet.explain.record import read_attributions, write_attributions
from cxresnet.explain.sanity.card import mark_failed_methods
from cxresnet.explain.sanity.record import SanityCard
from cxresnet.explain.sanity.run import ensure_card, find_card, remove_card
from cxresnet.explain.summary import compute_explanation_summary, write_explanation_summary
from cxresnet.explain.text_summary import choose_summary_method
from cxresnet.explain.workers import working_on_all_cores
from cxresnet.predict.decision import apply_operating_point

REQUESTED_FOLDER = "requested"
"""In `explain/`; the report shows the images that were chosen, not those that were requested."""

_EARLIER_FILES = ("film-*.png", "trust_card.*", "insights.*", "concept.png")
"""What earlier versions wrote into `explain/` under other names."""

_LOGGER = logging.getLogger(__name__)

ExplainOutputs = Literal["all", "maps", "sanity"]
"""Maps and sanity card, or one of them."""


@dataclass(frozen=True)
class ExplainResult:
    """What `run_explain` wrote.

    Attributes:
        path: The folder with index, maps and figures.
        figures: One PNG per image.
        card: Results of the sanity checks; None where they were not run.
    """

    path: Path
    figures: tuple[Path, ...]
    card: SanityCard | None = None


@holding_run_folder
@working_on_all_cores()
def run_explain(
    run: RunFolder, *, config: ExplainConfig, outputs: ExplainOutputs = "all"
) -> ExplainResult:
    """Explain the most confident correct and incorrect, and the least confident correct images.

    Args:
        run: Trained and evaluated.
        config: How many images, and how finely.
        outputs: What to make. Existing maps are marked by a new card, and an existing card is
            removed where no new one is made: it may be of another network.

    Raises:
        RunFolderError: The run is not evaluated, or its predictions are of another network.
        CheckpointError: The network cannot be read.
        StorageError: The folder cannot be written.
    """
    context = open_context(run, config)
    _remove_earlier_files(run.explain)
    card = None
    if outputs == "maps":
        remove_card(run.explain)
    else:
        card = ensure_card(context, run.explain)
    if outputs == "sanity":
        return _mark_existing_maps(context, run.explain, card)
    figures = _write_maps(context, run.explain, card)
    _LOGGER.info("explained %d images in %s", len(figures), run.explain)
    return ExplainResult(path=run.explain, figures=figures, card=card)


@holding_run_folder
def run_explain_requested(
    run: RunFolder,
    *,
    config: ExplainConfig,
    image_ids: Sequence[str] = (),
    class_name: str | None = None,
) -> ExplainResult:
    """Explain requested images of the test set, or one class, in `explain/requested/`.

    Args:
        run: Trained and evaluated.
        config: Methods, and how finely.
        image_ids: Images of the test set; none: those that the report would show.
        class_name: The class explained, also by a synonym ("covid"); None: the class that was
            decided for.

    Raises:
        RunFolderError: The run is not evaluated, or has no such image.
        ConfigError: There is no such class.
    """
    # Before the test set is opened: a misspelt name is not worth an entry in the access log.
    predictions, evaluation = read_decisions(run)
    target = None if class_name is None else find_class(class_name, predictions.class_names)
    choices = choose_requested(
        apply_operating_point(predictions, evaluation.operating_point),
        predictions,
        image_ids=image_ids,
        target=target,
        images_per_class=config.images_per_class,
    )
    context = open_context(run, config)
    card = find_card(run.explain, context.predictor)
    attributions = mark_failed_methods(explain_choices(context, choices), card)
    folder = run.explain / REQUESTED_FOLDER
    write_attributions(folder, attributions)
    return ExplainResult(path=folder, figures=write_figures(folder, attributions))


def _write_maps(context: ExplainContext, folder: Path, card: SanityCard | None) -> tuple[Path, ...]:
    """Write maps, figures and summary; returns the figures."""
    attributions = mark_failed_methods(compute_attributions(context), card)
    write_attributions(folder, attributions)
    figures = write_figures(folder, attributions)
    write_explanation_summary(folder, compute_explanation_summary(context, attributions))
    return figures


def _mark_existing_maps(
    context: ExplainContext, folder: Path, card: SanityCard | None
) -> ExplainResult:
    """Mark existing maps by a new card; where there are none, there is nothing to mark."""
    try:
        found = read_attributions(folder)
    except RunFolderError:
        return ExplainResult(path=folder, figures=(), card=card)
    attributions = mark_failed_methods(found, card)
    write_attributions(folder, attributions)
    if choose_summary_method(attributions.index) != choose_summary_method(found.index):
        write_explanation_summary(folder, compute_explanation_summary(context, attributions))
    return ExplainResult(path=folder, figures=write_figures(folder, attributions), card=card)


def _remove_earlier_files(folder: Path) -> None:
    """Remove what earlier versions wrote under other names, lest it stand beside the new files."""
    for pattern in _EARLIER_FILES:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
