"""The sanity checks of a trained network, and of the same network with random weights.

    cxresnet prepare phantoms:images_per_class=600 --out data/drawn --config demo
    cxresnet train data/drawn --out runs/drawn --config demo
    cxresnet evaluate runs/drawn --config demo
    python benchmarks/sanity_card.py runs/drawn [--images 60] [--methods occlusion,guided_backprop]

Prints both cards as Markdown. On drawn images lesions are known, so that occlusion has to point at
them; guided backpropagation has to fail the first test, and random weights every test.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch

from cxresnet.core.config import ExplainConfig
from cxresnet.core.run_folder import open_run_folder
from cxresnet.explain.context import ExplainContext, open_context
from cxresnet.explain.sanity.card import render_markdown
from cxresnet.explain.sanity.run import measure_run
from cxresnet.model.presets import build_model
from cxresnet.predict import Predictor


def initialise_again(predictor: Predictor, *, seed: int) -> Predictor:
    """Build the same network with the weights it had before any training."""
    torch.manual_seed(seed)
    fresh = build_model(predictor.record.model, class_count=len(predictor.class_names))
    return dataclasses.replace(predictor, model=fresh.eval())


def print_card(context: ExplainContext, predictor: Predictor) -> None:
    """Print the card of a network on the test images of a run."""
    predictions = predictor.predict_image_set(context.test)
    tested = dataclasses.replace(context, predictor=predictor, predictions=predictions)
    print(render_markdown(measure_run(tested)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--methods", default="occlusion,guided_backprop")
    options = parser.parse_args()
    config = ExplainConfig(
        methods=tuple(options.methods.split(",")), sanity_check_images=options.images
    )
    context = open_context(open_run_folder(options.run), config)
    print("## Trained\n")
    print_card(context, context.predictor)
    print("## Random weights\n")
    print_card(context, initialise_again(context.predictor, seed=config.seed))


if __name__ == "__main__":
    main()
