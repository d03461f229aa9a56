"""A server that really listens, on a free port of this machine, in a thread."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import logging
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cxresnet

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")

from cxresnet.serve.server import build_server, open_listener
from cxresnet.serve.settings import ServeSettings

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """An answer of the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class LiveServer:
    """A server that listens."""

    port: int
    settings: ServeSettings

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        method: str = "",
        headers: dict[str, str] | None = None,
        encode_chunked: bool = False,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(
                method or ("GET" if body is None else "POST"),
                path,
                body=body,
                headers=headers or {},
                encode_chunked=encode_chunked,
            )
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def send(self, path: str, images: Sequence[bytes], **options: Any) -> Answer:
        """Send images as a form."""
        body, kind = build_form([("images", f"{at}.png", one) for at, one in enumerate(images)])
        headers = {"Content-Type": kind, **options.pop("headers", {})}
        return self.ask(path, body, headers=headers, **options)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)


def build_form(parts: Sequence[tuple[str, str, bytes]]) -> tuple[bytes, str]:
    """Build a form of fields, names of files and contents; and its media type."""
    boundary = secrets.token_hex(8)
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + content
        + b"\r\n"
        for field, name, content in parts
    )
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def build_image(seed: int = 0, side_px: int = 96) -> bytes:
    levels = np.random.default_rng(seed).integers(0, 256, (side_px, side_px)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "PNG")
    return stream.getvalue()


@contextlib.contextmanager
def serving(model: cxresnet.Model, **settings: Any) -> Iterator[LiveServer]:
    """Serve a model on a free port inside of the block."""
    chosen = ServeSettings(port=0, **settings)
    listener = open_listener(chosen)
    server = build_server(model, chosen)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    live = LiveServer(listener.getsockname()[1], chosen)
    try:
        wait_until(lambda: server.started and live.ask("/readyz").status == 200)
        yield live
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def wait_until(question: Any) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not question():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def model() -> cxresnet.Model:
    """The bundled network; the pictures here are no chest X-rays, so nothing checks them."""
    return cxresnet.load(gate=False)


@pytest.fixture(scope="session")
def live(model: cxresnet.Model) -> Iterator[LiveServer]:
    """A server with the usual limits."""
    with serving(model) as found:
        yield found


@pytest.fixture(scope="session")
def narrow(model: cxresnet.Model) -> Iterator[LiveServer]:
    """A server with narrow limits, and a token."""
    with serving(
        model,
        token="a-token-of-the-tests",  # noqa: S106  of no server but this
        max_body_bytes=200_000,
        max_bytes_in_flight=600_000,
        max_images=2,
        header_seconds=0.3,
        body_seconds=0.4,
        max_connections=40,
    ) as found:
        yield found


TOKEN = {"Authorization": "Bearer a-token-of-the-tests"}


@pytest.fixture(scope="session")
def kit() -> Any:
    """The functions above: tests cannot import from this file."""
    return SimpleNamespace(
        build_form=build_form,
        build_image=build_image,
        serving=serving,
        wait_until=wait_until,
        TOKEN=TOKEN,
    )


def wrap_as_dx(pixels: Any, **changes: Any) -> bytes:
    """Wrap grey levels, (height, width), uint8, as a DX image; None leaves an element out."""
    pydicom = pytest.importorskip("pydicom", reason="the extra 'dicom' is not installed")
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    image = pydicom.Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    elements = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1",
        "SOPInstanceUID": generate_uid(entropy_srcs=[pixels.tobytes().hex()]),
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1",
        "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.2",
        "PatientName": "Drawn^Canary",
        "PatientID": "CANARY-7",
        "PatientBirthDate": "19700101",
        "AccessionNumber": "A-1",
        "StudyDate": "20260102",
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PatientOrientation": ["L", "F"],
        "ImagerPixelSpacing": [0.2, 0.2],
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "PixelData": pixels.tobytes(),
    }
    for keyword, value in (elements | changes).items():
        if value is not None:
            setattr(image, keyword, value)
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@contextlib.contextmanager
def listening(model: cxresnet.Model, out: Path, **settings: Any) -> Iterator[Any]:
    """Run a DICOM node on a free port inside of the block; `node.close()` may come earlier."""
    from cxresnet.serve.dicom_node import Node
    from cxresnet.serve.dicom_settings import NodeSettings

    node = Node(model, NodeSettings(out=out, port=0, **settings))
    node.start()
    try:
        yield node
    finally:
        node.close()


def store_dx(port: int, *contents: bytes, called: str = "CXRESNET") -> list[int | None]:
    """Send images to a node, all in one association, as they are encoded; its statuses."""
    import pydicom
    from pynetdicom import AE

    images = [pydicom.dcmread(io.BytesIO(one)) for one in contents]
    entity = AE(ae_title="MODALITY")
    for kind, syntax in {(one.SOPClassUID, one.file_meta.TransferSyntaxUID) for one in images}:
        entity.add_requested_context(kind, syntax)
    association = entity.associate("127.0.0.1", port, ae_title=called)
    assert association.is_established
    try:
        return [association.send_c_store(one).get("Status") for one in images]
    finally:
        association.release()


def compress_dx(content: bytes, syntax: str, folder: Path) -> bytes:
    """Encode the pixels of an image anew, with GDCM; `syntax` is its name there."""
    import gdcm

    before, after = folder / "before.dcm", folder / "after.dcm"
    before.write_bytes(content)
    reader, writer = gdcm.ImageReader(), gdcm.ImageWriter()
    reader.SetFileName(str(before))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(after))
    assert writer.Write()
    return after.read_bytes()


def skip_explaining(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nodes write reports alone: attribution maps cost most of the time, and are not asked."""
    from cxresnet.serve.dicom_node import Node
    from cxresnet.serve.dicom_objects import AnsweredImage

    def complete(self: Any, one: Any) -> Any:
        return AnsweredImage(one.source, one.image_sha256, one.prediction)

    monkeypatch.setattr(Node, "_complete", complete)


def read_report(report: Any) -> list[tuple[str, str]]:
    """Flatten the content of a report: name and value of each item."""
    found = []
    waiting = list(report.ContentSequence)
    while waiting:
        item = waiting.pop(0)
        name = (
            item.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in item else ""
        )
        if "MeasuredValueSequence" in item:
            found.append((name, str(item.MeasuredValueSequence[0].NumericValue)))
        elif "ConceptCodeSequence" in item:
            found.append((name, item.ConceptCodeSequence[0].CodeMeaning))
        elif "TextValue" in item:
            found.append((name, item.TextValue))
        waiting[:0] = list(item.get("ContentSequence", []))
    return found


@pytest.fixture(scope="session")
def dicom() -> Any:
    """What tests of the DICOM node use; without the extra they are skipped."""
    for name in ("pydicom", "highdicom", "pynetdicom"):
        pytest.importorskip(name, reason="the extra 'listen' is not installed")
    return SimpleNamespace(
        compress=compress_dx,
        listening=listening,
        read_report=read_report,
        skip_explaining=skip_explaining,
        store=store_dx,
        wrap=wrap_as_dx,
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, without a window."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="no browser: pip install playwright, apt-get install chromium"
    )
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no browser: the page was NOT tested; apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def wrap_dx() -> Any:
    """`wrap_as_dx`."""
    return wrap_as_dx


@pytest.fixture(scope="session")
def drawn_dx() -> list[bytes]:
    """Drawn chest X-rays as DX images, higher than wide."""
    from cxresnet.data.phantoms.draw import draw_phantom
    from cxresnet.data.phantoms.plan import PhantomSettings, plan_phantoms

    settings = PhantomSettings(images_per_class=1, side_px=256, seed=7)
    drawn = [draw_phantom(plan, settings).pixels for plan in plan_phantoms(settings)]
    return [wrap_as_dx(np.pad(one, ((0, 40), (0, 0)), mode="edge")) for one in drawn]


@pytest.fixture(autouse=True)
def _log_to_pytest(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let `caplog` see our log also after a test that ran the command line, which keeps it."""
    logger = logging.getLogger("cxresnet")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    monkeypatch.setattr(logger, "propagate", True)
    yield
    logger.setLevel(level)
