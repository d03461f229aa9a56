"""What the server answers, as records; OpenAPI is made from them."""

from __future__ import annotations

from typing import Any

from cxresnet import DISCLAIMER
from cxresnet.api.prediction import Prediction
from cxresnet.core.record import Record
from cxresnet.report.image_card import ImageCard, MethodVerdict


class ImageAnswer(Record):
    """What is predicted for one image, or why it was refused.

    Attributes:
        image_sha256: Of the bytes that were sent.
        decision: The predicted class, "abstain", or "" where the image was refused.
        predicted_class: The class with the highest weighted probability; "" where it was refused.
        prediction_set: The classes that remain possible.
        probabilities: Calibrated, of each class; empty where the image was refused.
        gate: "passed", "refused", "mended", "borderline" or "not checked".
        note: What has to be known beside the prediction; mostly "".
        abstention_reason: Which classes remain possible, and why; "" where one was decided on.
        refused: Why the image cannot be used; "" where it can.
        code: The same in one word.
    """

    image_sha256: str
    decision: str
    predicted_class: str
    prediction_set: tuple[str, ...]
    probabilities: dict[str, float]
    gate: str
    note: str
    abstention_reason: str
    refused: str
    code: str


def describe_prediction(prediction: Prediction, *, image_sha256: str) -> ImageAnswer:
    """Describe a prediction as an answer."""
    return ImageAnswer(
        image_sha256=image_sha256,
        decision=prediction.decision,
        predicted_class=prediction.class_name,
        prediction_set=prediction.prediction_set,
        probabilities=prediction.probabilities,
        gate=prediction.gate,
        note=prediction.note,
        abstention_reason=prediction.abstention_reason,
        refused=prediction.reason,
        code=prediction.code,
    )


class StatedAnswer(Record):
    """The base of every answer.

    Attributes:
        disclaimer: What it must not be used for.
    """

    disclaimer: str = DISCLAIMER


class PredictAnswer(StatedAnswer):
    """Answer of `POST /predict`.

    Attributes:
        request_id: Stands in the log, and in the header X-Request-ID.
        network: Name of the run, or "bundled network".
        class_names: In the order of the network.
        images: In the order in which they were sent.
    """

    request_id: str
    network: str
    class_names: tuple[str, ...]
    images: tuple[ImageAnswer, ...]


class MapAnswer(Record):
    """One attribution map. Numbers are float32, little-endian, row by row, in base64.

    Attributes:
        method: Its name.
        title: For readers.
        values: (side, side), signed: above 0 argues for the class.
        drawn: What is drawn of it, where that is something else; see `drawn_patch_px` in the card.
        baseline_range: Range between several baselines; None for one baseline.
        caption: What a value is.
        interpretation: The same in one sentence.
        unit: Of `values`.
        drawn_unit: Of what is drawn.
        scale_limit: Value at both ends of the colour scale.
        weakness: Says that no region matters, where the map is that weak; "" where it is not.
        stretched_limit: Ends of the scale that the map fills, for a view that is labelled so.
        failed_sanity: The method failed a sanity check on this network.
        lung_share: Share of the map's weight that lies in the lungs; None where none were found.
    """

    method: str
    title: str
    values: str
    drawn: str | None
    baseline_range: str | None
    caption: str
    interpretation: str
    unit: str
    drawn_unit: str
    scale_limit: float
    weakness: str
    stretched_limit: float
    failed_sanity: bool
    lung_share: float | None


class ExplainAnswer(StatedAnswer):
    """Answer of `POST /explain`. Pictures are PNG in base64.

    Attributes:
        request_id: As of `PredictAnswer`.
        image: What is predicted.
        card: Everything that the card of the image says.
        side_px: Side of the maps, and of the image as the network gets it.
        image_png: The image as the network gets it.
        view_png: The same cut of it with more pixels, for a screen.
        view_aspect: Width over height at which the view has its true proportions.
        lung_mask_png: 255 in the lungs; black where none were found.
        lung_area_share: Share of the image that is lung; None where none were found.
        maps: In the order in which the methods were asked for.
        neighbour_pngs: The most similar training images, in the order of the card.
        card_html: The card as a page of its own, where it was asked for.
        card_png: The card as a picture, likewise.
    """

    request_id: str
    image: ImageAnswer
    card: ImageCard
    side_px: int
    image_png: str
    view_png: str
    view_aspect: float
    lung_mask_png: str
    lung_area_share: float | None
    maps: tuple[MapAnswer, ...]
    neighbour_pngs: tuple[str, ...] = ()
    card_html: str | None = None
    card_png: str | None = None


class ScorecardRow(Record):
    """One question of the audit, and its answer.

    Attributes:
        title: The question.
        verdict: "green", "amber", "red" or "not tested".
        sentence: The answer.
    """

    title: str
    verdict: str
    sentence: str


class ScorecardAnswer(Record):
    """The audit of a network in short: `RUN/audit/scorecard.json`.

    Attributes:
        verdict: Over all questions.
        headline: What the model goes by, in one sentence.
        findings: One a question.
    """

    verdict: str
    headline: str
    findings: tuple[ScorecardRow, ...]


class LimitsAnswer(Record):
    """What a request may be.

    Attributes:
        max_body_bytes: Of a request.
        max_images: In a request to `/predict`; `/explain` takes one.
        max_pixels: Of an image.
        predict_seconds: After which no answer comes any more.
        explain_seconds: Likewise.
    """

    max_body_bytes: int
    max_images: int
    max_pixels: int
    predict_seconds: float
    explain_seconds: float


class ModelAnswer(StatedAnswer):
    """Answer of `GET /model`.

    Attributes:
        version: Of CXResnet.
        network: Name of the run, or "bundled network".
        preset: Its kind.
        side_px: Of the image as the network gets it.
        class_names: In the order of the network.
        is_evaluated: Without an evaluation probabilities are not calibrated, and it never abstains.
        verdict: What the audit found in the training data; "" if it was not run.
        nominal_coverage: Share of the images of each class whose prediction set should hold it.
        thresholds: From this probability on a class remains possible.
        checks_images: Whether each image is first checked to be a frontal chest X-ray.
        knows_training_images: Whether it is said that an image is one of them, or unlike all.
        methods: The attribution methods, with what the sanity checks say of each.
        sanity: Whether the network beats chance, in words; "" where it was not tested.
        scorecard: Of the audit of this network; None if it was not run.
        model_card: In Markdown; "" if there is none.
        examples: Names of the drawn images that `/examples/NAME.png` gives.
        limits: What a request may be.
    """

    version: str
    network: str
    preset: str
    side_px: int
    class_names: tuple[str, ...]
    is_evaluated: bool
    verdict: str
    nominal_coverage: float | None
    thresholds: dict[str, float]
    checks_images: bool
    knows_training_images: bool
    methods: tuple[MethodVerdict, ...]
    sanity: str
    scorecard: ScorecardAnswer | None
    model_card: str
    examples: tuple[str, ...]
    limits: LimitsAnswer


class StateAnswer(StatedAnswer):
    """Answer of `GET /healthz` and `GET /readyz`.

    Attributes:
        status: "ok", "starting" or "stopping".
    """

    status: str


class ErrorAnswer(StatedAnswer):
    """Answer to a request that is not answered as asked.

    Attributes:
        request_id: As of `PredictAnswer`.
        code: The reason in one word.
        message: The reason, and the way out.
    """

    request_id: str
    code: str
    message: str


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": text}
    for status, text in (
        (400, "The request is damaged."),
        (401, "The token is missing or wrong."),
        (403, "The request comes from the page of another site."),
        (408, "The request took too long to arrive."),
        (413, "The request is too large."),
        (415, "The request is of another kind."),
        (421, "The server does not have this name."),
        (422, "The image was refused, or a parameter is wrong."),
        (429, "The server is busy: see the header Retry-After."),
        (500, "A bug."),
        (503, "The server starts, stops, or took too long."),
    )
}
"""Of every route, for OpenAPI."""
