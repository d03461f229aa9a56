"""All checks of a prepared dataset before any training: its findings, in one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.core.finding import Finding, Measure, Verdict, write_findings
from cxresnet.core.progress import track
from cxresnet.core.seeding import build_generator
from cxresnet.data.dataset.dataset import PreparedDataset, open_dataset
from cxresnet.metrics.estimate import Estimate, format_estimate
from cxresnet.shortcuts.confounding import check_source_confounding
from cxresnet.shortcuts.features import describe_prepared_files
from cxresnet.shortcuts.probe import (
    ProbeResult,
    probe_bytes,
    probe_header,
    probe_record,
    probe_scalars,
)
from cxresnet.shortcuts.processing import check_image_processing

_RED_AUROC, _AMBER_AUROC = 0.9, 0.75
_MAX_IMAGES = 10_000

_Check = Callable[[], Finding | None]


def run_data_checks(path: Path) -> tuple[Finding, ...]:
    """Run all checks of a dataset that are possible before training, and write the findings.

    Probes of prepared images use training and validation images only; the held-out test set is not
    opened. Of a large dataset they use a random part, since more images would not change the
    finding. An external test set is held out as a whole, so only its manifest is checked; with a
    single class nothing is.

    Args:
        path: A folder that `prepare` wrote; `findings.json` is written into it.

    Returns:
        The findings; a check that so few images do not allow is left out.

    Raises:
        DatasetError: The folder is no dataset.
        StorageError: The findings cannot be written.
    """
    dataset = open_dataset(path)
    checks = list(_list_checks(dataset))
    findings = [
        finding for check in track(checks, "Auditing the data") if (finding := check()) is not None
    ]
    write_findings(path, findings)
    return tuple(findings)


def _list_checks(dataset: PreparedDataset) -> Iterator[_Check]:
    if len(dataset.class_names) < 2:
        return
    yield from _list_manifest_checks(dataset)
    if not dataset.record.config.external_test:
        yield from _list_image_checks(dataset)


def _list_manifest_checks(dataset: PreparedDataset) -> Iterator[_Check]:
    manifest, side_px = dataset.manifest, dataset.preprocessing.side_px
    yield lambda: check_source_confounding(manifest, unknown_source=dataset.record.source)
    yield lambda: check_image_processing(manifest)
    yield lambda: _probe(
        "record",
        "Can view, sex and age predict the class?",
        "view, sex and age as recorded",
        lambda: probe_record(manifest),
    )
    yield lambda: _probe(
        "file_header",
        "Can the properties of the file predict the class?",
        "image size, file size, format, bit depth and border intensity",
        lambda: probe_header(manifest),
    )
    yield lambda: _probe(
        "prepared_header",
        "Can what is left of the file's properties predict the class?",
        "size, format and bit depth of the prepared image",
        lambda: probe_header(describe_prepared_files(manifest, side_px=side_px)),
    )


def _list_image_checks(dataset: PreparedDataset) -> Iterator[_Check]:
    images, manifest = _sample_open_images(dataset)
    yield lambda: _probe(
        "prepared_bytes",
        "Can the sharpness of the prepared image predict the class?",
        "the number of bytes that the prepared image takes when it is stored again",
        lambda: probe_bytes(images, manifest),
    )
    yield lambda: _probe(
        "prepared_scalars",
        "Can six scalars of the prepared image predict the class?",
        "mean, standard deviation and four percentiles of the prepared image",
        lambda: probe_scalars(images, manifest),
    )


def _sample_open_images(dataset: PreparedDataset) -> tuple[list[NDArray[np.uint8]], pd.DataFrame]:
    """Draw images that are not held out, at most so many that the probes take a minute."""
    splits = [dataset.select("train"), dataset.select("val")]
    images = [image for split in splits for image in split.images]
    manifest = pd.concat([split.manifest for split in splits], ignore_index=True)
    if len(images) <= _MAX_IMAGES:
        return images, manifest
    generator = build_generator(dataset.record.config.seed, "data-audit")
    chosen = np.sort(generator.choice(len(images), size=_MAX_IMAGES, replace=False))
    return [images[row] for row in chosen], manifest.iloc[chosen].reset_index(drop=True)


def _probe(
    question: str, title: str, inputs: str, run: Callable[[], ProbeResult | None]
) -> Finding | None:
    try:
        result = run()
    except ValueError:
        # A class has fewer patients than the probe needs: there is nothing to hold out.
        return None
    if result is None:
        return None
    verdict = _grade(result)
    return Finding(
        question=question,
        title=title,
        verdict=verdict,
        sentence=_word(result, inputs=inputs, verdict=verdict),
        measures=tuple(_list_measures(result)),
    )


def _grade(result: ProbeResult) -> Verdict:
    """Grade by the class that is predicted best; green must be shown, not only not be refuted."""
    auroc = result.highest_auroc[1].value or 0.0
    if auroc >= _AMBER_AUROC:
        return "red" if auroc >= _RED_AUROC else "amber"
    return "amber" if _is_inconclusive(result) else "green"


def _is_inconclusive(result: ProbeResult) -> bool:
    """Tell whether some class may be predicted as well as red means, for all that so few show."""
    return any(area.high is None or area.high >= _RED_AUROC for area in result.auroc.values())


def _word(result: ProbeResult, *, inputs: str, verdict: Verdict) -> str:
    class_name, area = result.highest_auroc
    told = f"A random forest given only {inputs} predicts {class_name} with AUROC {_show(area)}"
    if verdict == "amber" and (area.value or 0.0) < _AMBER_AUROC:
        return (
            f"{told} at best, on too few images to say how much of a model's score can come from "
            "them."
        )
    return {
        "red": f"{told}: a model can score as well without looking at the lungs.",
        "amber": f"{told}: a part of any model's score may come from them.",
        "green": f"{told} at best: little of a model's score can come from them.",
    }[verdict]


def _show(area: Estimate) -> str:
    shown = format_estimate(area, digits=2, with_count=True)
    return shown if area.low is None else shown.replace("(", "(95 % CI ", 1)


def _list_measures(result: ProbeResult) -> Iterator[Measure]:
    accuracy = result.accuracy
    yield Measure(
        name="Accuracy on held-out patients",
        value=accuracy.value,
        low=accuracy.low,
        high=accuracy.high,
        n=accuracy.n,
        note=f"always predicting the most frequent class: {result.majority_accuracy:.3f}",
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
