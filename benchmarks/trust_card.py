"""What the trust card says of a trained network, and of the same network with random weights.

    cxresnet prepare phantoms:films_per_class=600 --out data/drawn --config configs/demo.toml
    cxresnet train data/drawn --out runs/drawn --config configs/demo.toml
    cxresnet evaluate runs/drawn --config configs/demo.toml
    python benchmarks/trust_card.py runs/drawn [--films 60] [--methods occlusion,guided_backprop]

Prints both cards as Markdown. On drawn films lesions are known, so that occlusion has to point at
them; guided backpropagation has to fail the first test, and random weights every test.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch

from cxresnet.core.config import ExplainConfig
from cxresnet.core.run_folder import RunFolder, open_run_folder
from cxresnet.data.dataset import open_dataset
from cxresnet.evaluate.opener import describe_opener
from cxresnet.evaluate.record import read_evaluation
from cxresnet.explain.trust.markdown import render_markdown
from cxresnet.explain.trust.stage import measure_run
from cxresnet.model.presets import build_model
from cxresnet.predict import Predictor, load_predictor


def forget(predictor: Predictor, *, seed: int) -> Predictor:
    """Build the same network with the weights it had before any training."""
    torch.manual_seed(seed)
    fresh = build_model(predictor.record.model, class_count=len(predictor.class_names))
    return dataclasses.replace(predictor, model=fresh.eval())


def print_card(run: RunFolder, predictor: Predictor, config: ExplainConfig) -> None:
    home = open_dataset(run.read_dataset_path())
    test = home.open_sealed_test(describe_opener(run, reason="trust card", config=config))
    predictions = predictor.predict_film_set(test)
    evaluation = read_evaluation(run.metrics)
    card = measure_run(predictor, predictions, test, evaluation=evaluation, config=config)
    print(render_markdown(card), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--films", type=int, default=60)
    parser.add_argument("--methods", default="occlusion,guided_backprop")
    asked = parser.parse_args()
    config = ExplainConfig(methods=tuple(asked.methods.split(",")), trust_films=asked.films)
    run = open_run_folder(asked.run)
    predictor = load_predictor(run.checkpoint)
    print("## Trained\n")
    print_card(run, predictor, config)
    print("## Random weights\n")
    print_card(run, forget(predictor, seed=config.seed), config)


if __name__ == "__main__":
    main()
