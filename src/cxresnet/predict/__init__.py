"""From an image to logits, and from logits to a decision."""

from cxresnet.predict.decision import (
    CalibratedNetwork,
    Decision,
    ImageDecision,
    OperatingPoint,
    read_decision,
)
from cxresnet.predict.lungs import FoundLungs, LungFinder, load_lung_finder
from cxresnet.predict.predictions import (
    Predictions,
    average_predictions,
    concatenate_predictions,
    read_predictions,
    write_predictions,
)
from cxresnet.predict.predictor import Predictor, load_predictor

__all__ = [
    "CalibratedNetwork",
    "Decision",
    "FoundLungs",
    "ImageDecision",
    "LungFinder",
    "OperatingPoint",
    "Predictions",
    "Predictor",
    "average_predictions",
    "concatenate_predictions",
    "load_lung_finder",
    "load_predictor",
    "read_decision",
    "read_predictions",
    "write_predictions",
]
