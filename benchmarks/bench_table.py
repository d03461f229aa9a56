"""Costs, rows and growth: what the table of `bench.py` is made of."""

from __future__ import annotations

import io
import math
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MAX_EXPONENT = 1.1


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much work is measured; `growth` is empty where that is left out."""

    turns: int
    preset: str
    side_px: int
    window_px: int
    stride_px: int
    batches: tuple[int, ...]
    images: int
    image_side_px: int
    predicted: int
    large: int
    large_side_px: int
    counts: tuple[int, ...]
    growth: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of the processor: this process and the children that ended."""

    clock_s: float
    processor_s: float

    def divide(self, other: Cost) -> str:
        """Write the ratio of this to another, by the clock and by the processor."""
        clock = self.clock_s / other.clock_s
        return f"{clock:.2f}, {self.processor_s / max(other.processor_s, 1e-9):.2f}"


@dataclass(frozen=True)
class Row:
    """One row of the table; `met` is None where nothing must be."""

    question: str
    peer: str
    ours: Cost | None
    theirs: Cost | None
    ratio: str
    must: str = "–"
    met: bool | None = None


@dataclass(frozen=True)
class Growth:
    """Processor seconds of one stage for several numbers of images."""

    stage: str
    counts: tuple[int, ...]
    costs: tuple[Cost, ...]

    @property
    def exponent(self) -> float:
        """Slope of the seconds over the number, both logarithmic: 1 is proportional."""
        seconds = [math.log(max(cost.processor_s, 1e-3)) for cost in self.costs]
        return float(np.polyfit([math.log(count) for count in self.counts], seconds, 1)[0])

    def to_row(self) -> Row:
        """Give the row of the table; the seconds are those of the largest number."""
        steps = f"{self.counts[0]:,} to {self.counts[-1]:,}"
        return Row(
            f"{self.stage}, {steps}: exponent of the growth",
            "proportional: 1",
            self.costs[-1],
            None,
            f"{self.exponent:.2f}",
            f"≤ {MAX_EXPONENT}",
            self.exponent <= MAX_EXPONENT,
        )


def cost_at_most(
    question: str, peer: str, ours: Cost, theirs: Cost, limit: float | None = None
) -> Row:
    """Compare costs: how many times the peer's ours is, by the clock."""
    met = None if limit is None else ours.clock_s <= limit * theirs.clock_s
    must = "–" if limit is None else f"≤ {limit} ×"
    return Row(question, peer, ours, theirs, ours.divide(theirs), must, met)


def faster_at_least(
    question: str, peer: str, ours: Cost, theirs: Cost, limit: float | None = None
) -> Row:
    """Compare speeds: how many times as fast as the peer ours is, by the clock."""
    met = None if limit is None else theirs.clock_s >= limit * ours.clock_s
    must = "–" if limit is None else f"≥ {limit} ×"
    return Row(question, peer, ours, theirs, theirs.divide(ours), must, met)


def read_clocks() -> Cost:
    """Read the clock, and the processor's seconds of this process and its children."""
    uses = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Cost(time.perf_counter(), sum(use.ru_utime + use.ru_stime for use in uses))


def measure_once(task: Callable[[], object]) -> Cost:
    before = read_clocks()
    task()
    after = read_clocks()
    return Cost(after.clock_s - before.clock_s, after.processor_s - before.processor_s)


def take_turns(tasks: Mapping[str, Callable[[], object]], *, turns: int) -> dict[str, Cost]:
    """Let the tasks take turns; of each the fastest counts, by the clock and by the processor."""
    found = {name: list[Cost]() for name in tasks}
    for _ in range(turns):
        for name, task in tasks.items():
            found[name].append(measure_once(task))
    return {
        name: Cost(min(c.clock_s for c in costs), min(c.processor_s for c in costs))
        for name, costs in found.items()
    }


def draw(growths: Sequence[Growth]) -> str:
    """Draw seconds of the processor over the number of images, both logarithmic, as SVG."""
    from matplotlib.figure import Figure  # noqa: PLC0415  only where there is something to draw

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot(xscale="log", yscale="log")
    for growth in growths:
        seconds = [max(cost.processor_s, 1e-3) for cost in growth.costs]
        label = f"{growth.stage.strip('`')}: exponent {growth.exponent:.2f}"
        axes.plot(growth.counts, seconds, marker="o", label=label)
    axes.set(xlabel="images", ylabel="seconds of the processor")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
