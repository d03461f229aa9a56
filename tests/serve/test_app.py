"""The routes: the same answers as in Python, one form of errors, and nothing said of files."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import cxresnet
from cxresnet import DISCLAIMER

FAST = "integrated_gradients"


def _read_picture(text: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_a_prediction_is_that_of_python_in_the_order_that_was_sent(
    live: Any, kit: Any, model: cxresnet.Model
) -> None:
    images = [kit.build_image(seed) for seed in range(3)]
    images.insert(1, b"not an image")
    answer = live.send("/predict", images)
    assert answer.status == 200
    assert answer.json["disclaimer"] == DISCLAIMER
    assert answer.json["class_names"] == list(model.class_names)
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    expected = model.predict(images)
    for content, one, found in zip(images, expected, answer.json["images"], strict=True):
        assert found["image_sha256"] == hashlib.sha256(content).hexdigest()
        assert found["probabilities"] == pytest.approx(one.probabilities, abs=1e-5)
        assert (found["decision"], found["predicted_class"]) == (one.decision, one.class_name)
        assert (found["refused"], found["code"], found["gate"]) == (one.reason, one.code, one.gate)
        assert tuple(found["prediction_set"]) == one.prediction_set
    assert "not an image" in answer.json["images"][1]["refused"]


@pytest.mark.slow
def test_an_explanation_is_that_of_python(live: Any, kit: Any, model: cxresnet.Model) -> None:
    image = kit.build_image(5)
    answer = live.send(f"/explain?method={FAST}&class=covid&cards=true", [image])
    assert answer.status == 200, answer.body
    found, expected = answer.json, model.explain(image, FAST, class_name="covid-19")
    (shown,) = found["maps"]
    values = np.frombuffer(base64.b64decode(shown["values"]), "<f4")
    assert values.reshape(expected.map.shape) == pytest.approx(expected.map, abs=1e-6)
    drawn = np.frombuffer(base64.b64decode(shown["drawn"]), "<f4")
    method = expected.attributions.index.methods[0]
    assert drawn == pytest.approx(expected.attributions.compute_drawn(method, 0).ravel(), abs=1e-5)
    assert np.array_equal(_read_picture(found["image_png"]), expected.image)
    assert _read_picture(found["view_png"]).shape == (640, 640)
    assert found["view_aspect"] == 1
    assert _read_picture(found["lung_mask_png"]).shape == expected.map.shape
    assert (shown["unit"], shown["failed_sanity"]) == (expected.unit, False)
    assert found["card"]["index"]["images"][0]["explained_class"] == "covid-19"
    assert found["card"]["sanity"][0]["passed"] is True
    assert DISCLAIMER in found["card_html"]
    assert f"Image {hashlib.sha256(image).hexdigest()[:12]}" in found["card_html"]
    assert _read_picture(found["card_png"]).shape[2] == 3


@pytest.mark.slow
def test_an_image_can_be_sent_as_it_is(live: Any, kit: Any) -> None:
    image = kit.build_image(2)
    for kind in ("image/png", "application/octet-stream", "application/dicom"):
        answer = live.ask("/predict", image, headers={"Content-Type": kind})
        assert answer.json["images"] == live.send("/predict", [image]).json["images"]


@pytest.mark.parametrize(
    ("query", "images", "status", "code", "words"),
    [
        ("", [b"junk"], 422, "not-an-image", "not an image"),
        ("?method=nonsense", [b"junk"], 422, "parameter", "method"),
        ("?class=cancer", [b"junk"], 422, "parameter", "cancer"),
        ("?class=", [b"junk"], 422, "parameter", "class"),
        ("?cards=perhaps", [b"junk"], 422, "parameter", "cards"),
        ("", [b"junk", b"junk"], 413, "too-many", "more images than 1"),
        ("", [], 422, "no-image", "no field"),
    ],
)
def test_what_cannot_be_explained_is_refused_in_one_form(
    live: Any, query: str, images: list[bytes], status: int, code: str, words: str
) -> None:
    answer = live.send(f"/explain{query}", images)
    assert (answer.status, answer.json["code"]) == (status, code), answer.body
    assert words in answer.json["message"]
    assert answer.json["disclaimer"] == DISCLAIMER
    assert answer.json["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/nowhere", "GET", 404), ("/predict", "GET", 405), ("/model", "DELETE", 405),
     ("/predict/", "POST", 404), ("/examples/nobody.png", "GET", 404)],
)  # fmt: skip
def test_what_is_not_there_is_refused_in_the_same_form(
    live: Any, path: str, method: str, status: int
) -> None:
    answer = live.ask(path, method=method)
    assert (answer.status, answer.json["disclaimer"]) == (status, DISCLAIMER)


def test_the_model_says_what_is_known_against_it(live: Any, model: cxresnet.Model) -> None:
    found = live.ask("/model").json
    assert found["disclaimer"] == DISCLAIMER
    assert found["verdict"] == model.verdict
    assert list(found["thresholds"]) == list(model.class_names)
    verdicts = {one["name"]: one["passed"] for one in found["methods"]}
    assert verdicts == {"occlusion": False, "grad_cam": False, "integrated_gradients": True}
    assert "Limitations" in found["model_card"]
    assert found["checks_images"] is False
    example = live.ask(f"/examples/{found['examples'][0]}.png")
    assert Image.open(io.BytesIO(example.body)).size == (512, 512)


def test_the_numbers_say_what_happened_and_hold_nothing_that_a_client_chose(
    live: Any, kit: Any
) -> None:
    live.send("/predict", [kit.build_image(), b"junk"])
    live.ask("/secret-name-in-a-path")
    live.ask("/model", method="SECRET")
    text = live.ask("/metrics").body.decode()
    assert 'cxresnet_requests_total{method="POST",route="/predict",status="200"}' in text
    assert 'cxresnet_images_total{outcome="refused"}' in text
    assert 'cxresnet_queue_jobs{queue="plain"} 0.0' in text
    assert "cxresnet_batch_images_bucket" in text
    assert "secret" not in text.casefold()


def test_every_answer_tells_the_browser_to_run_nothing_else_and_keep_nothing(live: Any) -> None:
    for path in ("/", "/static/app.js", "/model", "/nowhere", "/metrics"):
        headers = live.ask(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert not {"set-cookie", "server", "access-control-allow-origin"} & headers.keys()


@pytest.mark.slow
def test_the_description_is_whole_and_loads_nothing(live: Any) -> None:
    found = live.ask("/openapi.json").json
    assert set(found["paths"]) == {
        "/predict", "/explain", "/model", "/healthz", "/readyz", "/metrics",
        "/examples/{name}.png",
    }  # fmt: skip
    assert DISCLAIMER in found["info"]["description"]
    assert {live.ask(path).status for path in ("/docs", "/redoc")} == {404}


def test_pages_of_others_and_other_names_of_the_server_get_no_answer(live: Any, kit: Any) -> None:
    image = kit.build_image()
    for origin in ("https://evil.example", "null", f"http://127.0.0.1:{live.port + 1}"):
        answer = live.send("/predict", [image], headers={"Origin": origin})
        assert (answer.status, answer.json["code"]) == (403, "origin")
    own = {"Origin": f"http://127.0.0.1:{live.port}"}
    assert live.send("/predict", [image], headers=own).status == 200
    for path in ("/", "/model"):
        assert live.ask(path, headers={"Host": "evil.example"}).status == 421


@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer wrong", "Basic a-token-of-the-tests", "ü"])
def test_images_and_model_need_the_token_and_health_does_not(narrow: Any, sent: str) -> None:
    headers = {"Authorization": sent.encode("utf-8").decode("latin-1")} if sent else {}
    for path in ("/model", "/openapi.json", "/examples/normal.png", "/nowhere"):
        answer = narrow.ask(path, headers=headers)
        assert (answer.status, answer.json["code"]) == (401, "token")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert narrow.send("/predict", [b"junk"], headers=headers).status == 401
    for path in ("/", "/static/app.js", "/healthz", "/readyz", "/metrics"):
        assert narrow.ask(path, headers=headers).status == 200


def test_who_has_the_token_is_answered(narrow: Any, kit: Any) -> None:
    assert narrow.ask("/model", headers=kit.TOKEN).status == 200
    assert narrow.send("/predict", [kit.build_image()], headers=kit.TOKEN).status == 200


def test_the_log_has_one_line_a_request_and_no_name(
    live: Any, kit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    body, kind = kit.build_form([("images", 'SMITH_JOHN.png"\\', b"PatientName^SMITH")])
    with caplog.at_level(logging.DEBUG):
        live.ask("/healthz")  # the lines of the server's start may come as late as this one
        kit.wait_until(lambda: "/healthz" in caplog.text)
        caplog.clear()
        answer = live.ask(
            "/predict?name=SMITH", body, headers={"Content-Type": kind, "User-Agent": "SMITH"}
        )
        live.ask("/SMITH%0a%1b[2J")
        kit.wait_until(lambda: len(caplog.messages) >= 2)
    assert "SMITH" not in caplog.text
    lines = [json.loads(one) for one in caplog.messages]
    assert [line["route"] for line in lines] == ["/predict", "other"]
    assert lines[0]["request_id"] == answer.headers["x-request-id"]
    assert lines[0]["bytes"] == len(body)
    assert set(lines[0]) == {
        "event", "request_id", "route", "method", "status", "ms", "bytes",
    }  # fmt: skip


def test_a_bug_is_told_as_one_and_its_text_is_not(
    live: Any, kit: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("SMITH")

    monkeypatch.setattr(cxresnet.Model, "predict", fail)
    with caplog.at_level(logging.DEBUG):
        answer = live.send("/predict", [kit.build_image()])
    assert (answer.status, answer.json["code"]) == (500, "fault")
    assert answer.json["disclaimer"] == DISCLAIMER
    assert "SMITH" not in answer.body.decode() + caplog.text
    assert "ValueError" in caplog.text


@pytest.mark.slow
def test_who_comes_when_the_queue_is_full_is_told_when_to_come_again(
    model: cxresnet.Model, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kit.serving(model, queue_images=2, predict_seconds=0.5) as server:
        may_go, original = threading.Event(), cxresnet.Model.predict

        def wait(self: cxresnet.Model, images: Any) -> Any:
            assert may_go.wait(60)
            return original(self, images)

        monkeypatch.setattr(cxresnet.Model, "predict", wait)
        image = kit.build_image()
        held = server.send("/predict", [image])  # is at work, and too slow
        assert (held.status, held.json["code"]) == (503, "too-slow")
        asking = [
            threading.Thread(target=server.send, args=("/predict", [image])) for _ in range(2)
        ]
        for one in asking:
            one.start()
        kit.wait_until(lambda: b'queue_jobs{queue="plain"} 2.0' in server.ask("/metrics").body)
        refused = server.send("/predict", [image])
        assert (refused.status, refused.json["code"]) == (429, "busy")
        assert int(refused.headers["retry-after"]) >= 1
        assert server.ask("/healthz").status == 200
        may_go.set()
        for one in asking:
            one.join()
        assert server.send("/predict", [image]).status == 200
