from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from cxresnet.cli.app import run_command_line
from cxresnet.cli.evaluate import add_prevalences, announce_trainings, describe_prevalences
from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import ConfigError
from cxresnet.core.run_folder import RunFolder
from cxresnet.evaluate.leave_sources_out import LEAVE_SOURCES_OUT_NAME, read_leave_sources_out
from cxresnet.evaluate.merge_advice import MERGE_ADVICE_NAME, read_merge_advice
from cxresnet.evaluate.record import Evaluation
from cxresnet.metrics.estimate import Estimate
from cxresnet.report.artifacts import read_run_artifacts
from cxresnet.report.report import render_report


def test_the_command_line_comes_before_the_config() -> None:
    config = EvaluateConfig(prevalence={"covid": 0.5, "pneumonia": 0.1})
    found = add_prevalences(config, ["covid=0.02", "covid-19=3 %"])
    assert found.prevalence == {"covid": 0.02, "pneumonia": 0.1, "covid-19": 0.03}
    assert add_prevalences(config, None) == config


@pytest.mark.parametrize("text", ["covid", "=0.1", "covid=", "covid=0", "covid=1", "covid=many"])
def test_what_is_no_prevalence_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not of the form class=share"):
        add_prevalences(EvaluateConfig(), [text])


def test_predictive_values_are_shown_with_their_interval_or_the_reason_why_there_is_none() -> None:
    values = SimpleNamespace(
        class_name="covid-19",
        prevalence=0.02,
        ppv=Estimate(value=0.5, low=0.25, high=0.75, n=40, groups=31),
        npv=Estimate(value=None, low=None, high=None, n=0, groups=0, reason="No image is here."),
    )
    (line,) = describe_prevalences(cast("Evaluation", SimpleNamespace(at_prevalence=[values])))
    assert line == (
        "At a prevalence of 2.00% of covid-19: PPV 0.500 (0.250–0.750), NPV unknown "
        "(no image is here)."
    )


# `--leave-sources-out` trains without sources; the trainings here are only announced.


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sets", "a+b"], "belong to --leave-sources-out"),
        (["--advise-merge"], "belong to --leave-sources-out"),
        (["--leave-one-source-out"], "--leave-one-source-out is now --leave-sources-out"),
        (["--leave-sources-out", "--data", "other"], "uses the run's own images"),
        (["--leave-sources-out", "--seeds", "many"], "is not a list of numbers"),
    ],
)
def test_options_that_do_not_go_together_are_refused_with_a_way_out(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["evaluate", "run", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((3, 3, 1), "Trains without 3 sets of sources: 3 trainings, each"),
        ((1, 1, 1), "Trains without 1 set of sources: 1 training, each"),
        ((2, 9, 3), "2 sets of sources, and 7 more for the merge advice with 3 seeds each: 27 tr"),
    ],
)
def test_the_cost_is_said_before_it_is_paid(
    counts: tuple[int, int, int], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sets, trainings, seeds = counts
    announce_trainings(sets, trainings, seeds=seeds)
    assert expected in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
@pytest.mark.usefixtures("few_trees")
def test_sources_are_left_out_and_advice_is_given_from_end_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smoke = "smoke"
    settings = ["--config", smoke, "--set", "train.epochs=1", "--set", "data.side_px=32"]
    dataset, run = str(tmp_path / "dataset"), tmp_path / "run"
    few = ["--set", "evaluate.min_left_out_images=3", "--set", "evaluate.shortcut_baselines=false"]
    phantoms = "phantoms:images_per_class=40,side_px=96"
    assert run_command_line(["prepare", phantoms, "--out", dataset, *settings]) == 0
    assert run_command_line(["train", dataset, "--out", str(run), *settings]) == 0
    words = ["evaluate", str(run), *settings, *few, "--leave-sources-out", "--sets"]
    assert run_command_line([*words, "phantom-a", "--advise-merge", "--seeds", "0,1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 set of sources, and 2 more for the merge advice with 2 seeds each: 6 tr" in said
    found = read_leave_sources_out(run / "evaluate" / LEAVE_SOURCES_OUT_NAME)
    (only,) = found.sets
    assert (only.sources, len(only.tasks)) == (("phantom-a",), 3)
    assert all(len(task.by_seed) == 2 for task in only.tasks)
    advice = read_merge_advice(run / "evaluate" / MERGE_ADVICE_NAME)
    assert [one.source for one in advice.sources] == ["phantom-a", "phantom-b", "phantom-c"]
    assert [one.sets for one in advice.sources] == [(), ("phantom-a",), ("phantom-a",)]
    page = render_report(read_run_artifacts(RunFolder(run)))
    assert "Which training sources help on others?" in page
