"""What each network of an ensemble reaches by itself, from one opening of the test."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch

from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.data.dataset.dataset_record import ACCESS_LOG_NAME
from cxresnet.data.dataset.held_out import read_access_log
from cxresnet.evaluate.evaluation import run_evaluate
from cxresnet.evaluate.members import MEMBERS_NAME, list_members, read_members
from cxresnet.model.checkpoint import read_checkpoint, write_checkpoint
from cxresnet.model.ensemble import gather_member_weights
from cxresnet.model.folding import FoldedNetwork
from cxresnet.predict import load_predictor
from cxresnet.predict.predictions import read_predictions


@pytest.fixture
def ensemble_run(run: RunFolder) -> RunFolder:
    """The run's network, and the same with a head turned round, as seeds 4 and 7."""
    weights, record = read_checkpoint(run.checkpoint)
    turned = {name: tensor.clone() for name, tensor in weights.items()}
    turned["head.weight"] = torch.flip(weights["head.weight"], dims=(0,)) * 0.5
    together = record.model_copy(
        update={
            "model": record.model.model_copy(update={"members": 2}),
            "notes": record.notes | {"seeds": [4, 7]},
        }
    )
    write_checkpoint(
        run.checkpoint, tensors=gather_member_weights([weights, turned]), record=together
    )
    return run


@pytest.mark.slow
def test_each_member_is_judged_by_itself_from_one_opening(
    ensemble_run: RunFolder, config: EvaluateConfig
) -> None:
    run_evaluate(ensemble_run, config=config)

    written = json.loads((ensemble_run.evaluate / MEMBERS_NAME).read_text())
    assert list(written["seeds"]) == ["4", "7"]
    values = [one["accuracy"] for one in written["seeds"].values()]
    assert values[0] != values[1]
    assert written["spread"]["accuracy"]["mean"] == pytest.approx(statistics.fmean(values))
    assert written["spread"]["accuracy"]["sd"] == pytest.approx(statistics.stdev(values))
    assert read_members(ensemble_run.evaluate / MEMBERS_NAME)["accuracy"].n == 2
    assert len(read_access_log(ensemble_run.read_dataset_path() / ACCESS_LOG_NAME)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("test_time_augmentation", [False, True])
def test_what_they_say_together_is_what_the_ensemble_says(
    ensemble_run: RunFolder, config: EvaluateConfig, *, test_time_augmentation: bool
) -> None:
    run_evaluate(
        ensemble_run,
        config=config.model_copy(update={"test_time_augmentation": test_time_augmentation}),
    )

    written = read_predictions(ensemble_run.predictions)
    images = open_dataset(ensemble_run.read_dataset_path()).select("val")
    said = load_predictor(ensemble_run.checkpoint).predict_image_set(
        images, test_time_augmentation=test_time_augmentation
    )
    validation = read_predictions(ensemble_run.evaluate / "predictions_val.csv")
    assert validation.image_ids == said.image_ids
    np.testing.assert_allclose(validation.logits, said.logits, atol=1e-5)
    assert not set(written.image_ids) & set(said.image_ids)


@pytest.mark.slow
def test_every_network_is_asked_once(
    ensemble_run: RunFolder, config: EvaluateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    ask = FoldedNetwork.__call__

    def count(network: FoldedNetwork, images: torch.Tensor) -> torch.Tensor:
        asked.append(len(images))
        return ask(network, images)

    monkeypatch.setattr(FoldedNetwork, "__call__", count)
    run_evaluate(ensemble_run, config=config)

    counts = [
        len(read_predictions(ensemble_run.evaluate / name).image_ids)
        for name in ("predictions_val.csv", "predictions.csv")
    ]
    assert sum(asked) == 2 * sum(counts)


def test_a_member_judged_alone_is_the_network_it_was(
    ensemble_run: RunFolder, config: EvaluateConfig, tmp_path: Path
) -> None:
    members = list_members(load_predictor(ensemble_run.checkpoint))
    images = torch.randn(2, 1, 32, 32)

    together = load_predictor(ensemble_run.checkpoint).model(images)

    mean = (members["4"].model(images) + members["7"].model(images)) / 2
    torch.testing.assert_close(together, mean)


@pytest.mark.slow
def test_a_single_network_has_no_members(run: RunFolder, config: EvaluateConfig) -> None:
    run_evaluate(run, config=config)

    assert list_members(load_predictor(run.checkpoint)) == {}
    assert not (run.evaluate / MEMBERS_NAME).exists()


def test_a_torn_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / MEMBERS_NAME
    path.write_text("{}")

    with pytest.raises(RunFolderError, match="cxresnet evaluate RUN"):
        read_members(path)
