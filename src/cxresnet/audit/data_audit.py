"""What the data say before any training: the findings of one prepared dataset, in one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.audit.file_probes import (
    ProbeResult,
    describe_prepared,
    probe_bytes,
    probe_header,
    probe_record,
    probe_scalars,
)
from cxresnet.audit.source_oracle import ask_source_oracle
from cxresnet.core.finding import Finding, Measure, Verdict, write_findings
from cxresnet.core.progress import track
from cxresnet.core.seeding import build_generator
from cxresnet.data.dataset import PreparedDataset, open_dataset
from cxresnet.metrics.estimate import Estimate

__all__ = ["run_data_audit"]

_RED_AUROC, _AMBER_AUROC = 0.9, 0.75
_MOST_FILMS = 10_000


def run_data_audit(path: Path) -> tuple[Finding, ...]:
    """Ask everything that can be asked of a dataset before training, and write the answers.

    Probes of prepared films look at training and validation films only; the test stays sealed.
    Of a large dataset they take a part, drawn by chance: the answer does not get better with more.
    An outside set is sealed as a whole, so only its rows are asked; with one class nothing is.

    Args:
        path: A folder that `prepare` wrote; `findings.json` is written into it.

    Returns:
        The findings; a question that cannot be asked of so few films is left out.

    Raises:
        DatasetError: The folder is no dataset.
        StorageError: The findings cannot be written.
    """
    dataset = open_dataset(path)
    questions = list(_list_questions(dataset))
    findings = [
        finding for ask in track(questions, "Asking the data") if (finding := ask()) is not None
    ]
    write_findings(path, findings)
    return tuple(findings)


def _list_questions(dataset: PreparedDataset) -> Iterator[Callable[[], Finding | None]]:
    manifest = dataset.manifest
    if len(dataset.class_names) < 2:
        return
    yield lambda: ask_source_oracle(manifest, unsaid=dataset.record.source)
    yield lambda: _probe(
        "record",
        "Do view, sex and age tell the class?",
        "view, sex and age as recorded, and which of them are not",
        lambda: probe_record(manifest),
    )
    yield lambda: _probe(
        "file_header",
        "Does what the file was tell the class?",
        "size, format, grey depth and border of the file, as it came",
        lambda: probe_header(manifest),
    )
    side_px = dataset.preprocessing.side_px
    yield lambda: _probe(
        "prepared_header",
        "Does what is left of the file tell the class?",
        "size, format and grey depth of the prepared film",
        lambda: probe_header(describe_prepared(manifest, side_px=side_px)),
    )
    if dataset.record.config.outside:
        return
    films, shown = _draw_open_films(dataset)
    yield lambda: _probe(
        "prepared_bytes",
        "Does the sharpness of the prepared film tell the class?",
        "how many bytes the prepared film takes when it is stored again",
        lambda: probe_bytes(films, shown),
    )
    yield lambda: _probe(
        "prepared_scalars",
        "Do six numbers of the prepared film tell the class?",
        "mean, spread and four percentiles of the prepared film",
        lambda: probe_scalars(films, shown),
    )


def _draw_open_films(dataset: PreparedDataset) -> tuple[list[NDArray[np.uint8]], pd.DataFrame]:
    """Draw films that are not sealed, at most so many that the probes take a minute."""
    splits = [dataset.select("train"), dataset.select("val")]
    films = [film for split in splits for film in split.films]
    manifest = pd.concat([split.manifest for split in splits], ignore_index=True)
    if len(films) <= _MOST_FILMS:
        return films, manifest
    generator = build_generator(dataset.record.config.seed, "data-audit")
    chosen = np.sort(generator.choice(len(films), size=_MOST_FILMS, replace=False))
    return [films[row] for row in chosen], manifest.iloc[chosen].reset_index(drop=True)


def _probe(
    question: str, title: str, seen: str, run: Callable[[], ProbeResult | None]
) -> Finding | None:
    try:
        result = run()
    except ValueError:
        # Fewer patients in a class than the probe needs: there is nothing to hold out.
        return None
    if result is None:
        return None
    verdict = _judge(result)
    return Finding(
        question=question,
        title=title,
        verdict=verdict,
        sentence=_word(result, seen=seen, verdict=verdict),
        measures=tuple(_list_measures(result)),
    )


def _judge(result: ProbeResult) -> Verdict:
    """Judge by the class that is told best; green must be shown, not only not be refuted."""
    auroc = result.highest_auroc[1].value or 0.0
    if auroc >= _AMBER_AUROC:
        return "red" if auroc >= _RED_AUROC else "amber"
    return "amber" if _is_open(result) else "green"


def _is_open(result: ProbeResult) -> bool:
    """Tell whether so few films were asked that some class may be told as well as red means."""
    return any(area.high is None or area.high >= _RED_AUROC for area in result.auroc.values())


def _word(result: ProbeResult, *, seen: str, verdict: Verdict) -> str:
    class_name, area = result.highest_auroc
    told = f"From {seen}, a forest tells {class_name} with an AUROC of {_show(area)}"
    if verdict == "amber" and (area.value or 0.0) < _AMBER_AUROC:
        return f"{told} at best: too few films to say how much of a score can come from there."
    return {
        "red": f"{told}: a network can be as good without looking at a lung.",
        "amber": f"{told}: a part of any score may come from there.",
        "green": f"{told} at best: little of a score can come from there.",
    }[verdict]


def _show(area: Estimate) -> str:
    value = "–" if area.value is None else f"{area.value:.2f}"
    between = "" if area.low is None or area.high is None else f"{area.low:.2f}–{area.high:.2f}, "
    return f"{value} ({between}{area.n} films)"


def _list_measures(result: ProbeResult) -> Iterator[Measure]:
    accuracy = result.accuracy
    yield Measure(
        name="Accuracy on held-out patients",
        value=accuracy.value,
        low=accuracy.low,
        high=accuracy.high,
        n=accuracy.n,
        note=f"always saying the commonest class: {result.chance:.3f}",
    )
    for class_name, area in result.auroc.items():
        yield Measure(
            name=f"AUROC of {class_name}",
            value=area.value,
            low=area.low,
            high=area.high,
            n=area.n,
            note="chance: 0.500",
        )
