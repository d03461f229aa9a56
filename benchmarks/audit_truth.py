"""Does the audit find a planted shortcut, and does it leave a clean network alone?

Run: python benchmarks/audit_truth.py FOLDER [--seeds 20] [--kinds marker,tone,frame,sharpness]
     [--strengths 0.25,0.5,0.75,1]
     [--images-per-class 120] [--epochs 24] [--workers 2] [--out table.md]   # and table.svg
Time: about a minute a network and core; 36 networks with the defaults

Phantoms are drawn with a shortcut of growing strength (0, 0.25, 0.5, 0.75, 1: the share of the
images in which it says more than chance), a small network is trained on each set, and each is
audited as `cxresnet audit RUN` does. Of every audit two numbers count: how many of the questions
are red, and the **shortcut score**, the mean of

- the AUROC, above chance, of a small network that sees the border alone;
- the part of the probability of the planted class that the frame carries when lungs are swapped;
- the share of answers that the planted kind of alteration changes at full strength.

Twenty clean sets with other seeds say how often the audit is red for nothing. Each audit is kept in
FOLDER: the same command goes on where it was stopped. Fails where a promise of docs/benchmarks.md
is broken: monotone scores, red at 0.5 and 1, at most one red clean network in twenty.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cxresnet.core.config import Config
    from cxresnet.core.run_folder import RunFolder

CLEAN = "none"
NOT_ASKED = ("attribution", "map_follows", "label_noise")
"""Two need maps, which take longer than all others; the third is never red."""

PLANTED_CLASS = "covid-19"
BORDER = "border alone"
FOLLOWS_FRAME = f"Decision follows the frame, {PLANTED_CLASS} or not"
CARRIES = f"Part of the probability of {PLANTED_CLASS} that the frame carries"
ALTERATION = {"marker": "marker", "tone": "tone", "frame": "border", "sharpness": "blur"}
"""Which dose-response belongs to which planted kind."""


@dataclass(frozen=True)
class Case:
    """One set of phantoms."""

    kind: str
    strength: float
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.kind}-{self.strength:g}-seed-{self.seed}"

    @property
    def source(self) -> str:
        """Settings of the phantoms."""
        planted = (
            "" if self.kind == CLEAN else f",shortcut={self.kind}:{PLANTED_CLASS}:{self.strength:g}"
        )
        return f"seed={self.seed},images_per_patient=1{planted}"


def main() -> None:
    options = read_options()
    strengths = [float(one) for one in options.strengths.split(",")]
    cases = list(list_cases(options.kinds.split(","), strengths, seeds=options.seeds))
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        jobs = [(case, options) for case in cases]
        found = dict(zip(cases, pool.map(audit_case, jobs), strict=True))
    text = "\n".join(list_lines(found)) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
        draw_curves(found, options.out.with_suffix(".svg"))
    broken = list(list_broken_promises(found))
    for line in broken:
        print(f"BROKEN: {line}", file=sys.stderr)
    sys.exit(bool(broken))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=20, help="clean sets")
    parser.add_argument("--kinds", default="marker,tone,frame,sharpness")
    parser.add_argument("--strengths", default="0.25,0.5,0.75,1")
    parser.add_argument("--only", default="", help="some questions, as of cxresnet audit")
    parser.add_argument("--images-per-class", type=int, default=120)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def list_cases(kinds: Sequence[str], strengths: Sequence[float], *, seeds: int) -> Iterator[Case]:
    """List the planted sets, all of seed 0, and the clean ones."""
    for kind, strength in itertools.product(kinds, strengths):
        yield Case(kind, strength, 0)
    for seed in range(seeds):
        yield Case(CLEAN, 0.0, seed)


def audit_case(job: tuple[Case, argparse.Namespace]) -> dict[str, object]:
    """Prepare, train, evaluate and audit one set; gives its scorecard as JSON."""
    case, options = job
    source = f"phantoms:images_per_class={options.images_per_class},{case.source}"
    only = options.only.split(",") if options.only else ()
    return audit_phantoms(options.folder / case.name, source, epochs=options.epochs, only=only)


def audit_phantoms(
    path: Path,
    source: str,
    *,
    epochs: int,
    settings: Sequence[str] = (),
    left_out: str = "",
    only: Sequence[str] = (),
) -> dict[str, object]:
    """Prepare, train, evaluate and audit phantoms, on one core; gives the scorecard as JSON.

    Args:
        path: The run; what is there already is not done again.
        source: Of the phantoms.
        epochs: Of the network and of the small networks of the audit.
        settings: Further keys of the config.
        left_out: A source that another network is trained without, for question 13; "" for none.
        only: Questions to ask; all but `NOT_ASKED` if empty.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch  # noqa: PLC0415  in each process, with one thread

    torch.set_num_threads(1)
    import cxresnet  # noqa: PLC0415
    from cxresnet.audit.open import open_run_audit  # noqa: PLC0415
    from cxresnet.audit.run import choose_questions, run_audit  # noqa: PLC0415
    from cxresnet.core.config import read_config  # noqa: PLC0415
    from cxresnet.core.run_folder import RunFolder  # noqa: PLC0415

    run = RunFolder(path)
    config = read_config(
        Path("demo"),
        settings=(
            "data.side_px=64",
            "model.preset=nano",
            f"train.epochs={epochs}",
            "train.batch_size=16",
            "train.monitor=last",
            "evaluate.bootstrap_resamples=500",
            "evaluate.min_left_out_images=10",
            f"audit.small_epochs={epochs // 4}",
            "audit.small_side_px=64",
            *settings,
        ),
    )
    if not run.metrics.is_file():
        dataset = path / "dataset"
        cxresnet.prepare(source, out=dataset, config=config, force=True)
        cxresnet.train(dataset, out=path, config=config, force=True)
        cxresnet.evaluate(path, config=config)
        if left_out:
            leave_out(run, left_out, config)
    questions = choose_questions(only, () if only else NOT_ASKED)
    scorecard = run_audit(open_run_audit(run, config=config), questions)
    print(f"{path.name}: {scorecard.verdict}. {scorecard.headline}", file=sys.stderr, flush=True)
    content: dict[str, object] = json.loads(scorecard.model_dump_json())
    return content


def leave_out(run: RunFolder, source: str, config: Config) -> None:
    """Train without a source and test on it, as `evaluate --leave-sources-out` does."""
    from cxresnet.cli.evaluate import LeaveOutOptions, evaluate_left_out  # noqa: PLC0415

    options = LeaveOutOptions(sets=source, seeds=(), advise_merge=False, resume=False)
    evaluate_left_out(run, config=config.evaluate, options=options)


def find_measure(scorecard: dict, name: str, *, largest: bool = False) -> float:
    """Find the value of a measure; 0 where it was not measured.

    Args:
        scorecard: As JSON.
        name: Its whole name, or the end of it with `largest`.
        largest: Take the largest of all whose name ends like this, for AUROCs of single classes.
    """
    values = [
        measure["value"]
        for finding in scorecard["findings"]
        for measure in finding["measures"]
        if measure["value"] is not None
        and (
            measure["name"] == name
            or (
                largest
                and measure["name"].startswith("AUROC of")
                and measure["name"].endswith(name)
            )
        )
    ]
    return max(values, default=0.0)


def find_border(scorecard: dict) -> float:
    """Find the AUROC of the class that the border alone predicts best."""
    return find_measure(scorecard, BORDER, largest=True)


def compute_score(scorecard: dict, kind: str) -> float:
    """Compute the shortcut score, 0 to 1."""
    border = 2 * find_border(scorecard) - 1
    frame = find_measure(scorecard, CARRIES)
    dose = find_measure(scorecard, f"Share of answers changed by {ALTERATION[kind]}, at most")
    return (max(border, 0.0) + max(frame, 0.0) + dose) / 3


def list_red(scorecard: dict) -> list[str]:
    return [one["question"] for one in scorecard["findings"] if one["verdict"] == "red"]


@dataclass(frozen=True)
class Point:
    """What the audits say of one kind at one strength; at 0 the mean over all clean networks."""

    strength: float
    red: tuple[str, ...]
    border: float
    follows_frame: float
    score: float


def list_curve(found: dict[Case, dict], kind: str) -> Iterator[Point]:
    """List what the audits say of one kind, by strength."""
    planted = [(case.strength, [card]) for case, card in found.items() if case.kind == kind]
    clean = list_clean(found)
    for strength, cards in [(0.0, clean), *planted] if clean else planted:
        yield Point(
            strength=strength,
            red=tuple(sorted({name for card in cards for name in list_red(card)})),
            border=mean(find_border(card) for card in cards),
            follows_frame=mean(find_measure(card, FOLLOWS_FRAME) for card in cards),
            score=mean(compute_score(card, kind) for card in cards),
        )


def list_clean(found: dict[Case, dict]) -> list[dict]:
    return [card for case, card in found.items() if case.kind == CLEAN]


def list_kinds(found: dict[Case, dict]) -> list[str]:
    return list(dict.fromkeys(case.kind for case in found if case.kind != CLEAN))


def list_lines(found: dict[Case, dict]) -> Iterator[str]:
    """List the table of the planted sets, then that of the clean ones."""
    yield "| planted | strength | red questions | AUROC of the border | follows the frame | score |"
    yield "|---|---|---|---|---|---|"
    for kind in list_kinds(found):
        for point in list_curve(found, kind):
            yield (
                f"| {kind} | {point.strength:g} | {', '.join(point.red) or 'none'} "
                f"| {point.border:.2f} | {point.follows_frame:.2f} | {point.score:.2f} |"
            )
    reds = [list_red(card) for card in list_clean(found)]
    names = sorted({name for red in reds for name in red})
    yield ""
    yield (
        f"Clean networks with a red question: {sum(map(bool, reds))} of {len(reds)}"
        f"{f' ({chr(44).join(names)})' if names else ''}."
    )


def draw_curves(found: dict[Case, dict], path: Path) -> None:
    """Draw the score over the strength, a panel a kind, above the scores of all clean networks."""
    import matplotlib as mpl  # noqa: PLC0415  only where there is something to draw
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.rcParams["svg.hashsalt"] = "cxresnet"  # the same data give the same file
    clean = list_clean(found)
    kinds = list_kinds(found)
    figure = Figure(figsize=(2.1 * len(kinds), 2.6), layout="constrained")
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        if clean:
            innocent = [compute_score(card, kind) for card in clean]
            axes.axhspan(min(innocent), max(innocent), color="0.88", lw=0)
        curve = list(list_curve(found, kind))
        strengths, scores = zip(*((one.strength, one.score) for one in curve), strict=True)
        axes.plot(strengths, scores, color="0.3", lw=1.2, zorder=1)
        colours = ["#c62828" if one.red else "white" for one in curve]
        axes.scatter(strengths, scores, c=colours, edgecolors="0.3", s=36, zorder=2)
        axes.set(title=kind, xlabel="strength", xlim=(-0.08, 1.08), ylim=(0, 1), xticks=(0, 0.5, 1))
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("shortcut score")
    figure.savefig(path, metadata={"Date": None})


def list_broken_promises(found: dict[Case, dict]) -> Iterator[str]:
    """List what docs/benchmarks.md promises and these audits do not keep."""
    for kind in list_kinds(found):
        curve = list(list_curve(found, kind))
        scores = [one.score for one in curve]
        if any(after < before - 0.02 for before, after in itertools.pairwise(scores)):
            yield f"{kind}: the scores {[round(one, 2) for one in scores]} do not rise"
        for one in curve:
            if one.strength in {0.5, 1.0} and not one.red:
                yield f"{kind} of strength {one.strength:g}: no question is red"
    reds = [list_red(card) for card in list_clean(found)]
    if sum(map(bool, reds)) > max(1, len(reds) // 20):
        yield f"{sum(map(bool, reds))} of {len(reds)} clean networks are red"


if __name__ == "__main__":
    main()
