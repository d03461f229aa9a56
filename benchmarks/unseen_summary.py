r"""What `unseen_sources.py` found: one table of scores, one of decisions, one picture.

    python benchmarks/unseen_summary.py DATASET --work FOLDER [--unknown OTHER] \
        [--sets outer|inner|single] [--plot GRID.svg]

Scores are those of the outer sets, by task: single networks (mean of the seeds), the ensemble of
all seeds, the best shortcut baseline (the one with the highest mean over the sets of the task) and
the paired difference. Intervals: bootstrap over patients, stratified by class; all sets together,
so that a patient who stands in two sets is drawn for both. The sources are held fixed.

Decisions: calibration and prediction sets (`--coverage` of the images of each class) are chosen on
the inner sets, and used on the outer sets and on images of a disease that is none of the classes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from cxresnet.core.seeding import build_generator
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.calibration import compute_probabilities, fit_calibration
from cxresnet.metrics.conformal import build_prediction_sets, fit_set_thresholds
from cxresnet.metrics.estimate import Estimate, format_estimate
from cxresnet.metrics.statistic import Statistic, build_mean
from unseen_sources import INNER, OUTER, SINGLE, Material, Sets, build_statistics, gather

_TASKS = ("covid/normal", "pneumonia/normal", "covid/pneumonia")
_RESAMPLES = 2000
_LEAST_LOGIT = -20.0


@dataclass(frozen=True)
class SetPredictions:
    """What is known of one set of sources left out.

    Attributes:
        name: Its sources.
        rows: Of the images left out, in the material.
        logits: (seeds, images left out, classes).
        unknown: (seeds, images of another disease, classes).
        baselines: Log-probabilities, (images left out, classes), by baseline.
    """

    name: str
    rows: NDArray[np.intp]
    logits: NDArray[np.float64]
    unknown: NDArray[np.float64]
    baselines: dict[str, NDArray[np.float64]]


def read_sets(work: Path, sets: Sets, material: Material) -> Iterator[SetPredictions]:
    """Read the predictions of the sets that were run."""
    for left_out in sets:
        name = "+".join(left_out)
        files = sorted((work / "predictions").glob(f"{name}-*.npz"))
        if not files:
            continue
        with np.load(work / "predictions" / f"baselines-{name}.npz") as found:
            baselines = {
                key.removeprefix("by "): np.log(np.clip(found[key], np.exp(_LEAST_LOGIT), 1))
                for key in found.files
                if key != "left"
            }
        runs = [np.load(file) for file in files]
        rows = runs[0]["left"]
        yield SetPredictions(
            name=name,
            rows=rows,
            logits=np.stack([one["logits"][rows].astype(np.float64) for one in runs]),
            unknown=np.stack([one["logits"][material.labels < 0].astype(float) for one in runs]),
            baselines=baselines,
        )


def centre(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average the logits of the seeds, as an ensemble does."""
    mean: NDArray[np.float64] = logits.mean(axis=0)
    return mean


def build_scores(
    found: Sequence[SetPredictions], material: Material, *, predictor: str
) -> dict[str, Statistic]:
    """Build the AUROCs of one predictor ("ensemble", "seed 0" or a baseline), by task and set."""
    total = sum(len(one.rows) for one in found)
    scores: dict[str, Statistic] = {}
    start = 0
    for one in found:
        inside = slice(start, start + len(one.rows))
        start += len(one.rows)
        for statistic in build_statistics(_take(one, predictor), material, one.rows):
            if str(statistic.name).startswith(_TASKS):
                scores[f"{statistic.name} [{one.name}]"] = _widen(statistic, inside, total)
    return scores


def _take(one: SetPredictions, predictor: str) -> NDArray[np.float64]:
    if predictor == "ensemble":
        return centre(one.logits)
    if predictor.startswith("seed "):
        return one.logits[int(predictor.removeprefix("seed "))]
    return one.baselines[predictor]


def _widen(statistic: Statistic, inside: slice, total: int) -> Statistic:
    """Make a statistic of one set one of all sets laid behind each other."""

    def widen(part: NDArray[np.bool_]) -> NDArray[np.bool_]:
        wide = np.zeros(total, dtype=np.bool_)
        wide[inside] = part
        return wide

    return Statistic(
        name=statistic.name,
        compute=lambda weights: statistic.compute(np.ascontiguousarray(weights[:, inside])),
        parts=tuple(widen(part) for part in statistic.parts),
        undefined=statistic.undefined,
    )


def average(name: str, parts: Sequence[Statistic]) -> Statistic:
    """Average several numbers, in each resample."""
    return Statistic(
        name=name,
        compute=lambda weights: np.mean([part.compute(weights) for part in parts], axis=0),
        parts=tuple(mask for part in parts for mask in part.parts),
        undefined="A part is not defined.",
    )


def subtract(name: str, one: Statistic, other: Statistic) -> Statistic:
    """Subtract one number from another, in each resample."""
    return Statistic(
        name=name,
        compute=lambda weights: one.compute(weights) - other.compute(weights),
        parts=one.parts,
        undefined=one.undefined,
        scale="difference",
    )


def list_statistics(found: Sequence[SetPredictions], material: Material) -> Iterator[Statistic]:
    """List everything that gets an interval."""
    seeds = range(len(found[0].logits))
    ensemble = build_scores(found, material, predictor="ensemble")
    singles = [build_scores(found, material, predictor=f"seed {seed}") for seed in seeds]
    baselines = {name: build_scores(found, material, predictor=name) for name in found[0].baselines}
    for task in _TASKS:
        keys = [key for key in ensemble if key.startswith(task)]
        if not keys:
            continue
        single = average("", [average("", [one[key] for one in singles]) for key in keys])
        means = {name: average("", [s[key] for key in keys]) for name, s in baselines.items()}
        total = len(ensemble[keys[0]].parts[0])
        value = {name: float(m.compute(np.ones((1, total)))[0]) for name, m in means.items()}
        best = max(value, key=lambda name: value[name])
        together = average("", [ensemble[key] for key in keys])
        yield replace(single, name=f"{task}: mean of single networks")
        yield replace(together, name=f"{task}: ensemble")
        yield replace(means[best], name=f"{task}: best baseline ({best})")
        yield subtract(f"{task}: single networks - best baseline", single, means[best])
        yield subtract(f"{task}: ensemble - best baseline", together, means[best])
        for key in keys:
            yield replace(
                average("", [one[key] for one in singles]), name=f"  {key}: single networks"
            )
            yield replace(ensemble[key], name=f"  {key}: ensemble")
            yield replace(baselines[best][key], name=f"  {key}: {best}")


@dataclass(frozen=True)
class SetRule:
    """How logits become prediction sets, as `evaluate.calibrate_on = "left-out sources"` does it.

    Attributes:
        temperature: The logits are divided by it.
        shifts: Added then, one a class.
        thresholds: Lowest probability with which a class belongs to a set.
    """

    temperature: float
    shifts: tuple[float, ...]
    thresholds: NDArray[np.float64]

    def decide(self, logits: NDArray[np.float64]) -> NDArray[np.int64]:
        """Decide on each image, (images,): the one class of its set, or -1."""
        shares = compute_probabilities(logits, temperature=self.temperature, shifts=self.shifts)
        sets = build_prediction_sets(shares, self.thresholds)
        return np.where(sets.sum(axis=1) == 1, sets.argmax(axis=1), -1)


def choose_rule(inner: Sequence[SetPredictions], material: Material, *, coverage: float) -> SetRule:
    """Choose calibration and prediction sets on all images of the inner sets."""
    logits = np.concatenate([centre(one.logits) for one in inner])
    labels = np.concatenate([material.labels[one.rows] for one in inner])
    temperature, shifts = fit_calibration(logits, labels)
    shares = compute_probabilities(logits, temperature=temperature, shifts=shifts)
    thresholds = fit_set_thresholds(shares, labels, coverage=coverage)
    return SetRule(temperature, tuple(shifts), thresholds)


def print_decisions(
    found: Sequence[SetPredictions],
    material: Material,
    *,
    rule: SetRule,
    title: str,
) -> None:
    """Print what a rule does on each set: wrong, answered, right among answered; unknown ones."""
    print(
        f"\n{title}\n| set | n | wrong definite | answered | right of these | unknown abstained |"
    )
    print("|---|---|---|---|---|---|")
    wrongs, groups, strata, silent = [], [], [], []
    for one in found:
        known = material.labels[one.rows]
        decided = rule.decide(centre(one.logits))
        says = decided >= 0
        wrong = says & (decided != known)
        other = rule.decide(centre(one.unknown))
        silent.append((other < 0).mean() if len(other) else np.nan)
        right = 1 - wrong.sum() / max(1, says.sum())
        print(
            f"| {one.name} | {len(known)} | {wrong.mean():.3f} | {says.mean():.3f} | {right:.3f} "
            f"| {silent[-1]:.3f} |"
        )
        wrongs.append(wrong.astype(float))
        groups.append(material.groups[one.rows])
        strata.append(known)
    total = sum(map(len, wrongs))
    parts, start = [], 0
    for wrong in wrongs:
        values = np.full(total, np.nan)
        values[start : start + len(wrong)] = wrong
        start += len(wrong)
        parts.append(build_mean("", values))
    estimates = compute_estimates(
        [average("wrong definite answers", parts)],
        groups=np.concatenate(groups),
        strata=np.concatenate(strata),
        resamples=_RESAMPLES,
        confidence=0.95,
        generator=build_generator(0, "unseen sources"),
    )
    mean = format_estimate(estimates["wrong definite answers"])
    print(f"| mean | {total} | {mean} | | | {np.mean(silent):.3f} |")


def collect_cells(work: Path, material: Material) -> list[tuple[str, str, str, Estimate, float]]:
    """Collect one cell a task and pair of sources: task, ill, well, estimate, best baseline."""
    cells = {}
    for sets in (OUTER, INNER, SINGLE):
        found = list(read_sets(work, sets, material))
        ensemble = build_scores(found, material, predictor="ensemble")
        others = [build_scores(found, material, predictor=name) for name in found[0].baselines]
        rows = np.concatenate([one.rows for one in found])
        estimates = compute_estimates(
            [replace(statistic, name=key) for key, statistic in ensemble.items()],
            groups=material.groups[rows],
            strata=material.labels[rows],
            resamples=_RESAMPLES,
            confidence=0.95,
            generator=build_generator(0, "unseen sources"),
        )
        for key, estimate in estimates.items():
            task, places = str(key).split(" [")[0].split(" ", 1)
            ill, _, well = places.partition(" x ")
            best = max(float(one[str(key)].compute(np.ones((1, len(rows))))[0]) for one in others)
            # Of a source that holds both classes, the training that left out nothing else stays.
            cells[task, ill, well] = (task, ill, well or "the same source", estimate, best)
    return list(cells.values())


def draw_grid(cells: Sequence[tuple[str, str, str, Estimate, float]], path: Path) -> None:
    """Draw the AUROCs: a row a source of the ill, a column a source of those compared with."""
    widths = [len({cell[2] for cell in cells if cell[0] == task}) for task in _TASKS]
    figure, panels = plt.subplots(
        1, 3, figsize=(10.5, 4.4), width_ratios=widths, layout="constrained"
    )
    for panel, task in zip(panels, _TASKS, strict=True):
        own = [cell for cell in cells if cell[0] == task]
        rows = sorted({cell[1] for cell in own})
        columns = sorted({cell[2] for cell in own})
        values = np.full((len(rows), len(columns)), np.nan)
        for _, ill, well, estimate, best in own:
            y, x = rows.index(ill), columns.index(well)
            values[y, x] = estimate.value
            text = (
                f"{estimate.value:.2f}\n{estimate.low:.2f}–{estimate.high:.2f}\nbaseline {best:.2f}"
            )
            panel.text(x, y, text, ha="center", va="center", fontsize=8, color="black")
        panel.imshow(values, vmin=0.3, vmax=1.0, cmap="RdYlGn", alpha=0.6, aspect="auto")
        panel.set_xticks(range(len(columns)), columns, fontsize=9)
        panel.set_yticks(range(len(rows)), rows, fontsize=9)
        ill, well = task.replace("covid", "COVID-19").split("/")
        panel.set_title(f"{ill} of (row)\nagainst {well} of", fontsize=10)
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--unknown", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--coverage", type=float, default=0.9)
    parser.add_argument("--sets", choices=("inner", "outer", "single"), default="outer")
    given = parser.parse_args()
    unknown = open_dataset(given.unknown) if given.unknown else None
    material = gather(open_dataset(given.dataset), unknown)
    if given.plot is not None:
        draw_grid(collect_cells(given.work, material), given.plot)
        return
    inner = list(read_sets(given.work, INNER, material))
    chosen = {"inner": INNER, "outer": OUTER, "single": SINGLE}[given.sets]
    found = list(read_sets(given.work, chosen, material))
    print(f"{len(found)} sets, {len(found[0].logits)} seeds")
    rows = np.concatenate([one.rows for one in found])
    estimates = compute_estimates(
        list(list_statistics(found, material)),
        groups=material.groups[rows],
        strata=material.labels[rows],
        resamples=_RESAMPLES,
        confidence=0.95,
        generator=build_generator(0, "unseen sources"),
    )
    print("| what | AUROC (95 % interval) |\n|---|---|")
    for name, estimate in estimates.items():
        print(f"| {name} | {format_estimate(estimate)} |")
    rule = choose_rule(inner, material, coverage=given.coverage)
    print(
        f"\nTemperature {rule.temperature:.2f}, shifts {np.round(rule.shifts, 2)}, thresholds "
        f"{np.round(rule.thresholds, 3)}, coverage {given.coverage}, chosen on the inner sets"
    )
    for sets, title in ((inner, "Inner sets (chosen here)"), (found, f"{given.sets} sets")):
        print_decisions(sets, material, rule=rule, title=title)
    for one in inner:
        apart = [other for other in inner if other is not one]
        rule = choose_rule(apart, material, coverage=given.coverage)
        print_decisions([one], material, rule=rule, title=f"{one.name}, chosen on the other two")


if __name__ == "__main__":
    main()
