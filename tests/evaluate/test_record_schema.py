from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from cxresnet.core.config import EvaluateConfig
from cxresnet.core.run_folder import RunFolder
from cxresnet.evaluate.evaluation import run_evaluate
from cxresnet.evaluate.from_predictions import evaluate_predictions
from cxresnet.evaluate.record import build_metrics_schema, format_metrics_schema, write_evaluation
from cxresnet.predict import Predictions

WRITTEN = Path(__file__).parents[2] / "docs" / "reference" / "metrics.schema.json"


@pytest.fixture
def jsonschema() -> ModuleType:
    """Import it where it is used: that alone takes seconds."""
    return importlib.import_module("jsonschema")


def test_the_schema_in_the_documents_is_the_one_of_the_records() -> None:
    assert WRITTEN.read_text(encoding="utf-8") == format_metrics_schema(), "run scripts/schema"


@pytest.mark.slow
def test_every_key_says_what_it_is(jsonschema: ModuleType) -> None:
    schema = build_metrics_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for name, definition in {"": schema, **schema["$defs"]}.items():
        for key, value in definition.get("properties", {}).items():
            assert value.get("description"), f"{name}.{key} is not described"


@pytest.mark.slow
def test_what_evaluate_writes_is_valid(
    run: RunFolder, config_with_baselines: EvaluateConfig, jsonschema: ModuleType
) -> None:
    config = config_with_baselines.model_copy(update={"prevalence": {"covid": 0.02}})
    run_evaluate(run, config=config)
    content = json.loads(run.metrics.read_text())
    jsonschema.Draft202012Validator(build_metrics_schema()).validate(content)
    assert content["format"] == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.pop("headline"),
        lambda content: content.update(format=1),
        lambda content: content.update(surprise=1),
        lambda content: content["cohens_kappa"].update(n="many"),
    ],
)
def test_what_is_not_as_documented_is_refused(
    draw_predictions: Callable[..., Predictions],
    config: EvaluateConfig,
    tmp_path: Path,
    damage: Callable[[dict], object],
    jsonschema: ModuleType,
) -> None:
    evaluation = evaluate_predictions(draw_predictions(60), config=config)
    content = json.loads(write_evaluation(tmp_path / "metrics.json", evaluation).read_text())
    validator = jsonschema.Draft202012Validator(build_metrics_schema())
    validator.validate(content)
    damage(content)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(content)
