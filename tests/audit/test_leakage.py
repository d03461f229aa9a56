from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from cxresnet.audit.context import AuditContext, CannotBeTestedError
from cxresnet.audit.questions import leakage
from cxresnet.audit.questions.leakage import answer_leakage

Build = Callable[..., AuditContext]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Build:
    """Build what the question looks at: a manifest, and the problems of the files."""

    def build_context(problems: tuple[str, ...] = (), **columns: object) -> AuditContext:
        checked = SimpleNamespace(problems=problems)
        monkeypatch.setattr(leakage, "verify_dataset", lambda path: checked)
        manifest = pd.DataFrame(
            {
                "split": ["train"] * 20 + ["test"] * 20,
                "group_id": range(40),
                "cluster_id": range(40),
                "pixels_sha256": [str(number) for number in range(40)],
                "patient_id": [f"patient {number}" for number in range(40)],
                **columns,
            }
        )
        dataset = SimpleNamespace(path=Path("data"), manifest=manifest)
        own = SimpleNamespace(predictor=object())
        return cast("Any", SimpleNamespace(run=object(), dataset=dataset, test=[0] * 20, model=own))

    return build_context


def test_disjoint_splits_are_green(build: Build) -> None:
    answer = answer_leakage(build())
    assert answer.verdict == "green"
    assert [one.value for one in answer.measures] == [0, 0]


@pytest.mark.parametrize("column", ["group_id", "cluster_id", "pixels_sha256"])
def test_one_shared_image_is_red(build: Build, column: str) -> None:
    shared = [str(number) for number in range(40)]
    shared[39] = "0"
    answer = answer_leakage(build(**{column: shared}))
    assert answer.verdict == "red"
    assert answer.sentence.startswith("1 of 20 test images share")


def test_an_altered_file_is_red(build: Build) -> None:
    answer = answer_leakage(build(("images.npy was altered.",)))
    assert answer.verdict == "red"
    assert "images.npy was altered." in answer.sentence


@pytest.mark.parametrize(("without", "verdict"), [(2, "green"), (3, "amber")])
def test_more_than_one_image_in_twenty_without_a_patient_is_amber(
    build: Build, without: int, verdict: str
) -> None:
    known = [f"patient {number}" for number in range(40 - without)]
    assert answer_leakage(build(patient_id=[""] * without + known)).verdict == verdict


@pytest.mark.parametrize(
    ("predictor", "message"), [(None, "which images this model"), (object(), "--data DATASET")]
)
def test_without_its_training_images_nothing_is_tested(
    build: Build, predictor: object, message: str
) -> None:
    context = build()
    model = SimpleNamespace(predictor=predictor)
    other = SimpleNamespace(**{**vars(context), "run": None, "model": model})
    with pytest.raises(CannotBeTestedError, match=message):
        answer_leakage(cast("Any", other))
