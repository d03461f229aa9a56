"""What the server says without an image: of its network, its limits; and its drawn examples."""

from __future__ import annotations

import functools

from cxresnet import __version__
from cxresnet.api.classifier import Model
from cxresnet.api.image_cards import describe_verdict, name_network
from cxresnet.audit import scorecard as audit
from cxresnet.audit.open import AUDIT_NAME
from cxresnet.core.config import Config
from cxresnet.core.errors import RunFolderError
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.decode.limits import MAX_PIXELS
from cxresnet.data.phantoms.draw import draw_phantom
from cxresnet.data.phantoms.lesions import encode_png
from cxresnet.data.phantoms.plan import PhantomPlan, PhantomSettings, plan_phantoms
from cxresnet.explain.methods.method import build_methods
from cxresnet.explain.sanity.run import find_card
from cxresnet.serve.answers import LimitsAnswer, ModelAnswer, ScorecardAnswer, ScorecardRow
from cxresnet.serve.settings import ServeSettings

_MODEL_CARDS = ("MODEL_CARD.md", "report/model_card.md")


def describe_model(model: Model, settings: ServeSettings) -> ModelAnswer:
    """Describe a network and the limits of the server."""
    card = find_card(model.run.explain, model.predictor)
    decision, record = model.decision, model.predictor.record
    methods = build_methods(
        Config().explain.methods,
        Config().explain,
        side_px=model.predictor.preprocessing.side_px,
    )
    return ModelAnswer(
        version=__version__,
        network=name_network(model),
        preset=record.model.preset,
        side_px=model.predictor.preprocessing.side_px,
        class_names=model.class_names,
        is_evaluated=model.is_evaluated,
        verdict=model.verdict,
        nominal_coverage=decision.nominal_coverage,
        thresholds=dict(zip(model.class_names, decision.set_thresholds, strict=False)),
        checks_images=model.gate,
        knows_training_images=model.training_images is not None,
        methods=tuple(describe_verdict(one.name, one.title, card) for one in methods),
        sanity="" if card is None else card.above_chance.sentence,
        scorecard=read_scorecard(model.run),
        model_card=_read_model_card(model.run),
        examples=list_examples(),
        limits=LimitsAnswer(
            max_body_bytes=settings.max_body_bytes,
            max_images=settings.max_images,
            max_pixels=MAX_PIXELS,
            predict_seconds=settings.predict_seconds,
            explain_seconds=settings.explain_seconds,
        ),
    )


def read_scorecard(run: RunFolder) -> ScorecardAnswer | None:
    """Read the scorecard of a run's audit in short; None where there is none that can be read."""
    try:
        found = audit.read_scorecard(run.path / AUDIT_NAME)
    except RunFolderError:
        return None
    return ScorecardAnswer(
        verdict=found.verdict,
        headline=f"{found.headline} {found.reason}",
        findings=tuple(
            ScorecardRow(title=one.title, verdict=one.verdict, sentence=one.sentence)
            for one in found.findings
        ),
    )


def _read_model_card(run: RunFolder) -> str:
    for name in _MODEL_CARDS:
        path = run.path / name
        if path.is_file():
            return path.read_text(encoding="utf-8", errors="replace")
    return ""


# Drawn chest X-rays (phantoms) to try the page with: they show no person.

_EXAMPLES = PhantomSettings(images_per_class=1, side_px=512, seed=7)


def list_examples() -> tuple[str, ...]:
    """List the names of the examples, those of the classes that they were drawn for."""
    return tuple(sorted(_plan()))


@functools.cache
def draw_example(name: str) -> bytes:
    """Draw an example as PNG, once; `name` is one of `list_examples`."""
    return encode_png(draw_phantom(_plan()[name], _EXAMPLES).pixels)


@functools.cache
def _plan() -> dict[str, PhantomPlan]:
    return {plan.class_name: plan for plan in plan_phantoms(_EXAMPLES)}
