"""The one way from film to logits, and the table of predictions that everyone else reads."""

from cxresnet.predict.files import FilePrediction, predict_files
from cxresnet.predict.lungs import FoundLungs, LungFinder, load_lung_finder
from cxresnet.predict.predictions import (
    Predictions,
    concatenate_predictions,
    read_predictions,
    write_predictions,
)
from cxresnet.predict.predictor import Predictor, load_predictor

__all__ = [
    "FilePrediction",
    "FoundLungs",
    "LungFinder",
    "Predictions",
    "Predictor",
    "concatenate_predictions",
    "load_lung_finder",
    "load_predictor",
    "predict_files",
    "read_predictions",
    "write_predictions",
]
