"""The result of `evaluate`, as one frozen record that is written to `metrics.json`."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, JsonValue

from cxresnet import DISCLAIMER
from cxresnet.core.record import Record, read_record, write_record
from cxresnet.evaluate.baseline_comparison import Baseline
from cxresnet.evaluate.calibration import Calibration
from cxresnet.evaluate.clinical import (
    ClassThreshold,
    DecisionCurve,
    PredictiveValues,
    PrevalenceCurve,
)
from cxresnet.evaluate.red_flags import RedFlag
from cxresnet.evaluate.results import AccessLogEntry, ClassResult, Headline
from cxresnet.evaluate.scores import PatientResult, SourceCount
from cxresnet.evaluate.slices import Slice, WorstSlice
from cxresnet.metrics.calibration import CalibrationBin, CalibrationNoise
from cxresnet.metrics.estimate import Estimate
from cxresnet.predict.decision import OperatingPoint


class Provenance(Record):
    """Where the numbers come from, so that they can be reproduced.

    Attributes:
        dataset: Name of the folder of images.
        dataset_hash: Of the evaluated images.
        trained_on: Hash of the dataset that the network was trained on.
        checkpoint: SHA-256 of the network's weights.
        version: Of CXResnet.
        seed: Of the bootstrap.
        resamples: Number of bootstrap resamples.
        confidence: Nominal coverage of every interval.
        interval: How the intervals are made, one sentence.
        test_time_augmentation: Views of each image that were averaged; 1 is the image alone.
        accesses: How often the held-out test set was opened for scores, this time included; None
            without one.
        access_log: Every access to the held-out test set so far, also those for pictures.
        config: Every key of the config section `evaluate` that was in force.
        config_hash: SHA-256 of it; the access log has the same.
    """

    dataset: str
    dataset_hash: str
    trained_on: str
    checkpoint: str
    version: str
    seed: int
    resamples: int
    confidence: float
    interval: str
    test_time_augmentation: int
    accesses: int | None
    access_log: tuple[AccessLogEntry, ...] = ()
    config: dict[str, JsonValue] = Field(default={})
    config_hash: str = ""


class Evaluation(Record):
    """The result of `evaluate`.

    Attributes:
        format: Of this file.
        disclaimer: Part of every output.
        name: Name of the evaluated images: "test", that of a fold, or that of another dataset.
        class_names: Order of the confusion matrix and of everything by class.
        images: Evaluated images.
        patients: Independent groups among them.
        red_flags: What makes the scores too good to be true; empty if nothing does.
        headline: The main scores.
        validation: The same on the validation images, which chose the network; None if unknown.
        cohens_kappa: Agreement of label and prediction beyond chance, -1 to 1.
        confusion: Images by true class (row) and predicted class (column).
        confusion_rates: Share of each row, with interval.
        classes: One a class, in order.
        operating_point: How logits became probabilities and classes; `decision.json` applies it.
        calibration: Whether a probability of 0.7 means seven of ten.
        class_thresholds: One class against the rest, by class and aim.
        prevalence_curves: Predictive values over prevalence, one a class, in order.
        at_prevalence: Predictive values at the prevalences given in the config.
        decision_curves: One a class that these images show, in order.
        by_patient: One a class, in order.
        slices: Scores by source, view, sex, age and image size, as far as known.
        worst_slice: The worst of them; None where fewer than two have scores.
        baselines: Shortcut baselines on the same images.
        best_baseline: Name of the one with the highest balanced accuracy on these images.
        counts: Images by class and source.
        data_verdict: Verdict on the training data, one sentence; "" if they were not audited.
        warnings: Sentences that must stand beside the numbers.
        provenance: Where the numbers come from.
    """

    format: Literal[3] = 3
    disclaimer: str = DISCLAIMER
    name: str
    class_names: tuple[str, ...]
    images: int
    patients: int
    red_flags: tuple[RedFlag, ...] = ()
    headline: Headline
    validation: Headline | None = None
    cohens_kappa: Estimate
    confusion: tuple[tuple[int, ...], ...]
    confusion_rates: tuple[tuple[Estimate, ...], ...]
    classes: tuple[ClassResult, ...]
    operating_point: OperatingPoint
    calibration: Calibration
    class_thresholds: tuple[ClassThreshold, ...] = ()
    prevalence_curves: tuple[PrevalenceCurve, ...] = ()
    at_prevalence: tuple[PredictiveValues, ...] = ()
    decision_curves: tuple[DecisionCurve, ...] = ()
    by_patient: tuple[PatientResult, ...]
    slices: tuple[Slice, ...]
    worst_slice: WorstSlice | None = None
    baselines: tuple[Baseline, ...]
    best_baseline: str | None
    counts: tuple[SourceCount, ...]
    data_verdict: str = ""
    warnings: tuple[str, ...]
    provenance: Provenance

    def find_best_baseline(self) -> Baseline | None:
        """Find the record of the best shortcut baseline; None where none was tried."""
        return next((one for one in self.baselines if one.name == self.best_baseline), None)


def write_evaluation(path: Path, evaluation: Evaluation) -> Path:
    """Write `metrics.json` whole or not at all; returns the path."""
    return write_record(path, evaluation)


def read_evaluation(path: Path) -> Evaluation:
    """Read `metrics.json`.

    Raises:
        RunFolderError: It is missing, damaged or of another version; evaluate again.
    """
    return read_record(path, Evaluation, command="cxresnet evaluate RUN")


# The JSON schema of `metrics.json`, generated from the records and their docstrings.


_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TITLE = "metrics.json of CXResnet"


def build_metrics_schema() -> dict[str, Any]:
    """Build the schema (JSON Schema 2020-12); with a description of every key."""
    schema = Evaluation.model_json_schema(mode="serialization")
    definitions = schema["$defs"]
    for kind in (Evaluation, *_list_kinds(Evaluation, set())):
        target = schema if kind is Evaluation else definitions.get(kind.__name__)
        if target is not None:
            _describe(target, kind)
    return {"$schema": _DIALECT, **schema, "title": _TITLE}


def format_metrics_schema() -> str:
    """Write the schema out as it stands in `docs/reference/metrics.schema.json`."""
    return json.dumps(build_metrics_schema(), indent=2, ensure_ascii=False) + "\n"


def _list_kinds(kind: type, seen: set[type]) -> Iterator[type]:
    """List the records that a record is made of, however deep."""
    for part in _find_types(kind):
        if part not in seen:
            seen.add(part)
            yield part
            yield from _list_kinds(part, seen)


def _find_types(kind: type) -> Iterator[type]:
    fields = kind.model_fields.values() if issubclass(kind, BaseModel) else ()
    for field in fields:
        yield from _unpack(field.annotation)


def _unpack(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type) and (
        issubclass(annotation, BaseModel)
        or annotation in {CalibrationBin, CalibrationNoise, Estimate}
    ):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _unpack(argument)


def _describe(target: dict[str, Any], kind: type) -> None:
    """Move each sentence of the docstring to the key that it is about."""
    docstring = inspect.getdoc(kind) or ""
    summary, _, attributes = docstring.partition("Attributes:\n")
    target["description"] = " ".join(summary.split())
    for name, text in _read_attributes(attributes):
        if name in target.get("properties", {}):
            target["properties"][name]["description"] = text


def _read_attributes(text: str) -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"^    (\w+): (.*(?:\n     .*)*)", text, flags=re.MULTILINE):
        yield found[1], " ".join(found[2].split())
