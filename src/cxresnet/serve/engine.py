"""The network behind the server: three lanes, each with a queue and a thread of its own.

Plain images (PNG, JPEG) share batches. What is decoded in a process of its own (DICOM, TIFF, large
files) goes one by one, so that a slow or hostile file delays no plain one. Explanations take
seconds and have the third lane, with a copy of the network: some methods hang hooks into it.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TypeVar

from cxresnet.api.classifier import Model
from cxresnet.api.image_cards import explain_for_card, open_gallery
from cxresnet.api.prediction import Prediction
from cxresnet.core.config import Config, ExplainConfig, change_config
from cxresnet.core.errors import ImageError
from cxresnet.data.decode.formats import is_plain, sniff_format
from cxresnet.explain.choice import find_class
from cxresnet.serve.answers import ExplainAnswer, ImageAnswer, describe_prediction
from cxresnet.serve.description import draw_example, list_examples
from cxresnet.serve.errors import RequestError
from cxresnet.serve.explaining import Explainer
from cxresnet.serve.lanes import Lane
from cxresnet.serve.metrics import Metrics
from cxresnet.serve.settings import ServeSettings

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class ExplainOrder:
    """What is to be explained.

    Attributes:
        content: The bytes of the image.
        methods: At least one.
        class_name: The class explained, also by a short name; None: the predicted one.
        with_cards: Whether the card is wanted as HTML and PNG, too.
        request_id: Stands in the answer.
    """

    content: bytes
    methods: tuple[str, ...]
    class_name: str | None
    with_cards: bool
    request_id: str


class Engine:
    """Predicts and explains for many requests at once.

    Attributes:
        model: The network.
        is_ready: It has classified an image, so that no request waits for what is loaded late.
    """

    def __init__(self, model: Model, settings: ServeSettings, metrics: Metrics) -> None:
        self.model = model
        self.is_ready = False
        self._settings = settings
        self._plain = Lane(
            "plain images",
            self._predict,
            capacity=settings.queue_images,
            batch=settings.batch_images,
            on_batch=metrics.count_batch,
        )
        self._others = Lane("other images", self._predict, capacity=settings.queue_images)
        self._explanations = Lane(
            "explanations", self._explain, capacity=settings.queue_explanations
        )
        metrics.watch_queues(
            plain=lambda: self._plain.waiting,
            other=lambda: self._others.waiting,
            explanations=lambda: self._explanations.waiting,
        )
        self._explainer: Explainer | None = None

    def warm_up(self) -> None:
        """Load what is loaded late, by classifying a drawn image; takes seconds."""
        self._explainer = Explainer(
            _copy_network(self.model), open_gallery(self.model, ExplainConfig())
        )
        self.model.predict(draw_example(list_examples()[0]))
        self.is_ready = True

    def close(self) -> None:
        """Do what waits, then end."""
        self.is_ready = False
        for lane in (self._plain, self._others, self._explanations):
            lane.close()

    async def predict(self, contents: Sequence[bytes]) -> list[ImageAnswer]:
        """Classify images, each as `Model.predict` would.

        Raises:
            RequestError: 429 or 503; there are too many, or it took too long.
        """
        are_plain = await asyncio.to_thread(lambda: [*map(_is_plain, contents)])
        futures: dict[int, Future[ImageAnswer]] = {}
        try:
            for lane, is_wanted in ((self._plain, True), (self._others, False)):
                rows = [row for row, plain in enumerate(are_plain) if plain is is_wanted]
                if rows:
                    jobs = lane.submit([contents[row] for row in rows])
                    futures |= dict(zip(rows, jobs, strict=True))
            return await _wait_for(
                [futures[row] for row in range(len(contents))], self._settings.predict_seconds
            )
        finally:
            for future in futures.values():
                future.cancel()

    async def explain(self, order: ExplainOrder) -> ExplainAnswer:
        """Explain an image as `Model.explain` would.

        Raises:
            ConfigError: There is no such class.
            ImageError: The image cannot be used.
            RequestError: 429 or 503; there are too many, or it took too long.
        """
        if order.class_name is not None:
            find_class(order.class_name, self.model.class_names)
        (future,) = self._explanations.submit([order])
        try:
            (answer,) = await _wait_for([future], self._settings.explain_seconds)
        finally:
            future.cancel()
        return answer

    def _predict(self, contents: Sequence[bytes]) -> list[ImageAnswer]:
        predictions: list[Prediction] = self.model.predict(list(contents))
        return [
            describe_prediction(one, image_sha256=hashlib.sha256(content).hexdigest())
            for one, content in zip(predictions, contents, strict=True)
        ]

    def _explain(self, orders: Sequence[ExplainOrder]) -> list[ExplainAnswer]:
        if self._explainer is None:
            raise RequestError(503, "starting", "The server is starting.", retry_seconds=2)
        explainer = self._explainer
        answers = []
        for order in orders:
            config = build_config(order.methods)
            explanation = explain_for_card(
                explainer.model, order.content, config=config, class_name=order.class_name
            )
            answers.append(
                explainer.describe(
                    explanation,
                    order.content,
                    config=config,
                    with_cards=order.with_cards,
                    request_id=order.request_id,
                )
            )
        return answers


def build_config(methods: Sequence[str]) -> ExplainConfig:
    """Build the settings of an explanation: those of `cxresnet explain`, with these methods."""
    return change_config(Config(), {"explain.methods": list(methods)}).explain


def _copy_network(model: Model) -> Model:
    predictor = replace(model.predictor, model=copy.deepcopy(model.predictor.model))
    return replace(model, predictor=predictor)


def _is_plain(content: bytes) -> bool:
    """Say whether an image is decoded here; what is no image is refused here, too, and at once."""
    try:
        return is_plain(content, kind=sniff_format(content))
    except ImageError:
        return True


async def _wait_for(futures: Sequence[Future[Answer]], seconds: float) -> list[Answer]:
    try:
        return await asyncio.wait_for(
            asyncio.gather(*(asyncio.wrap_future(future) for future in futures)), seconds
        )
    except TimeoutError as error:
        raise RequestError(
            503,
            "too-slow",
            f"There was no answer within {seconds:g} s. Send less at once, or come again later.",
            retry_seconds=5,
        ) from error
