"""The routes: what can be asked, with which limits, and what is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from cxresnet import DISCLAIMER, __version__
from cxresnet.api.classifier import Model
from cxresnet.api.image_cards import name_network
from cxresnet.core.config.explain import MethodName
from cxresnet.core.errors import ConfigError, ImageError
from cxresnet.serve.answers import (
    ERRORS,
    ErrorAnswer,
    ExplainAnswer,
    ModelAnswer,
    PredictAnswer,
    StateAnswer,
)
from cxresnet.serve.body import IMAGE_FIELD, ByteBudget, read_images
from cxresnet.serve.description import describe_model, draw_example, list_examples
from cxresnet.serve.engine import Engine, ExplainOrder
from cxresnet.serve.errors import RequestError
from cxresnet.serve.guard import STATIC, Guard, build_error_response
from cxresnet.serve.metrics import METRICS_TYPE, Metrics
from cxresnet.serve.settings import ServeSettings

_MAX_METHODS = 3
_PNG = "image/png"

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_NAMES = (
    "index.html",
    "page.css",
    "app.js",
    "client.js",
    "dom.js",
    "model.js",
    "result.js",
    "viewer.js",
    "icon.svg",
)


def build_app(model: Model, settings: ServeSettings) -> FastAPI:
    """Build the application.

    Args:
        model: The network.
        settings: The limits, and who may ask.
    """
    metrics = Metrics()
    engine = Engine(model, settings, metrics)

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        del app
        warming = asyncio.create_task(asyncio.to_thread(engine.warm_up))
        yield
        await warming
        await asyncio.to_thread(engine.close)

    app = FastAPI(
        title="CXResnet",
        version=__version__,
        description=f"{DISCLAIMER} Classifies chest X-rays and explains its answers.",
        docs_url=None,  # both would load scripts from another host
        redoc_url=None,
        redirect_slashes=False,
        lifespan=live,
        responses=ERRORS,
    )
    app.state.engine = engine
    _add_error_handlers(app)
    _add_state(app, engine, metrics)
    _add_model(app, engine, settings)
    _add_predict(app, engine, settings, metrics)
    _add_page(app, read_static_files())
    routes = frozenset(route.path for route in app.routes if hasattr(route, "path"))
    app.add_middleware(Guard, settings=settings, metrics=metrics, routes=routes)
    return app


def _add_error_handlers(app: FastAPI) -> None:
    """Answer every error in one form."""

    async def refuse(request: Request, error: Exception) -> JSONResponse:
        return build_error_response(request.scope, _explain(error))

    for kind in (
        RequestError,
        ImageError,
        ConfigError,
        RequestValidationError,
        HTTPException,
    ):
        app.add_exception_handler(kind, refuse)


def _explain(error: Exception) -> RequestError:
    if isinstance(error, RequestError):
        return error
    if isinstance(error, ImageError):
        return RequestError(422, error.code, str(error))
    if isinstance(error, RequestValidationError):
        places = {".".join(map(str, one["loc"][1:])) for one in error.errors()}
        return RequestError(422, "parameter", f"A wrong value: {', '.join(sorted(places))}.")
    if isinstance(error, HTTPException):
        return RequestError(error.status_code, "http", str(error.detail))
    return RequestError(422, "parameter", str(error))


def _add_state(app: FastAPI, engine: Engine, metrics: Metrics) -> None:
    @app.get("/healthz", tags=["state"])
    async def healthz() -> StateAnswer:
        """Say that the process lives."""
        return StateAnswer(status="ok")

    @app.get("/readyz", tags=["state"])
    async def readyz() -> StateAnswer:
        """Say that images can be sent; 503 while the network is loaded, and at the end."""
        if not engine.is_ready:
            raise RequestError(503, "starting", "The server is not ready.", retry_seconds=1)
        return StateAnswer(status="ok")

    @app.get("/metrics", tags=["state"], response_class=Response)
    async def get_metrics() -> Response:
        """Give the numbers for Prometheus."""
        return Response(metrics.render(), media_type=METRICS_TYPE)


def _add_model(app: FastAPI, engine: Engine, settings: ServeSettings) -> None:
    answer = describe_model(engine.model, settings)

    @app.get("/model", tags=["model"])
    async def get_model() -> ModelAnswer:
        """Say what the network is, and what is known against it."""
        return answer

    @app.get(
        "/examples/{name}.png",
        tags=["model"],
        response_class=Response,
        responses={200: {"content": {_PNG: {}}}, 404: {"model": ErrorAnswer}},
    )
    async def get_example(name: str) -> Response:
        """Draw a chest X-ray that shows no person, to try the page with."""
        if name not in list_examples():
            raise RequestError(404, "missing", "There is no such example.")
        return Response(await asyncio.to_thread(draw_example, name), media_type=_PNG)


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [IMAGE_FIELD],
                    "properties": {
                        IMAGE_FIELD: {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "application/dicom": {"schema": {"type": "string", "format": "binary"}},
            "image/png": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}

_MethodsQuery = Annotated[
    list[MethodName], Query(alias="method", min_length=1, max_length=_MAX_METHODS)
]
_ClassQuery = Annotated[str | None, Query(alias="class", min_length=1, max_length=100)]
_CardsQuery = Annotated[bool, Query(alias="cards")]


def _add_predict(app: FastAPI, engine: Engine, settings: ServeSettings, metrics: Metrics) -> None:
    budget, network = ByteBudget(settings.max_bytes_in_flight), name_network(engine.model)

    @app.post("/predict", tags=["images"], openapi_extra=_BODY)
    async def predict(request: Request) -> PredictAnswer:
        """Classify images: a form with the field `images`, or the bytes of one image."""
        with budget.open() as share:
            images = await read_images(request, settings, share, max_images=settings.max_images)
            answers = await engine.predict(images)
        for one in answers:
            metrics.count_image(one)
        return PredictAnswer(
            request_id=request.state.request_id,
            network=network,
            class_names=engine.model.class_names,
            images=tuple(answers),
        )

    @app.post("/explain", tags=["images"], openapi_extra=_BODY)
    async def explain(
        request: Request,
        methods: _MethodsQuery = ["occlusion"],  # noqa: B006  FastAPI copies it
        class_name: _ClassQuery = None,
        cards: _CardsQuery = False,  # noqa: FBT002  a parameter of the query
    ) -> ExplainAnswer:
        """Explain one image: which places of it hold the probability of a class."""
        with budget.open() as share:
            (content,) = await read_images(request, settings, share, max_images=1)
            order = ExplainOrder(
                content, tuple(methods), class_name, cards, request.state.request_id
            )
            answer = await engine.explain(order)
        metrics.count_image(answer.image)
        return answer


# The files of the page: a fixed list, read at the start, so that no path of a client is opened.


@dataclass(frozen=True)
class StaticFile:
    """One file.

    Attributes:
        content: Its bytes.
        media_type: What it is.
    """

    content: bytes
    media_type: str


def read_static_files() -> dict[str, StaticFile]:
    """Read the files of the page, by name; the colours are those of the report."""
    folder = files("cxresnet.serve") / "static"
    found = {name: _build(name, (folder / name).read_bytes()) for name in _NAMES}
    style = files("cxresnet.report") / "templates" / "style.css"
    return found | {"report.css": _build("report.css", style.read_bytes())}


def _build(name: str, content: bytes) -> StaticFile:
    return StaticFile(content, _TYPES[name.rpartition(".")[2]])


def _add_page(app: FastAPI, found: dict[str, StaticFile]) -> None:
    def add(path: str, file: StaticFile) -> None:
        async def give() -> Response:
            return Response(file.content, media_type=file.media_type)

        app.add_api_route(path, give, methods=["GET"], include_in_schema=False)

    add("/", found["index.html"])
    add("/favicon.ico", found["icon.svg"])
    for name, file in found.items():
        add(f"{STATIC}{name}", file)
