"""What an explanation rests on: the network, its predictions on the test set, and the images."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from cxresnet import __version__
from cxresnet.core.config import ExplainConfig
from cxresnet.core.config.explain import MethodName
from cxresnet.core.errors import RunFolderError
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import ImageSet, open_dataset
from cxresnet.evaluate.checks import require_headline
from cxresnet.evaluate.evaluated_images import describe_access_request
from cxresnet.evaluate.record import Evaluation, read_evaluation
from cxresnet.explain.methods.method import AbstractMethod, build_methods
from cxresnet.metrics.classification import ClassifiedImages
from cxresnet.predict import Predictions, Predictor, load_predictor, read_predictions
from cxresnet.predict.decision import CalibratedNetwork, apply_operating_point

CACHE_FOLDER = "cache"
"""In `explain/`: maps that need not be computed again."""


@dataclass(frozen=True, eq=False)
class ExplainContext:
    """A network, its evaluated predictions on the test set, and the images of test and training.

    Attributes:
        predictor: The network.
        predictions: Of the test images.
        evaluation: With the operating point that turns predictions into decisions.
        test: The test images, in any order.
        training: The images that the network was trained on.
        config: What is explained, and how finely.
        cache_folder: Where maps are cached; None: they are not.
    """

    predictor: Predictor
    predictions: Predictions
    evaluation: Evaluation
    test: ImageSet
    training: ImageSet
    config: ExplainConfig
    cache_folder: Path | None = None

    @cached_property
    def evaluated(self) -> ClassifiedImages:
        """The decisions, in the order of the predictions."""
        return apply_operating_point(self.predictions, self.evaluation.operating_point)

    @cached_property
    def network(self) -> CalibratedNetwork:
        """The network with calibrated logits: its softmax is the probability that is reported."""
        point = self.evaluation.operating_point
        return CalibratedNetwork(
            self.predictor.model, temperature=point.temperature, shifts=point.shifts
        )

    def build_methods(
        self, names: Sequence[MethodName] | None = None
    ) -> tuple[AbstractMethod, ...]:
        """Build attribution methods; those of the config unless others are named."""
        chosen = self.config.methods if names is None else names
        return build_methods(chosen, self.config, side_px=self.test.images.shape[-1])

    def find_test_rows(self, rows: Sequence[int]) -> list[int]:
        """Find the test images that rows of the predictions belong to.

        Raises:
            RunFolderError: The test set has no such image: the dataset has changed.
        """
        places = {image_id: row for row, image_id in enumerate(self.test.manifest["image_id"])}
        wanted = [self.predictions.image_ids[row] for row in rows]
        missing = [image_id for image_id in wanted if image_id not in places]
        if missing:
            raise RunFolderError(
                f"The predictions contain an image that the test set lacks: '{missing[0]}'. "
                "The dataset has changed; evaluate again."
            )
        return [places[image_id] for image_id in wanted]


def open_context(run: RunFolder, config: ExplainConfig) -> ExplainContext:
    """Open everything that explaining a run needs; the access to the test set is logged.

    Raises:
        RunFolderError: The run is not evaluated, or the dataset is gone.
        CheckpointError: The network cannot be read.
    """
    predictions, evaluation = read_decisions(run)
    predictor = load_predictor(run.checkpoint)
    dataset = open_dataset(run.read_dataset_path())
    request = describe_access_request(run, reason="explain", config=config)
    return ExplainContext(
        predictor=predictor,
        predictions=predictions,
        evaluation=evaluation,
        test=dataset.open_held_out_test(request),
        training=dataset.select("train"),
        config=config,
        cache_folder=run.explain / CACHE_FOLDER,
    )


def read_decisions(run: RunFolder) -> tuple[Predictions, Evaluation]:
    """Read the predictions on the test images, and the evaluation that decides by them.

    Raises:
        RunFolderError: The run is not evaluated, or one of the two was altered.
    """
    if not run.predictions.is_file():
        raise RunFolderError(
            f"The run '{run.path}' is not evaluated yet; call 'cxresnet evaluate {run.path}' first."
        )
    predictions, evaluation = read_predictions(run.predictions), read_evaluation(run.metrics)
    require_headline(evaluation, predictions)
    return predictions, evaluation


def list_versions() -> dict[str, str]:
    """List the versions of the software that computes the maps."""
    return {
        "cxresnet": __version__,
        "torch": str(torch.__version__),
        "captum": importlib.metadata.version("captum"),
    }
