"""All figures of the study: each with its files, and with what its numbers rest on."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from paper import diagrams, pairs, phantoms
from paper.sheet import Cell, build_chart_file, draw_table
from PIL import Image

from cxresnet.core.files import write_bytes, write_text
from cxresnet.evaluate.record import Evaluation
from cxresnet.explain.zone_means import draw_class_panel
from cxresnet.metrics.estimate import Estimate, format_estimate
from cxresnet.model.diagram import draw_architecture
from cxresnet.model.ensemble import CXResNetEnsemble
from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.figures import SERIES as SERIES_OF_THE_PAGE
from cxresnet.report.figures import Drawing, draw_svg
from cxresnet.report.sections.data import build_data_view
from cxresnet.report.sections.external import TaskRow, build_external_view
from cxresnet.report.sections.model import build_training_view
from cxresnet.report.sections.test import build_evaluation_view, build_probabilities_view


@dataclass(frozen=True)
class Number:
    """One number of a figure, with its interval where it has one."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    patients: int | None = None


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: Of the figure; its files begin with it.
        files: From the name of each file to what it shows, for those who do not see it.
        caption: What is seen, one or two sentences.
        command: The command that computed the numbers; `scripts/study` draws them.
        n: What the numbers rest on.
        interval: What the intervals are; "none" where nothing was estimated.
        seed: Of the random draws.
        date: On which the numbers were computed, ISO 8601.
        machine: On which they were computed.
        numbers: What is drawn, as far as it is numbers.
    """

    name: str
    files: Mapping[str, str]
    caption: str
    command: str
    n: str
    interval: str
    seed: str
    date: str
    machine: str
    numbers: tuple[Number, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Facts:
    """What the captions of one run share.

    Attributes:
        dates: On which the stages ended, by their name.
        machine: In words.
        seeds: Of the training.
        interval: Of the scores.
        n: Images and patients of the test.
    """

    dates: Mapping[str, str]
    machine: str
    seeds: str
    interval: str
    n: str


def take(name: str, estimate: Estimate) -> Number:
    """Take an estimate over as a number."""
    return Number(
        name, estimate.value, estimate.low, estimate.high, estimate.n, estimate.groups or None
    )


class Drawer:
    """Draws the figures of one run into a folder."""

    def __init__(self, out: Path, run: RunArtifacts, facts: Facts) -> None:
        self.out = out
        self.run = run
        self.facts = facts

    def draw_all(self) -> Iterator[Figure]:
        """Draw what the run holds, in the order of the text."""
        for draw in (
            self._draw_flow, self._draw_architecture, self._draw_training_code, self._draw_history,
            self._draw_test, self._draw_calibration, self._draw_decisions, self._draw_left_out,
            self._draw_zones,
        ):  # fmt: skip
            yield from draw()

    def write(self, name: str, text: str) -> str:
        """Write one drawing; returns the name of its file."""
        write_text(self.out / f"{name}.svg", text)
        return f"{name}.svg"

    def _chart(
        self, name: str, drawing: Drawing, title: str, legend: tuple[tuple[int, str], ...] = ()
    ) -> dict[str, str]:
        file = self.write(name, build_chart_file(drawing, title=title, legend=legend))
        return {file: drawing.alt_text}

    def build(
        self, name: str, files: Mapping[str, str], caption: str, stage: str, **more: object
    ) -> Figure:
        """Add what all figures of a stage share."""
        known: dict[str, object] = {
            "command": f"cxresnet {stage} RUN",
            "n": self.facts.n,
            "interval": self.facts.interval,
            "seed": "0",
            "date": self.facts.dates.get(stage.partition(" ")[0], "not recorded"),
            "machine": self.facts.machine,
        }
        return Figure(name=name, files=files, caption=caption, **(known | more))

    # The data, the network and its training.

    def _draw_flow(self) -> Iterator[Figure]:
        dataset, artifacts = self.run.dataset, self.run.dataset_artifacts
        if dataset is None or artifacts is None:
            return
        view = build_data_view(artifacts)
        evaluated = self.run.evaluation.images if self.run.evaluation else 0
        flow = diagrams.draw_exclusion_flow(dataset, view, evaluated=evaluated)
        counts = dataset.record.images
        yield self.build(
            "exclusion-flow",
            {self.write("exclusion-flow", flow): "Flow of the images from the list to the splits."},
            "Where every image went, from the list to the three splits.",
            "prepare",
            command="cxresnet prepare SOURCE --out DATASET",
            n=f"{counts.scanned:,} images",
            interval="none, these are counts",
            numbers=(
                Number("images listed", counts.scanned),
                Number("images rejected", counts.rejected),
                Number("images left out, copies with another class", counts.conflicting),
                Number("images kept", counts.kept),
                Number("patients or clusters", view.groups),
                Number("near-duplicates", view.near_duplicates),
                *(
                    Number(f"images in {split}", int(count))
                    for split, count in dataset.manifest["split"].value_counts().items()
                ),
            ),
        )

    def _draw_architecture(self) -> Iterator[Figure]:
        model, record = self.run.model, self.run.record
        if model is None or record is None:
            return
        network = model.networks[0] if isinstance(model, CXResNetEnsemble) else model
        side_px = int(str(record.preprocessing["side_px"]))
        picture = draw_architecture(network, side_px=side_px, class_names=record.class_names)
        picture = picture.replace('width="100%"', 'width="480"', 1)  # as an image, not in a page
        yield self.build(
            "architecture",
            {
                self.write(
                    "architecture", picture
                ): "The network from image to logits, part by part."
            },
            "One network, from the image to one logit a class; below, one block in detail.",
            "model show",
            command="cxresnet model PRESET",
            n="no images",
            interval="none, these are counts",
            date=self.facts.dates.get("train", "not recorded"),
            numbers=(Number("parameters", sum(one.numel() for one in network.parameters())),),
        )

    def _draw_training_code(self) -> Iterator[Figure]:
        if not self.run.config:
            return
        networks = getattr(self.run.model, "networks", (self.run.model,))
        picture = diagrams.draw_training_code(self.run.config, networks=len(networks))
        yield self.build(
            "training-code",
            {self.write("training-code", picture): "The steps of one training and their modules."},
            "The training code: each step, its setting in this run, and the module that does it.",
            "train",
            command=f"cxresnet train DATASET --out RUN --seeds {self.facts.seeds}",
            n="no images",
            interval="none, this is a diagram",
            seed=self.facts.seeds,
        )

    def _draw_history(self) -> Iterator[Figure]:
        history = self.run.history
        if history is None or self.run.dataset is None:
            return
        view = build_training_view(history, self.run.record, self.run.config)
        marked = " The dotted line marks the epoch whose weights are used."
        marked = marked if view.chosen_epoch is not None else ""
        files: dict[str, str] = {}
        for name, curve in zip(("history-loss", "history-scores"), view.curves, strict=False):
            files |= self._chart(name, curve.drawing, curve.title, tuple(enumerate(curve.lines)))
        files |= self._chart("learning-rate", _draw_learning_rate(history), "Learning rate")
        splits = self.run.dataset.manifest["split"].value_counts()
        yield self.build(
            "history",
            files,
            "Loss, scores on validation images and learning rate after each epoch"
            f"{', mean over the seeds' if ',' in self.facts.seeds else ''}."
            f"{marked}",
            "train",
            command=f"cxresnet train DATASET --out RUN --seeds {self.facts.seeds}",
            n=f"{splits.get('train', 0):,} training and {splits.get('val', 0):,} validation images",
            interval="none, these are means over the seeds",
            seed=self.facts.seeds,
            numbers=tuple(
                Number(f"{column}, epoch {row['epoch']:.0f}", float(row[column]))
                for row in history.to_dict("records")
                for column in history.columns
                if column not in ("epoch", "seconds")
            ),
        )

    # What it is worth.

    def _draw_test(self) -> Iterator[Figure]:
        evaluation = self.run.evaluation
        if evaluation is None:
            return
        view = build_evaluation_view(evaluation)
        file = self.write("confusion", _draw_confusion(evaluation))
        yield self.build(
            "confusion",
            {file: "Confusion matrix: true classes down, predicted classes across."},
            "Confusion matrix. Each cell: images, share of the true class and its interval.",
            "evaluate",
            numbers=tuple(
                take(f"{true} predicted as {called}", rate)
                for true, rates in zip(
                    evaluation.class_names, evaluation.confusion_rates, strict=True
                )
                for called, rate in zip(evaluation.class_names, rates, strict=True)
            ),
        )
        if view.roc is None:
            return
        legend = tuple(
            (number, f"{one.class_name}: AUROC {format_estimate(one.auroc)}")
            for number, one in enumerate(evaluation.classes)
        )
        yield self.build(
            "roc",
            self._chart("roc", view.roc, "ROC, each class against the rest", legend),
            "ROC curves on the held-out test images, each class against the rest.",
            "evaluate",
            numbers=tuple(
                take(f"AUROC of {one.class_name}", one.auroc) for one in evaluation.classes
            ),
        )

    def _draw_calibration(self) -> Iterator[Figure]:
        evaluation = self.run.evaluation
        if evaluation is None:
            return
        view = build_probabilities_view(evaluation)
        files: dict[str, str] = {}
        for when, drawing in (("before", view.before), ("after", view.after)):
            if drawing is not None:
                files |= self._chart(
                    f"calibration-{when}", drawing, f"Reliability {when} calibration"
                )
        found = evaluation.calibration
        yield self.build(
            "calibration",
            files,
            "Reliability before and after calibration, which was chosen on "
            f"{evaluation.operating_point.chosen_on}. Bars at the foot: how many images a point "
            "rests on; a hollow point rests on fewer than ten.",
            "evaluate",
            numbers=(
                take("expected calibration error before", found.expected_calibration_error_before),
                take("expected calibration error after", found.expected_calibration_error),
                take("Brier score before", found.brier_before),
                take("Brier score after", found.brier),
                take("log loss before", found.negative_log_likelihood_before),
                take("log loss after", found.negative_log_likelihood),
            ),
        )

    def _draw_decisions(self) -> Iterator[Figure]:
        evaluation = self.run.evaluation
        if evaluation is None or not evaluation.decision_curves:
            return
        files: dict[str, str] = {}
        for number, curve in enumerate(build_probabilities_view(evaluation).decisions):
            title = f"Net benefit of acting on “{curve.class_name}”"
            legend = ((number, "the network, with its interval"),)
            files |= self._chart(f"decision-{number + 1}", curve.drawing, title, legend)
        yield self.build(
            "decision",
            files,
            "Decision curves: net benefit over the threshold at which one would act. "
            "Dashed: acting on every image; the line at zero: on none. A curve below "
            "both is worth nothing there.",
            "evaluate",
            numbers=tuple(
                take(f"net benefit, {curve.class_name}, threshold {threshold:g}", benefit)
                for curve in evaluation.decision_curves
                for threshold, benefit in zip(curve.thresholds, curve.net_benefit, strict=True)
            ),
        )

    def _draw_left_out(self) -> Iterator[Figure]:
        left_out = self.run.left_out
        if left_out is None or not left_out.mean_tasks:
            return
        view = build_external_view(left_out, ())
        shown = left_out.mean_decisions
        yield self.build(
            "left-out-sources",
            {
                self.write(
                    "left-out-sources", _draw_tasks(view.tasks)
                ): "AUROC by set of sources left out and pair of classes."
            },
            "AUROC on sources that were left out of training, with its interval, and the best "
            "shortcut baseline on the same images.",
            "evaluate",
            command="cxresnet evaluate RUN --leave-sources-out",
            n=f"{shown.wrong.n:,} images of {shown.wrong.groups:,} patients"
            if shown
            else self.facts.n,
            seed=",".join(map(str, left_out.seeds)),
            numbers=tuple(number for one in view.tasks for number in _list_task_numbers(one)),
        )

    # What it sees.

    def _draw_zones(self) -> Iterator[Figure]:
        summary = self.run.explanation_summary
        means = summary.index.zone_means if summary else None
        if means is None:
            return
        files = {}
        for number, one in enumerate(means.classes, start=1):
            file = f"zones-{number}.png"
            write_bytes(self.out / file, encode(draw_class_panel(one)))
            files[file] = f"Mean attribution per lung zone of images predicted {one.class_name}."
        images = sum(one.images for one in means.classes)
        patients = sum(one.patients for one in means.classes)
        yield self.build(
            "zones",
            files,
            f"Mean attribution per lung zone ({means.method}) on drawn lungs, for each predicted "
            "class: share of what argues for the class, and its interval. Orange: more than the "
            "zone's area; blue: less.",
            "explain",
            n=f"{images} images of {patients} patients",
            numbers=tuple(
                take(f"{one.class_name}, {zone.zone}, share (area {zone.area:.3f})", zone.share)
                for one in means.classes
                for zone in one.zones
            ),
        )


def draw_pairs(drawer: Drawer, cells: tuple[pairs.PairCell, ...]) -> Figure:
    """Draw the grid of pairs of sources that no network of the cell saw."""
    files = {}
    for number, task in enumerate(dict.fromkeys(one.task for one in cells), start=1):
        own = [one for one in cells if one.task == task]
        file = drawer.write(f"pairs-{number}", pairs.draw_pairs(own))
        files[file] = f"AUROC of {task} by pair of unseen sources."
    return drawer.build(
        "pairs",
        files,
        "AUROC of five networks together that saw neither source of the cell, its interval over "
        "patients, and the best shortcut baseline in that very cell. Empty: not run, "
        "or not possible.",
        "pairs",
        command=pairs.COMMAND,
        n=f"{sum(one.n for one in cells):,} images over all cells, some in several",
        seed=pairs.SEEDS,
        date=pairs.DATE,
        numbers=tuple(
            Number(f"{one.task}: {one.ill} x {one.well}", one.auroc, one.low, one.high, one.n)
            for one in cells
        ),
    )


def draw_phantom_maps(out: Path, drawer: Drawer) -> Iterator[Figure]:
    """Draw phantoms with their maps and planted lesions, from a run on phantoms."""
    shown = phantoms.draw_maps(drawer.run)
    if shown is None:
        return
    write_bytes(out / "phantoms.png", encode(shown.picture))
    yield drawer.build(
        "phantoms",
        {"phantoms.png": "Drawn X-rays, one a class, lesions outlined, with two maps each."},
        "Phantoms with their planted lesions outlined in white, and their maps: of each class the "
        "correct image of lowest confidence, as a network that is sure loses little when one patch "
        "is covered. Drawings, not patients.",
        "explain",
        command="cxresnet run phantoms --config demo; cxresnet explain RUN",
        n=f"{shown.images} explained images with a lesion",
        interval="none, these are single images",
        numbers=tuple(Number(name, value) for name, value in shown.lesion_shares.items()),
    )


def encode(picture: Image.Image) -> bytes:
    """Encode a picture as PNG."""
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _draw_learning_rate(history: pd.DataFrame) -> Drawing:
    def draw(axes: Axes) -> None:
        axes.plot(
            history["epoch"], history["learning_rate"], color=SERIES_OF_THE_PAGE[0], marker="o"
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel="learning rate at its end", ylim=(0, None))

    alt_text = f"The learning rate at the end of each of {len(history)} epochs."
    return draw_svg("learning-rate", draw, alt_text=alt_text)


def _draw_confusion(evaluation: Evaluation) -> str:
    view = build_evaluation_view(evaluation)
    cells = [
        [
            Cell(
                (
                    f"{cell.images:,}",
                    "–" if cell.share is None else f"{cell.share:.0%}",
                    _format_range(cell.rate),
                ),
                share=cell.share or 0.0,
                colour=0 if cell.correct else 1,
            )
            for cell in row.cells
        ]
        for row in view.confusion
    ]
    return draw_table(
        cells,
        rows=[row.class_name for row in view.confusion],
        columns=evaluation.class_names,
        title="Confusion matrix, held-out test",
        corner="True class down, predicted class across",
        description="Images by true and predicted class.",
    )


def _format_range(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:.2f}–{estimate.high:.2f}"


def _draw_tasks(tasks: tuple[TaskRow, ...]) -> str:
    names = list(dict.fromkeys(one.score.title for one in tasks))
    sets = list(dict.fromkeys(one.name for one in tasks))
    cells = [[_build_task_cell(tasks, name, title) for title in names] for name in sets]
    return draw_table(
        cells,
        rows=[name.replace(" + ", " +\n") for name in sets],
        columns=[name.replace(" ", "\n") for name in names],
        title="AUROC on sources left out of training",
        corner="Sources left out down, pair of classes across",
        description="AUROC by set of sources left out and pair of classes.",
    )


def _build_task_cell(tasks: tuple[TaskRow, ...], name: str, title: str) -> Cell:
    found = next((one for one in tasks if (one.name, one.score.title) == (name, title)), None)
    if found is None or found.score.auroc.value is None:
        return Cell()
    baseline = found.score.baseline_auroc
    best = f"baseline {baseline.value:.2f}" if baseline and baseline.value is not None else ""
    lines = (f"{found.score.auroc.value:.2f}", _format_range(found.score.auroc), best)
    return Cell(lines, share=found.share)


def _list_task_numbers(one: TaskRow) -> Iterator[Number]:
    yield take(f"{one.name}: {one.score.title}, AUROC", one.score.auroc)
    if one.score.baseline_auroc is not None:
        yield take(f"{one.name}: {one.score.title}, best baseline", one.score.baseline_auroc)
