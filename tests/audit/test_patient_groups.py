"""Models that err at random, or in one group of patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from cxresnet.audit.context import AuditContext, CannotBeTestedError
from cxresnet.audit.questions.patient_groups import answer_patient_groups, list_comparisons
from cxresnet.core.config import Config
from cxresnet.core.config.audit import AuditConfig
from cxresnet.data.dataset.dataset import ImageSet

CLASS_NAMES = ("normal", "covid-19")


@dataclass(frozen=True)
class TableModel:
    """Has an answer for each image of the one set that it is given."""

    answers: NDArray[np.float64]
    class_names: tuple[str, ...] = CLASS_NAMES

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        return self.answers

    def decide(self, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
        return probabilities.argmax(axis=1)


Build = Callable[..., AuditContext]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Build an audit, called with which images are wrong, and with columns of the manifest."""

    def build_context(wrong: NDArray[np.bool_], **columns: object) -> AuditContext:
        count = len(wrong)
        labels = np.arange(count) % 2
        own = np.where(wrong, 0.2, 0.9)
        answers = np.column_stack([np.where(labels == 0, own, 1 - own)] * 2)
        answers[:, 1] = 1 - answers[:, 0]
        manifest = pd.DataFrame(
            {"group_id": np.arange(count), "age_years": "", "view": "", "sex": "", **columns}
        )
        return AuditContext(
            model=cast("Any", TableModel(answers)),
            dataset=cast("Any", None),
            test=ImageSet(np.zeros((count, 4, 4), np.uint8), labels, manifest),
            settings=Config(audit=AuditConfig(bootstrap_resamples=100)),
            folder=tmp_path,
        )

    return build_context


def _alternate(count: int, *values: str) -> list[str]:
    """Give each class as many images of each value."""
    return [values[number // 2 % len(values)] for number in range(count)]


def _err(count: int, *, every: int) -> NDArray[np.bool_]:
    """Err in one of `every` pairs of images, alike in both classes."""
    return np.arange(count) // 2 % every == 0


def test_errors_that_follow_no_property_are_green(build: Build) -> None:
    # One of 25 pairs is wrong, and the properties repeat after 2 and 7 pairs: they do not meet.
    ages = [str(30 + number // 2 % 7 * 5) for number in range(400)]
    context = build(_err(400, every=25), sex=_alternate(400, "F", "M"), age_years=ages)
    answer = answer_patient_groups(context)
    assert answer.verdict == "green", answer.sentence
    assert len(answer.measures) == 4


def test_errors_in_one_view_are_red(build: Build) -> None:
    views = _alternate(240, "AP", "PA")
    wrong = (np.array(views) == "AP") & _err(240, every=4)
    answer = answer_patient_groups(build(wrong, view=views))
    assert answer.verdict == "red"
    assert "AP 50 % (n = 60), PA 0 % (n = 60)" in answer.sentence
    assert answer.measures[0].value == pytest.approx(0.5)


def test_errors_in_the_old_are_red(build: Build) -> None:
    ages = [str(20 + number // 2 % 60) for number in range(240)]
    wrong = np.array(ages, dtype=int) >= 65
    answer = answer_patient_groups(build(wrong, age_years=ages))
    assert answer.verdict == "red"
    assert "aged 50 or more 50 %" in answer.sentence


def test_few_patients_are_amber_even_without_any_error(build: Build) -> None:
    answer = answer_patient_groups(build(_err(60, every=99) & False, sex=_alternate(60, "F", "M")))
    assert answer.verdict == "amber"
    assert "too few patients" in answer.sentence


def test_a_property_that_a_class_lacks_is_named(build: Build) -> None:
    sexes = ["F" if number % 2 else "FM"[number // 2 % 2] for number in range(400)]
    answer = answer_patient_groups(build(_err(400, every=25), sex=sexes))
    assert answer.verdict == "amber"
    assert "Not compared: sex in covid-19." in answer.sentence


@pytest.mark.parametrize("views", ["", "PA"])
def test_where_nothing_is_recorded_nothing_is_tested(build: Build, views: str) -> None:
    with pytest.raises(CannotBeTestedError, match="Neither age, view nor sex is recorded"):
        answer_patient_groups(build(_err(40, every=5), view=views))


def test_each_of_three_views_is_compared_with_the_others_and_a_rare_one_is_left_out() -> None:
    views = ["AP"] * 40 + ["PA"] * 40 + ["lateral"] * 20
    manifest = pd.DataFrame({"age_years": "", "view": views, "sex": ""})
    found = list_comparisons(manifest, np.zeros(100, np.int64))
    assert [one.names for one in found] == [
        ("AP", "other views"),
        ("PA", "other views"),
        ("lateral", "other views"),
    ]
    rare = manifest.assign(view=["AP"] * 96 + ["PA"] * 4)
    assert list_comparisons(rare, np.zeros(100, np.int64)) == ()
