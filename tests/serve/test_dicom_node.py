"""The node on a port of this machine: what it takes, what it refuses and why, what it delivers."""

from __future__ import annotations

import contextlib
import io
import logging
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cxresnet
from cxresnet.core.errors import ConfigError

pydicom = pytest.importorskip("pydicom", reason="the extra 'dicom' is not installed")
pytest.importorskip("highdicom", reason="the extra 'listen' is not installed")
pynetdicom = pytest.importorskip("pynetdicom", reason="the extra 'listen' is not installed")

from cxresnet.serve.dicom_node import BUSY, NOT_SUPPORTED, NOT_UNDERSTOOD, SUCCESS, Node  # noqa: E402
from cxresnet.serve.dicom_settings import NodeSettings, Receiver, check_title, parse_receiver  # noqa: E402

CT = "1.2.840.10008.5.1.4.1.1.2"
DX = "1.2.840.10008.5.1.4.1.1.1.1"


@contextlib.contextmanager
def calling(node: Node, *, title: str = "MODALITY", called: str = "CXRESNET") -> Iterator[Any]:
    entity = pynetdicom.AE(ae_title=title)
    for kind in (DX, CT, "1.2.840.10008.1.1"):
        entity.add_requested_context(kind, "1.2.840.10008.1.2.1")
    association = entity.associate("127.0.0.1", node.port, ae_title=called)
    try:
        yield association
    finally:
        association.abort()


def store(node: Node, content: bytes) -> Any:
    with calling(node) as association:
        assert association.is_established
        return association.send_c_store(pydicom.dcmread(io.BytesIO(content)))


@pytest.fixture
def node(dicom: Any, model: cxresnet.Model, tmp_path: Path) -> Iterator[Node]:
    with dicom.listening(model, tmp_path) as found:
        yield found


@pytest.mark.slow
def test_echo_and_store_give_objects_and_no_name_in_the_log(
    dicom: Any,
    model: cxresnet.Model,
    drawn_dx: list[bytes],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    taken: list[Any] = []
    receiver = pynetdicom.AE(ae_title="PACS")
    for context in pynetdicom.AllStoragePresentationContexts:
        receiver.add_supported_context(context.abstract_syntax)
    handlers = [(pynetdicom.evt.EVT_C_STORE, lambda event: taken.append(event.dataset) or 0)]
    pacs = receiver.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    send_to = Receiver("PACS", "127.0.0.1", pacs.server_address[1])
    with dicom.listening(model, tmp_path, send_to=send_to) as node:
        with calling(node) as association:
            assert association.send_c_echo().Status == SUCCESS
        assert store(node, drawn_dx[0]).Status == SUCCESS
    pacs.shutdown()
    written = sorted(path.name for path in tmp_path.rglob("*.dcm"))
    assert written == ["capture.dcm", "map.dcm", "report.dcm"]
    assert len(taken) == len(written)
    source = pydicom.dcmread(io.BytesIO(drawn_dx[0]))
    assert {one.StudyInstanceUID for one in taken} == {source.StudyInstanceUID}
    ours = "\n".join(one.getMessage() for one in caplog.records if one.name.startswith("cxresnet"))
    assert "Took image" in ours
    for text in ("Canary", "CANARY", source.StudyInstanceUID, source.SOPInstanceUID):
        assert text not in caplog.text
        assert all(text not in str(path) for path in tmp_path.rglob("*"))


@pytest.mark.slow
def test_a_ct_is_refused_by_its_class(
    node: Node, wrap_dx: Any, caplog: pytest.LogCaptureFixture
) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    answer = store(node, wrap_dx(levels, SOPClassUID=CT, Modality="CT"))
    assert answer.Status == NOT_SUPPORTED
    assert "Refused: class. Takes CR and DX images alone, not the class CT Image" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"PixelData": b"\1\2"}, "truncated"),
        ({"PixelData": None}, "no-pixels"),
        ({"Rows": 60_000, "Columns": 60_000}, "too-large"),
        ({"Modality": "MR"}, "not-a-chest-radiograph"),
        ({"StudyInstanceUID": None}, "no-identity"),
    ],
)
def test_a_bad_image_costs_a_line_of_the_log_and_not_the_node(
    node: Node, wrap_dx: Any, changes: dict[str, Any], code: str, caplog: pytest.LogCaptureFixture
) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    answer = store(node, wrap_dx(levels, **changes))
    assert answer.Status == NOT_UNDERSTOOD
    assert answer.ErrorComment.startswith(code)
    assert f"Refused: {code}." in caplog.text
    with calling(node) as association:
        assert association.send_c_echo().Status == SUCCESS


@pytest.mark.slow
def test_whoever_is_not_allowed_or_calls_another_title_is_rejected(
    dicom: Any, model: cxresnet.Model, tmp_path: Path
) -> None:
    with dicom.listening(model, tmp_path, allowed=("MODALITY",)) as node:
        for names in ({"title": "STRANGER"}, {"called": "OTHER"}):
            with calling(node, **names) as association:
                assert association.is_rejected
        with calling(node) as association:
            assert association.is_established


@pytest.mark.slow
def test_a_full_queue_is_told_to_come_again(
    dicom: Any, model: cxresnet.Model, tmp_path: Path, drawn_dx: list[bytes]
) -> None:
    with dicom.listening(model, tmp_path, queue_images=0) as node:
        assert store(node, drawn_dx[0]).Status == BUSY


@pytest.mark.slow
def test_an_image_that_was_taken_is_kept_until_it_is_answered(
    dicom: Any, kit: Any, model: cxresnet.Model, tmp_path: Path, drawn_dx: list[bytes],
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO)
    dicom.skip_explaining(monkeypatch)

    def die(*_: Any) -> None:
        raise KeyError("killed")

    def list_kept() -> list[Path]:
        return list((tmp_path / "received").glob("*.dcm"))

    with monkeypatch.context() as patch:  # as if it were killed before it could write
        patch.setattr(Node, "_write", die)
        with dicom.listening(model, tmp_path) as node:
            assert dicom.store(node.port, *drawn_dx) == [SUCCESS] * len(drawn_dx)
    assert len(list_kept()) == len(drawn_dx)
    assert list(tmp_path.glob("*/report.dcm")) == []
    kept = list_kept()[0].read_bytes()
    assert pydicom.dcmread(io.BytesIO(kept)).PixelData in {
        pydicom.dcmread(io.BytesIO(one)).PixelData for one in drawn_dx
    }
    (tmp_path / "received" / "zz.dcm").write_bytes(b"not an image")

    with dicom.listening(model, tmp_path):
        kit.wait_until(lambda: "not taken up again" in caplog.text)
    assert len(list(tmp_path.glob("*/report.dcm"))) == len(drawn_dx)
    assert [path.name for path in list_kept()] == ["zz.dcm"]


@pytest.mark.slow
def test_an_image_that_cannot_be_kept_is_not_taken(
    dicom: Any, model: cxresnet.Model, tmp_path: Path, drawn_dx: list[bytes]
) -> None:
    with dicom.listening(model, tmp_path) as node:
        (tmp_path / "received").write_text("a file where the folder should be")
        answer = store(node, drawn_dx[0])
    assert answer.Status == BUSY
    assert str(answer.ErrorComment).startswith("storage: ")


@pytest.mark.slow
def test_half_open_and_many_associations_leave_room_again(
    dicom: Any, model: cxresnet.Model, tmp_path: Path
) -> None:
    with dicom.listening(model, tmp_path, max_associations=2, wait_seconds=0.4) as node:
        silent = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(12)]
        for one in silent:
            one.settimeout(10)
            with contextlib.suppress(ConnectionError):
                assert one.recv(1) == b"", "a silent connection stays open"
            one.close()
        with calling(node) as association:
            assert association.send_c_echo().Status == SUCCESS


# pynetdicom leaves the socket of an aborted association to the garbage collector, now and then.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Exception ignored:pytest.PytestUnraisableExceptionWarning")
def test_a_message_beyond_the_limit_breaks_its_association(
    dicom: Any,
    model: cxresnet.Model,
    tmp_path: Path,
    drawn_dx: list[bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with dicom.listening(model, tmp_path, max_image_bytes=20_000) as node:
        answer = store(node, drawn_dx[0])
        assert "Status" not in answer or answer.Status != SUCCESS
        assert "Refused: too-large." in caplog.text
        with calling(node) as association:
            assert association.send_c_echo().Status == SUCCESS


@pytest.mark.slow
@pytest.mark.parametrize(
    "syntax", ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless"]
)
def test_a_compressed_image_is_taken_as_it_is_and_gets_the_same_answer(
    node: Node, model: cxresnet.Model, dicom: Any, drawn_dx: list[bytes], syntax: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    received: list[Any] = []
    monkeypatch.setattr(Node, "_deliver", lambda self, one: received.append(one) or [])
    compressed = dicom.compress(drawn_dx[1], syntax, tmp_path)
    assert dicom.store(node.port, compressed) == [SUCCESS]
    node.close()
    (one,) = received
    sent, got = (
        pydicom.dcmread(io.BytesIO(content)).file_meta.TransferSyntaxUID
        for content in (compressed, one.content)
    )
    assert sent == got
    assert got.is_compressed
    assert one.prediction == model.predict(drawn_dx[1])


@pytest.mark.slow
def test_an_image_in_lossy_jpeg_is_taken(
    node: Node, dicom: Any, drawn_dx: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[Any] = []
    monkeypatch.setattr(Node, "_deliver", lambda self, one: received.append(one) or [])
    image, stream = pydicom.dcmread(io.BytesIO(drawn_dx[1])), io.BytesIO()
    Image.fromarray(image.pixel_array).save(stream, "JPEG", quality=95)
    image.PixelData = pydicom.encaps.encapsulate([stream.getvalue()])
    image["PixelData"].VR = "OB"
    image.LossyImageCompression = "01"
    image.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    content = io.BytesIO()
    image.save_as(content, enforce_file_format=True)
    assert dicom.store(node.port, content.getvalue()) == [SUCCESS]
    node.close()
    assert not received[0].prediction.refused


@pytest.mark.slow
def test_an_address_in_use_is_named(node: Node, model: cxresnet.Model, tmp_path: Path) -> None:
    other = Node(model, replace(NodeSettings(out=tmp_path), port=node.port))
    with pytest.raises(ConfigError, match=f"port {node.port}"):
        other.start()
    other.close()


@pytest.mark.parametrize("text", ["PACS", "PACS@host", "@host:1", "PACS@host:0", "A\\B@host:1"])
def test_an_address_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_receiver(text)


def test_a_title_has_at_most_16_characters() -> None:
    assert check_title("A" * 16)
    with pytest.raises(ConfigError):
        check_title("A" * 17)
